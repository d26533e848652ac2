from __future__ import annotations

import pytest

from tsujiban.proxy.decisions import (
    Admission,
    AllOf,
    AnyOf,
    Branch,
    Class,
    Leaf,
    Not,
    SourcePort,
    Text,
    admit,
    all_of,
    any_of,
    at_leaves,
    branch,
    decision_name,
    holds_for_port,
    leaves,
    looks_at_request,
    negate,
    parse_decision_name,
)

GET = Text(header=":method", exact="GET")
LOW = SourcePort(first=1, last=1023)
YES, NO = Leaf(allow=True, rules=("y",)), Leaf(allow=False, rules=("n",))


def test_what_is_certain_is_settled_at_once() -> None:
    assert all_of([]) is True
    assert any_of([]) is False
    assert all_of([True, GET]) == GET
    assert all_of([GET, False]) is False
    assert any_of([GET, True]) is True
    assert any_of([False, GET, LOW]) == AnyOf(terms=(GET, LOW))
    assert all_of([GET, LOW]) == AllOf(terms=(GET, LOW))
    assert negate(True) is False
    assert negate(negate(GET)) == GET
    assert branch(True, YES, NO) == YES
    assert branch(False, YES, NO) == NO
    assert branch(GET, YES, YES) == YES


def test_only_an_http_clause_allows_so_only_http_is_inspected() -> None:
    assert admit(Branch(test=GET, then=YES, otherwise=NO)) == Admission(kind=Class.INSPECT, rules=("n",))


def test_an_http_clause_that_may_deny_forbids_plain_bytes() -> None:
    seen = admit(Branch(test=GET, then=NO, otherwise=YES))
    assert isinstance(seen, Admission)
    assert seen.kind is Class.INSPECT


def test_http_clauses_that_only_allow_do_not_stand_in_the_way_of_bytes() -> None:
    other = Leaf(allow=True, rules=("z",))
    assert admit(Branch(test=GET, then=other, otherwise=YES)) == Admission(kind=Class.TCP, rules=("y",))
    assert admit(YES) == Admission(kind=Class.TCP, rules=("y",))


def test_nothing_allowed_is_refused_before_any_byte() -> None:
    other = Leaf(allow=False, rules=("m",))
    assert admit(NO) == Admission(kind=Class.DENY, rules=("n",))
    assert admit(Branch(test=GET, then=other, otherwise=NO)) == Admission(kind=Class.DENY, rules=("n",))


def test_a_source_port_is_left_to_envoy_and_a_hidden_one_counts_against_bytes() -> None:
    by_port = Branch(test=LOW, then=NO, otherwise=YES)
    assert admit(by_port) == by_port
    hidden = admit(Branch(test=GET, then=YES, otherwise=by_port))
    assert isinstance(hidden, Admission)
    assert hidden.kind is Class.INSPECT


def test_a_predicate_on_ports_is_settled_by_a_port_and_one_on_requests_is_not() -> None:
    assert holds_for_port(LOW, 1023)
    assert not holds_for_port(LOW, 1024)
    assert holds_for_port(Not(term=LOW), 1024)
    assert holds_for_port(AnyOf(terms=(LOW, Not(term=LOW))), 5)
    assert not holds_for_port(AllOf(terms=(LOW, Not(term=LOW))), 5)
    with pytest.raises(TypeError):
        holds_for_port(GET, 1)


def test_a_request_is_found_inside_any_predicate() -> None:
    assert looks_at_request(Not(term=AllOf(terms=(LOW, GET))))
    assert not looks_at_request(AnyOf(terms=(LOW, Not(term=LOW))))


def test_leaves_change_but_for_those_that_refuse_odd_requests() -> None:
    whole = Branch(test=LOW, then=NO, otherwise=Branch(test=GET, then=YES, otherwise=NO), hardening=True)
    changed = at_leaves(whole, lambda leaf: Leaf(allow=leaf.allow, rules=("x",)))
    assert isinstance(changed, Branch)
    assert (changed.then, changed.hardening) == (NO, True)
    assert set(leaves(changed)) == {Leaf(allow=True, rules=("x",)), Leaf(allow=False, rules=("x",))}


def test_an_audit_alone_is_no_reason_to_read_requests() -> None:
    audited = Leaf(allow=True, rules=YES.rules, audits=("a",))
    seen = admit(Branch(test=GET, then=audited, otherwise=YES))
    assert seen == Admission(kind=Class.TCP, rules=YES.rules)
    assert admit(audited) == Admission(kind=Class.TCP, rules=YES.rules, audits=("a",))


def test_every_leaf_is_found() -> None:
    assert set(leaves(Branch(test=GET, then=YES, otherwise=Branch(test=LOW, then=NO, otherwise=YES)))) == {
        YES,
        NO,
    }


def test_names_survive_the_way_through_envoy() -> None:
    for kind in Class:
        name = decision_name(kind, ("default/knp:web/ingress/0", "default/authz:a/1"))
        assert parse_decision_name(name) == Admission(
            kind=kind, rules=("default/knp:web/ingress/0", "default/authz:a/1")
        )
        audited = Admission(kind=kind, rules=("a/0",), audits=("default/authz:b/0", "c/1"))
        assert parse_decision_name(audited.name) == audited
    assert parse_decision_name("") is None
    assert parse_decision_name("-") is None
    assert parse_decision_name("other:x") is None
