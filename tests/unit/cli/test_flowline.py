from __future__ import annotations

import msgspec
import pytest
from tests.support.manifests import world

from tsujiban.cli.flowline import FlowLine, flow_of, parts_of, request_in
from tsujiban.policy.flow import Flow, Request


def line(**fields: object) -> FlowLine:
    return msgspec.convert({"src": "x/a", "dst": "x/b", **fields}, FlowLine)


def test_a_line_says_as_little_as_it_likes() -> None:
    assert parts_of(line()) == (6, 0, None, None, None, None, "")
    assert request_in(line()) is None


def test_a_line_says_all_of_a_flow() -> None:
    where = world()
    asked = line(
        protocol="ICMP",
        port=7,
        sourcePort=9,
        icmpType=8,
        icmpCode=1,
        method="PUT",
        path="/a",
        host="h",
        headers={"X-A": "b"},
        claims={"iss": "i"},
        principal="",
        sni="s",
    )
    assert flow_of(where, asked, where.end("x/a"), where.end("x/b")) == Flow(
        source="10.0.0.1",
        destination="10.0.0.2",
        source_endpoint="x/a",
        destination_endpoint="x/b",
        protocol=1,
        port=7,
        source_port=9,
        icmp_type=8,
        icmp_code=1,
        peer="",
        sni="s",
        http=Request(method="PUT", path="/a", host="h", headers={"x-a": "b"}, claims={"iss": "i"}),
    )


@pytest.mark.parametrize("said", [{"path": "/a"}, {"host": "h"}, {"headers": {"a": "b"}}, {"claims": {}}])
def test_any_part_of_a_request_makes_it_http(said: dict[str, object]) -> None:
    found = request_in(line(**said))
    assert found is not None
    assert found.method == "GET"


@pytest.mark.parametrize(
    "wrong",
    [
        {"protocol": "TPC"},
        {"protocol": 256},
        {"port": 65536},
        {"port": -1},
        {"sourcePort": -5},
        {"icmpType": 256},
        {"icmpCode": 300},
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        parts_of(line(**wrong))
