from __future__ import annotations

import pytest

from tsujiban.policy.bulk.asked import Parts, Questions, parts_of
from tsujiban.policy.flow import Flow, Request

WEB: Parts = (6, 80, None, None, None, None, "")


def test_equal_questions_are_one_object() -> None:
    known = Questions()
    assert known.ask(WEB, None) is known.ask((6, 80, None, None, None, None, ""), None)
    assert known.ask(WEB, Request(path="/a")) is known.ask(WEB, Request(path="/a"))
    assert known.ask(WEB, Request(path="/a")) is not known.ask(WEB, Request(path="/b"))
    assert known.ask(WEB, None) is not known.ask(WEB, Request())


@pytest.mark.parametrize("request_", [Request(headers={"a": "b"}), Request(claims={})])
def test_what_a_key_would_not_tell_apart_is_its_own(request_: Request) -> None:
    known = Questions()
    assert known.ask(WEB, request_) is not known.ask(WEB, request_)
    assert known.ask(WEB, request_).request is request_


def test_what_chains_look_up_is_protocol_port_and_icmp_alone() -> None:
    known = Questions()
    number = known.ask(WEB, None).number
    assert known.ask((6, 80, 1234, None, None, "spiffe://a/b", "s"), Request()).number == number
    assert known.ask((6, 81, None, None, None, None, ""), None).number != number
    assert (
        known.ask((1, 0, None, 8, 0, None, ""), None).number
        != known.ask((1, 0, None, 0, 0, None, ""), None).number
    )


def test_a_number_is_never_given_again() -> None:
    known = Questions()
    before = known.ask(WEB, None)
    known.forget()
    after = known.ask(WEB, None)
    assert after is not before
    assert after.number != before.number
    assert after.carried == before.carried


def test_it_is_full_when_too_many_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsujiban.policy.bulk.asked.MAX_KNOWN", 2)
    known = Questions()
    for path in ("/a", "/b"):
        assert not known.full()
        known.ask(WEB, Request(path=path))
    assert known.full()


def test_a_flow_is_its_ends_and_its_question() -> None:
    flow = Flow(
        source="10.0.0.1",
        destination="10.0.0.2",
        protocol=1,
        port=7,
        source_port=9,
        icmp_type=8,
        icmp_code=1,
        source_endpoint="x/a",
        destination_endpoint="x/b",
        peer="spiffe://a/b",
        sni="s",
        http=Request(path="/a"),
    )
    asked = Questions().ask(parts_of(flow), flow.http)
    assert asked.flow("x/a", "10.0.0.1", "x/b", "10.0.0.2") == flow
