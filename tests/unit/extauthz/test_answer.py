from __future__ import annotations

import pytest
from google.protobuf import json_format

from tsujiban.extauthz import answer
from tsujiban.policy.flow import Verdict
from tsujiban.policy.program import Action


def test_a_refusal_tells_the_client_an_id_and_the_proxy_the_rules() -> None:
    response = answer.denied("id-1", ("default/authz:web/0",))
    assert response.status.code == 7
    assert response.denied_response.status.code == 403
    assert response.denied_response.body == "request denied by policy, id id-1\n"
    assert not response.denied_response.headers
    told = json_format.MessageToDict(response.dynamic_metadata)
    assert told == {"verdict": "deny", "rules": ["default/authz:web/0"], "id": "id-1"}


def test_yes_is_yes_and_carries_the_rules_too() -> None:
    response = answer.allowed("id-1", Verdict(verdict=Action.ALLOW, decided_by=("r",), layers=()))
    assert response.status.code == 0
    assert response.HasField("ok_response")
    assert json_format.MessageToDict(response.dynamic_metadata)["rules"] == ["r"]


def test_a_denial_cannot_become_yes() -> None:
    with pytest.raises(ValueError, match="no yes"):
        answer.allowed("id-1", Verdict(verdict=Action.DENY, decided_by=(), layers=()))
