"""A run's map answers what the list of its rules would, after any history of its sets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tsujiban.kernel.elements import VERSIONS, AddressElements
from tsujiban.kernel.runs import Entry, RunElements, Simple, simple, split
from tsujiban.policy.program import Action, AddressSet, Direction, Member, PortRange, Ports, Rule, Side

HOSTS = ("10.0.0.1", "10.0.0.2", "fd00::1")
PORTS = (80, 81)
SETS = ("x", "y")

hosts = st.frozensets(st.sampled_from(HOSTS))
worlds = st.fixed_dictionaries(dict.fromkeys(SETS, hosts))
ports = st.sampled_from(((80, 80), (80, 81), (81, 81))).map(
    lambda ends: Ports(ranges=(PortRange(first=ends[0], last=ends[1]),))
)
peers = st.sampled_from(SETS).map(lambda name: Side(sets=(name,))) | st.lists(
    st.sampled_from(HOSTS), min_size=1, max_size=2
).map(lambda nets: Side(nets=tuple(nets)))


@st.composite
def rules(draw: st.DrawFn) -> list[Rule]:
    ported = draw(st.booleans())
    return [
        Rule(
            id=f"p/ingress/{number}",
            action=draw(st.sampled_from((Action.ALLOW, Action.DENY))),
            ip_version=draw(st.sampled_from((None, None, 4, 6))),
            protocols=draw(st.sampled_from(((6,), (6, 17)))) if ported else (),
            src=draw(peers),
            dst=Side(ports=draw(ports)) if ported else Side(),
        )
        for number in range(draw(st.integers(1, 8)))
    ]


def first(
    found: list[Rule], world: dict[str, frozenset[str]], host: str, protocol: int, port: int
) -> str | None:
    """The first rule that matches, found by looking at each."""
    for rule in found:
        members = world[rule.src.sets[0]] if rule.src.sets else rule.src.nets or ()
        version = 6 if ":" in host else 4
        ranges = rule.dst.ports.ranges if rule.dst.ports else ()
        if (
            host in members
            and rule.ip_version in (None, version)
            and (not rule.protocols or protocol in rule.protocols)
            and (not ranges or any(one.first <= port <= one.last for one in ranges))
        ):
            return f"goto {rule.id}"
    return None


@given(rules(), st.lists(worlds, min_size=1, max_size=5))
def test_the_map_answers_as_the_list_does(
    found: list[Rule], history: list[dict[str, frozenset[str]]]
) -> None:
    listed = [simple(rule, Direction.INGRESS) for rule in found]
    made, held = RunElements(), {name: AddressElements() for name in SETS}

    def entries() -> list[Entry]:
        given = []
        for one in listed:
            assert one is not None
            elements = held[one.peers] if isinstance(one.peers, str) else None
            by_version = {v: one.addresses(v, elements.elements(v) if elements else None) for v in VERSIONS}
            given.append(Entry(one, by_version, f"goto {one.rule.id}"))
        return given

    for world in history:
        for name, members in world.items():
            held[name].update(AddressSet(id=name, members=frozenset(Member(net=net) for net in members)))
        made.update(entries())
        fresh = RunElements()
        fresh.update(entries())
        for version in VERSIONS:
            assert made.elements(version) == fresh.elements(version)
        for host in HOSTS:
            for protocol in (6, 17):
                for port in PORTS:
                    key = f"{host} . {protocol} . {port}" if found[0].dst.ports else host
                    answer = made.elements(6 if ":" in host else 4).get(key)
                    assert answer == first(found, world, host, protocol, port)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.none() | st.lists(st.booleans(), max_size=9))), st.integers(1, 9)
)
def test_runs_keep_every_item_in_its_place(items: list[tuple[int, list[bool] | None]], least: int) -> None:
    def rule(ported: bool) -> Simple:
        return Simple(Rule(id="r", action=Action.ALLOW), "x", (" . 6 . 80",) if ported else ("",))

    given = [(number, None if kinds is None else [rule(kind) for kind in kinds]) for number, kinds in items]
    found = list(split(given, least))
    assert [number for group, _ in found for number in group] == [number for number, _ in items]
    for group, run in found:
        assert run or len(group) == 1
        assert len({one.ported for one in run}) <= 1
