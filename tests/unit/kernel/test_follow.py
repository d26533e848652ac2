"""A followed rendering is what rendering in full would make, and is followed only when it may be."""

from __future__ import annotations

import pytest

from tsujiban.kernel import runs
from tsujiban.kernel.render import Memory, Settings, render
from tsujiban.kernel.table import Table
from tsujiban.policy.program import (
    Action,
    AddressSet,
    EndpointProgram,
    Member,
    NodeDelta,
    NodeState,
    PolicyProgram,
    PortRange,
    Ports,
    Rule,
    SetChange,
    Side,
    Tier,
)

WEB = Side(ports=Ports(ranges=(PortRange(first=80, last=80),)))


def world() -> NodeState:
    """One pod; its policy asks for set `s`, with ports."""
    tier = Tier(name="t", default_action=Action.DENY, default_id="_tier/t", policies=("p",))
    pod = EndpointProgram(
        id="d/a",
        node="n",
        interface="tsja",
        mac="02:00:00:00:00:01",
        addresses=("10.0.0.1",),
        ingress=(tier,),
    )
    rule = Rule(id="p/0", action=Action.ALLOW, protocols=(6,), src=Side(sets=("s",)), dst=WEB)
    return NodeState(
        endpoints={pod.id: pod},
        policies={"p": PolicyProgram(id="p", ingress=(rule,))},
        sets={name: AddressSet(id=name, members=members("10.0.1.1")) for name in ("s", "nobody's")},
    )


def members(*nets: str) -> frozenset[Member]:
    return frozenset(Member(net=net) for net in nets)


def after(state: NodeState, memory: Memory, *nets: str) -> tuple[bool, Table]:
    """Whether the rendering with more members was followed, and its table, which is right in any case."""
    before = render(state, Settings(), memory).table
    state.apply(NodeDelta(revision=1, sets={"s": SetChange(added=members(*nets))}))
    table = render(state, Settings(), memory).table
    assert table == render(state, Settings()).table
    return table.chains is before.chains, table


def test_members_that_come_and_go_change_elements_alone() -> None:
    state, memory = world(), Memory()
    followed, table = after(state, memory, "10.0.1.2", "fd00::1")
    assert followed
    assert sorted(len(one.elements) for name, one in table.sets.items() if name.startswith("hosts")) == [1, 2]
    state.apply(NodeDelta(revision=2, sets={"s": SetChange(removed=members("10.0.1.1"))}))
    assert render(state, Settings(), memory).table == render(state, Settings()).table


@pytest.mark.parametrize("change", ["network", "run", "growth"])
def test_what_matters_beyond_elements_is_rendered_in_full(
    change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if change != "network":
        monkeypatch.setattr(runs, "LEAST_RULES", 1)
    state, memory = world(), Memory()
    nets = ["10.9.0.0/16"] if change == "network" else ["10.0.1.3"]
    if change == "growth":
        nets = [f"10.1.{number >> 8}.{number & 255}" for number in range(4096)]
    assert not after(state, memory, *nets)[0]


def test_other_programs_and_settings_are_rendered_in_full() -> None:
    state, memory = world(), Memory()
    before = render(state, Settings(), memory).table
    assert render(state, Settings(), memory).table.chains is before.chains
    rejecting = Settings(reject=True)
    assert render(state, rejecting, memory).table == render(state, rejecting).table != before
    del state.sets["s"]
    assert render(state, rejecting, memory).problems != ()
    state.policies["p"] = PolicyProgram(id="p")
    assert render(state, rejecting, memory).table == render(state, rejecting).table
