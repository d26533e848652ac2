from __future__ import annotations

from tests.support.proxystate import CUSTOMER, PLAIN, POD_CIDRS, STRANGER, identity, port, rule, state

from tsujiban.policy.program import (
    Action,
    AddressSet,
    AuthzAction,
    AuthzProgram,
    AuthzRule,
    AuthzSource,
    Direction,
    Member,
    Mesh,
    Peer,
    PolicyProgram,
    Side,
    StringMatch,
)
from tsujiban.proxy import names
from tsujiban.proxy.decisions import Branch, Leaf
from tsujiban.proxy.peers import Peers
from tsujiban.proxy.reach import MANY, Reach, egress, has_staged, ingress
from tsujiban.proxy.table import Table

DENIED = Leaf(allow=False, rules=("_tier/default",))


YES = Leaf(allow=True, rules=("r",))


def members(table: Table) -> set[str]:
    """Who is listed among those of a crowd."""
    return {prefix for crowd in table.crowds for row in crowd.rows for prefix in row.prefixes}


def test_where_anybody_is_let_in_nobody_is_listed() -> None:
    world = state(rule("r", dst=port(80)))
    table = ingress(world, world.endpoints["default/server"])
    assert set(table.rows) <= {""}
    (crowd,) = table.crowds
    assert (crowd.prefix, crowd.rows, crowd.closed) == ("spiffe://t.example/ns/", (), ())
    assert table.find(identity("customer"), CUSTOMER, 80) == YES
    assert table.find(identity("customer"), STRANGER, 80) is None


def test_who_is_told_from_his_crowd_is_listed_by_address_also_when_he_is_let_in_nowhere() -> None:
    world = state(rule("no", Action.DENY, src=Side(sets=("clients",))), rule("r"))
    table = ingress(world, world.endpoints["default/server"])
    assert members(table) == {CUSTOMER}
    assert table.find(identity("customer"), CUSTOMER, 80) == Leaf(allow=False, rules=("no",))
    assert table.find(identity("stranger"), STRANGER, 80) == YES


def test_many_who_are_let_in_by_name_are_a_crowd_too_and_the_others_of_it_are_closed_out() -> None:
    world = state(rule("r", src=Side(sets=("clients",))))
    added = {f"10.244.9.{number}": identity(f"c{number}") for number in range(MANY)}
    for address, owner in added.items():
        world.peers[address] = Peer(address=address, endpoint=address, identity=owner, mesh=Mesh.SIDECAR)
    few = ingress(world, world.endpoints["default/server"])
    assert (few.crowds, set(few.rows)) == ((), {"", identity("customer")})
    clients = world.sets["clients"].members | {Member(net=net, identity=one) for net, one in added.items()}
    world.sets["clients"] = AddressSet(id="clients", members=clients)
    table = ingress(world, world.endpoints["default/server"])
    assert members(table) == {CUSTOMER, *added}
    assert table.crowds[0].rest == {4: None, 6: None}
    assert set(table.rows) <= {""}


def test_namespaces_that_rules_name_are_crowds_of_their_own() -> None:
    world = state(rule("r"), authorization=("z",))
    source = AuthzSource(namespaces=(StringMatch(exact="shop"),))
    named = AuthzSource(principals=(StringMatch(prefix="t.example/ns/bank/"),))
    one = AuthzSource(principals=(StringMatch(exact="t.example/ns/default/sa/customer"),))
    world.authorizations["z"] = AuthzProgram(
        id="z", action=AuthzAction.ALLOW, rules=(AuthzRule(id="z/0", sources=(source, named, one)),)
    )
    table = ingress(world, world.endpoints["default/server"])
    begin = "spiffe://t.example/ns/"
    assert [crowd.prefix for crowd in table.crowds] == [begin, f"{begin}bank/sa/", f"{begin}shop/sa/"]
    assert members(table) == {CUSTOMER}
    closed, bank, shop = table.crowds
    assert closed.rest == {4: None, 6: None}
    assert bank.rest == shop.rest
    assert bank.rest[4] is not None


def test_every_identity_has_rows_of_the_addresses_that_it_owns() -> None:
    world = state(rule("r", src=Side(sets=("clients",)), dst=port(80)))
    table = ingress(world, world.endpoints["default/server"])
    yes = Leaf(allow=True, rules=("r",))
    assert table.find(identity("customer"), CUSTOMER, 80) == yes
    assert table.find(identity("customer"), CUSTOMER, 81) == DENIED
    assert table.find(identity("stranger"), STRANGER, 80) == DENIED
    assert table.find(identity("customer"), STRANGER, 80) is None
    assert table.find(identity("nobody"), "10.244.0.9", 80) is None


def test_plaintext_proves_no_identity() -> None:
    world = state(rule("r", src=Side(sets=("clients",))), rule("n", src=Side(nets=("192.0.2.0/24",))))
    table = ingress(world, world.endpoints["default/server"])
    assert table.find("", CUSTOMER, 80) == DENIED
    assert table.find("", "192.0.2.7", 80) == Leaf(allow=True, rules=("n",))
    assert table.find("", "fd00::1", 80) == DENIED


def test_ports_of_equal_decision_are_one_interval() -> None:
    low, high = port(80, 90), port(85)
    clients = Side(sets=("clients",))
    world = state(rule("r", src=clients, dst=low), rule("s", src=clients, dst=high))
    table = ingress(world, world.endpoints["default/server"])
    intervals = table.rows[identity("customer")][0].intervals
    assert [(one.first, one.last) for one in intervals] == [(0, 79), (80, 90), (91, 65535)]


def test_authorization_follows_what_network_policy_allows() -> None:
    world = state(rule("r", dst=port(80)), authorization=("z",))
    world.authorizations["z"] = AuthzProgram(id="z", action=AuthzAction.ALLOW, rules=(AuthzRule(id="z/0"),))
    table = ingress(world, world.endpoints["default/server"])
    decision = table.find(identity("customer"), CUSTOMER, 80)
    assert isinstance(decision, Branch)
    assert decision.hardening
    assert decision.otherwise == Leaf(allow=True, rules=("r", "z/0"))
    assert table.find(identity("customer"), CUSTOMER, 81) == DENIED


def test_egress_rows_are_by_whether_the_destination_must_prove_an_identity() -> None:
    world = state(egress=(rule("e", dst=Side(nets=("10.244.0.0/24", "192.0.2.0/24"))),))
    table = egress(world, world.endpoints["default/server"], POD_CIDRS)
    yes = Leaf(allow=True, rules=("e",))
    assert table.find(identity("customer"), CUSTOMER, 80) == yes
    assert table.find("", PLAIN, 80) == yes
    assert table.find("", "192.0.2.1", 80) == yes
    assert table.find("", "203.0.113.1", 80) == DENIED
    listed = {
        leads: {prefix for row in rows for prefix in row.prefixes} for leads, rows in table.rows.items()
    }
    assert listed == {"": {PLAIN, "192.0.2.0/24"}, names.MESH: {"10.244.0.0/24"}}
    assert table.closed == ("10.244.0.0/16",)


def test_who_comes_or_goes_in_the_mesh_changes_no_egress_table_and_who_is_out_of_place_does() -> None:
    world = state(egress=(rule("e"),))
    peers = Peers(world.peers)
    reach = Reach(world, world.endpoints["default/server"], Direction.EGRESS, peers, POD_CIDRS)

    def comes(address: str, mesh: Mesh) -> bool:
        before = reach.table
        world.peers[address] = Peer(address=address, endpoint=address, identity=identity("new"), mesh=mesh)
        reach.follow(peers.take(world.peers))
        return reach.table is not before

    assert not comes("10.244.7.7", Mesh.SIDECAR)
    assert not comes("192.0.2.7", Mesh.NONE)
    assert comes("10.244.7.8", Mesh.NONE)
    assert comes("192.0.2.8", Mesh.NODE)
    listed = {
        leads: {prefix for row in rows for prefix in row.prefixes} for leads, rows in reach.table.rows.items()
    }
    assert listed == {"": {PLAIN, "10.244.7.8"}, names.MESH: {"10.244.0.0/16", "192.0.2.8"}}


def test_staged_policies_have_a_table_of_their_own() -> None:
    world = state(rule("r", dst=port(80)))
    endpoint = world.endpoints["default/server"]
    assert not has_staged(world, endpoint, Direction.INGRESS)
    denial = PolicyProgram(id="p", staged=True, ingress=(rule("no", Action.DENY),))
    world.policies["p"] = denial
    assert has_staged(world, endpoint, Direction.INGRESS)
    table = ingress(world, endpoint, staged=True)
    assert table.find(identity("customer"), CUSTOMER, 80) == Leaf(allow=False, rules=("no",))
    assert ingress(world, endpoint).find(identity("customer"), CUSTOMER, 80) == Leaf(
        allow=True, rules=("all/in",)
    )


def test_dry_runs_count_as_staged() -> None:
    world = state(rule("r", dst=port(80)), authorization=("z",))
    world.authorizations["z"] = AuthzProgram(id="z", action=AuthzAction.DENY, dry_run=True)
    assert has_staged(world, world.endpoints["default/server"], Direction.INGRESS)
