from __future__ import annotations

from typing import Any

import pytest

from tsujiban.resources import revoked

LISTED = {"name": "tsujiban-revoked", "namespace": "kube-system"}


def test_lines_of_the_list_that_say_nothing_are_refused(judge: Any) -> None:
    said = judge("v1", "ConfigMap", metadata=LISTED, data={"revoked": "serial:1\nnonsense # x\n"})
    assert said == {("data.revoked", "bad-value")}
    assert judge("v1", "ConfigMap", metadata=LISTED, data={"revoked": "serial:1 # lost\n# nonsense"}) == set()


def test_a_list_that_proxies_cannot_hold_is_refused(judge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revoked, "MAX_SERIALS", 2)
    said = judge("v1", "ConfigMap", metadata=LISTED, data={"revoked": "serial:1\nserial:2\nserial:3"})
    assert said == {("data.revoked", "out-of-range")}


@pytest.mark.parametrize("where", [{**LISTED, "name": "other"}, {**LISTED, "namespace": "default"}])
def test_another_config_map_may_hold_anything(judge: Any, where: dict[str, str]) -> None:
    assert judge("v1", "ConfigMap", metadata=where, data={"revoked": "nonsense"}) == set()
