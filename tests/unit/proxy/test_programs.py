from __future__ import annotations

import gc

import pytest
from msgspec import structs
from tests.support.proxystate import CUSTOMER, POD_CIDRS, SERVER, STRANGER, identity, port, rule, state

from tsujiban.policy.program import (
    Action,
    AddressSet,
    Direction,
    EndpointProgram,
    Member,
    NodeState,
    Rule,
    Side,
)
from tsujiban.proxy import names
from tsujiban.proxy.compiler import Compiler, Judgement
from tsujiban.proxy.decisions import Leaf
from tsujiban.proxy.peers import Peers
from tsujiban.proxy.programs import Programs
from tsujiban.proxy.reach import MANY_CHANGES, Reach
from tsujiban.proxy.render import Renderer
from tsujiban.proxy.resource import Kind
from tsujiban.proxy.site import NodeSite

ONLY_CLIENTS = rule("r", src=Side(sets=("clients",)))
NEW = "10.244.7.7"
REPLICA = "10.244.0.9"


def replicas(
    *rules: Rule, egress: tuple[Rule, ...] | None = None
) -> tuple[NodeState, EndpointProgram, EndpointProgram]:
    """The server, and another pod of the same policies, with an identity of its own."""
    world = state(*(rules or (ONLY_CLIENTS,)), egress=egress)
    one = world.endpoints["default/server"]
    other = structs.replace(one, id="default/other", addresses=(REPLICA,), identity=identity("other"))
    world.endpoints[other.id] = other
    return world, one, other


def find(programs: Programs, world: NodeState, endpoint: EndpointProgram, peers: Peers) -> tuple[Reach, bool]:
    return programs.find(world, endpoint, Direction.INGRESS, peers)


def test_endpoints_of_the_same_policies_share_their_table() -> None:
    world, one, other = replicas()
    programs, peers = Programs(), Peers(world.peers)
    first, made = find(programs, world, one, peers)
    assert made
    assert find(programs, world, other, peers) == (first, False)
    assert find(programs, world, structs.replace(other, profiles=()), peers)[1]
    assert programs.find(world, one, Direction.EGRESS, peers, POD_CIDRS)[1]
    assert programs.find(world, one, Direction.INGRESS, peers, staged=True)[1]


def test_an_endpoint_that_a_rule_tells_apart_has_its_own() -> None:
    world, one, other = replicas(rule("r", dst=Side(sets=("ours",))))
    world.sets["ours"] = AddressSet(id="ours", members=frozenset({Member(net=SERVER, identity=one.identity)}))
    programs, peers = Programs(), Peers(world.peers)
    first, _ = find(programs, world, one, peers)
    second, made = find(programs, world, other, peers)
    assert made
    assert first.table.find(identity("customer"), CUSTOMER, 80) == Leaf(allow=True, rules=("r",))
    assert second.table.find(identity("customer"), CUSTOMER, 80) != Leaf(allow=True, rules=("r",))


def test_a_change_is_compiled_once_and_leaves_the_tables_before_it() -> None:
    world, one, other = replicas()
    programs, peers = Programs(), Peers(world.peers)
    before, _ = find(programs, world, one, peers)
    world.sets["clients"] = AddressSet(
        id="clients", members=frozenset({Member(net=STRANGER, identity=identity("stranger"))})
    )
    after, made = find(programs, world, other, peers)
    assert made
    assert find(programs, world, one, peers) == (after, False)
    yes = Leaf(allow=True, rules=("r",))
    assert before.table.find(identity("customer"), CUSTOMER, 80) == yes
    assert after.table.find(identity("stranger"), STRANGER, 80) == yes


def test_a_set_of_which_a_member_comes_has_nothing_compiled_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    net = AddressSet(id="net", members=frozenset({Member(net="192.0.2.0/24")}))
    both = (rule("no", Action.DENY, src=Side(sets=("net",))), rule("r", src=Side(sets=("clients",))))
    world, one, other = replicas(*both)
    world.sets["net"] = net
    programs, peers = Programs(), Peers(world.peers)
    before, _ = find(programs, world, one, peers)
    judged: list[str] = []

    def judge(self: Compiler, prefix: str, identity: str) -> Judgement:
        judged.append(prefix)
        return as_ever(self, prefix, identity)

    as_ever = Compiler.judge
    monkeypatch.setattr(Compiler, "judge", judge)
    monkeypatch.setattr(Compiler, "__init__", None)
    member = Member(net=STRANGER, identity=identity("stranger"))
    clients = AddressSet(id="clients", members=world.sets["clients"].members | {member})
    world.sets["clients"] = clients
    after, made = find(programs, world, other, peers)
    assert made
    assert set(judged) == {STRANGER}
    assert before.table.find(identity("stranger"), STRANGER, 80) != Leaf(allow=True, rules=("r",))
    assert after.table.find(identity("stranger"), STRANGER, 80) == Leaf(allow=True, rules=("r",))
    judged.clear()
    world.sets["net"] = AddressSet(id="net", members=frozenset({Member(net="10.244.0.2/31")}))
    last, _ = find(programs, world, one, peers)
    assert {"10.244.0.2/31", CUSTOMER, STRANGER} <= set(judged)
    assert last.table.find(identity("stranger"), STRANGER, 80) == Leaf(allow=False, rules=("no",))


def test_when_more_changes_than_some_members_all_is_looked_at() -> None:
    world, one, _ = replicas()
    programs, peers = Programs(), Peers(world.peers)
    reach, _ = find(programs, world, one, peers)
    many = frozenset(
        Member(net=f"198.18.{number // 250}.{number % 250}") for number in range(MANY_CHANGES + 1)
    )
    clients = world.sets["clients"]
    for members, follows in ((many, False), (clients.members | set(list(many)[:9]), True)):
        world.sets["clients"] = AddressSet(id="clients", members=members)
        assert (reach.with_members(world, one, ()) is not None) is follows
    world.sets["clients"] = clients
    world.policies["p"] = structs.replace(world.policies["p"], ingress=())
    assert reach.with_members(world, one, ()) is None
    del world.sets["clients"]
    assert reach.with_members(world, one, ()) is None


def test_new_owners_of_addresses_are_looked_at_once_for_all() -> None:
    world, one, other = replicas(rule("all", src=Side(sets=("clients",))))
    clients = world.sets["clients"].members | {Member(net=NEW, identity=other.identity)}
    world.sets["clients"] = AddressSet(id="clients", members=clients)
    programs, peers = Programs(), Peers(world.peers)
    reach, _ = find(programs, world, one, peers)
    before = reach.table
    world.peers[NEW] = structs.replace(world.peers[STRANGER], address=NEW, identity=other.identity)
    programs.moved(peers.take(world.peers))
    assert find(programs, world, other, peers) == (reach, False)
    newest = reach.table
    assert newest is not before
    assert newest.find(other.identity, NEW, 80) == Leaf(allow=True, rules=("all",))
    assert find(programs, world, one, peers)[0].table is newest


def test_what_nobody_holds_is_forgotten() -> None:
    world, one, other = replicas()
    programs, peers = Programs(), Peers(world.peers)
    find(programs, world, one, peers)
    gc.collect()
    assert find(programs, world, other, peers)[1]


def test_replicas_in_one_proxy_are_rendered_from_one_table_under_their_own_names() -> None:
    world, one, other = replicas(egress=(rule("e", dst=port(80)),))
    programs, peers = Programs(), Peers(world.peers)
    made = []
    for number, endpoint in enumerate((one, other)):
        renderer = Renderer(endpoint.id, NodeSite(namespace=f"/run/netns/n-{number}"), programs)
        renderer.take(world, peers, (), POD_CIDRS)
        made.append(renderer)
    assert [one.work["ingress table"] + one.work["egress table"] for one in made] == [2, 0]
    assert made[0].tables == made[1].tables
    kept = ([*one.resources[Kind.EXTENSION].values()] for one in made)
    # the one of them has a service of its own, of whose clusters there are names
    first, second = ([one for one in all_ if not one.name.endswith(names.SERVICE_ROUTE)] for all_ in kept)
    assert not {one.name for one in first} & {one.name for one in second}
    for here, there in zip(first, second, strict=True):
        assert here.version != there.version
        assert here.message().typed_config == there.message().typed_config  # type: ignore[attr-defined]
