from __future__ import annotations

from tests.support.proxystate import CUSTOMER, PLAIN, POD_CIDRS, STRANGER, identity, port, rule, state

from tsujiban.policy.program import (
    Action,
    AuthzAction,
    AuthzProgram,
    AuthzRule,
    Direction,
    Mesh,
    Peer,
    PolicyProgram,
    Side,
)
from tsujiban.proxy import names
from tsujiban.proxy.decisions import Branch, Leaf
from tsujiban.proxy.peers import Peers
from tsujiban.proxy.reach import Reach, egress, has_staged, ingress

DENIED = Leaf(allow=False, rules=("_tier/default",))


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
    world = state(rule("r", dst=port(80, 90)), rule("s", dst=port(85)))
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
