from tsujiban.kernel.sets import Recorder, SetMemory, TableSets, ask
from tsujiban.kernel.table import Table
from tsujiban.policy.program import AddressSet, Member, NodeState, PortRange, ServiceMember, ServiceSet


def state(*nets: str) -> NodeState:
    member = ServiceMember(address="10.0.0.1", protocol=6, port=80)
    return NodeState(
        sets={"x": AddressSet(id="x", members=frozenset(Member(net=net) for net in nets))},
        service_sets={"n": ServiceSet(id="n", members=frozenset({member}))},
    )


def test_only_what_is_asked_for_is_made() -> None:
    table = Table("t")
    sets = TableSets(state("10.0.0.1", "fd00::1"), table, SetMemory())
    assert table.sets == {}
    name = sets.addresses("x", 4)
    assert name == sets.addresses("x", 4)
    assert [*table.sets] == [name]
    assert table.sets[name or ""].elements == {"10.0.0.1": ""}
    assert sets.addresses("absent", 4) is None
    assert sets.services("absent", 4) is None
    assert table.sets[sets.services("n", 4) or ""].elements == {"10.0.0.1 . 6 . 80": ""}
    assert table.sets[sets.services("n", 6) or ""].elements == {}


def test_a_set_with_networks_has_another_name() -> None:
    names = [
        TableSets(state(net), Table("t"), SetMemory()).addresses("x", 4) for net in ("10.0.0.1", "10.0.0.0/8")
    ]
    assert names[0] != names[1]


def test_constants_are_called_by_their_content() -> None:
    table = Table("t")
    sets = TableSets(NodeState(), table, SetMemory())
    assert sets.networks(("10.0.0.0/8", "11.0.0.0/8"), 4) == sets.networks(("11.0.0.0/8", "10.0.0.0/8"), 4)
    assert sets.protocols((17, 6)) == sets.protocols((6, 17))
    ports = sets.ports((PortRange(first=80, last=80), PortRange(first=443, last=445)))
    assert table.sets[ports].elements == {"80": "", "443-445": ""}
    assert table.sets[ports].interval


def test_questions_are_remembered_with_their_answers() -> None:
    sets = TableSets(state("10.0.0.1"), Table("t"), SetMemory())
    recorder = Recorder(sets)
    recorder.addresses("x", 4)
    recorder.addresses("absent", 4)
    recorder.services("n", 4)
    recorder.networks(["10.0.0.0/8"], 4)
    recorder.ports([PortRange(first=1, last=2)])
    recorder.protocols({6, 17})
    assert len(recorder.asked) == 6
    again = TableSets(state("10.0.0.2"), Table("t"), SetMemory())
    assert all(ask(again, what, arguments) == answer for what, arguments, answer in recorder.asked)
    changed = TableSets(state("10.0.0.0/24"), Table("t"), SetMemory())
    assert any(ask(changed, what, arguments) != answer for what, arguments, answer in recorder.asked)
