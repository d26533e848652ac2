from __future__ import annotations

import msgspec
import pytest

from tsujiban.policy.flow import Flow, Layer, Post, Request, Verdict, out_of_range, request_of
from tsujiban.policy.program import Action

FLOW = Flow(source="10.0.0.1", destination="10.0.0.2")


def test_a_flow_is_tcp_of_the_sources_own_identity_unless_it_says_otherwise() -> None:
    assert FLOW.protocol == 6
    assert FLOW.peer is None  # not "", which is plaintext
    assert FLOW.http is None


def test_no_token_is_not_an_empty_token() -> None:
    assert Request().claims is None
    assert Request() != Request(claims={})


@pytest.mark.parametrize(
    "value",
    [
        FLOW,
        Flow(source="@x/a", destination="fd00::1", peer="", http=Request(headers={"x": "y"}, claims={})),
        Verdict(
            verdict=Action.DENY,
            decided_by=("x/p/ingress/0",),
            layers=(Layer(layer="ingress", endpoint="x/a", verdict=Action.DENY, rule="r", post=Post.PROXY),),
        ),
    ],
)
def test_plain_data_survives_the_wire(value: Flow | Verdict) -> None:
    assert msgspec.json.decode(msgspec.json.encode(value), type=type(value)) == value


@pytest.mark.parametrize("field", FLOW.__struct_fields__)
def test_data_that_was_judged_cannot_be_changed_afterwards(field: str) -> None:
    with pytest.raises(AttributeError):
        setattr(FLOW, field, 1)


def test_a_request_is_one_when_any_part_of_it_is_named() -> None:
    assert request_of(None, None, None, {}, None) is None
    assert request_of(None, "/a", None, {}, None) == Request(path="/a")
    assert request_of(None, None, None, {"X-Team": "red"}, None) == Request(headers={"x-team": "red"})
    assert request_of(None, None, None, {}, {}) == Request(claims={})


def test_numbers_that_no_packet_carries_are_named() -> None:
    assert list(out_of_range(0, None, None, None)) == []
    assert list(out_of_range(65535, 65535, 255, 255)) == []
    assert list(out_of_range(65536, -1, 256, -1)) == [
        ("port", 65536, 65535),
        ("sourcePort", -1, 65535),
        ("icmpType", 256, 255),
        ("icmpCode", -1, 255),
    ]
