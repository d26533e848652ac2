from __future__ import annotations

from typing import Any

from msgspec.structs import replace
from tests.support.proxystate import CUSTOMER, POD_CIDRS, SERVER, STRANGER, identity, port, rule, state

from tsujiban.policy.program import (
    Action,
    AuthzAction,
    AuthzProgram,
    AuthzRule,
    Backend,
    Direction,
    NodeState,
    PolicyProgram,
    ServicePort,
    ServiceProgram,
    Side,
)
from tsujiban.proxy import names
from tsujiban.proxy.accesslog import ProxyEvent
from tsujiban.proxy.peers import Peers
from tsujiban.proxy.reach import Reach, egress, has_staged, ingress
from tsujiban.proxy.unlisted import Tables, explained

UNLISTED = (names.UNLISTED_RULE,)
CLIENTS = rule("r", src=Side(sets=("clients",)))
DEFAULT = ("_tier/default",)


def tables(world: NodeState, *, staged: bool = False) -> Tables:
    endpoint = world.endpoints["default/server"]
    would = ingress(world, endpoint, staged=True) if staged else None
    return Tables(ingress(world, endpoint), egress(world, endpoint, POD_CIDRS), would)


def incoming(**changes: Any) -> ProxyEvent:
    fields: dict[str, Any] = {
        "time_ns": 0,
        "endpoint": "default/server",
        "log": "tunnel",
        "direction": "ingress",
        "verdict": "deny",
        "rules": UNLISTED,
        "source": STRANGER,
        "source_port": 40000,
        "destination": SERVER,
        "destination_port": 80,
        "peer": identity("stranger"),
    }
    return ProxyEvent(**{**fields, **changes})


def outgoing(address: str, at: int = 80) -> ProxyEvent:
    return incoming(direction="egress", log="egress", peer="", destination=address, destination_port=at)


def rules(event: ProxyEvent, *newest: Tables, world: NodeState) -> tuple[str, ...]:
    return explained(event, newest, Peers(world.peers), world.services).rules


def test_a_refused_peer_is_told_the_rule_that_denies_it() -> None:
    world = state(CLIENTS, rule("no", Action.DENY, dst=port(81)))
    made = tables(world)
    assert rules(incoming(), made, world=world) == DEFAULT
    assert rules(incoming(destination_port=81), made, world=world) == ("no",)


def test_who_does_not_own_the_address_or_proves_nothing_is_refused_for_that() -> None:
    world = state(CLIENTS)
    made = tables(world)
    for changes in ({"source": CUSTOMER}, {"peer": ""}, {"peer": identity("nobody")}):
        assert rules(incoming(**changes), made, world=world) == (names.IDENTITY_RULE,)


def test_other_records_are_left_as_they_are() -> None:
    world = state(CLIENTS)
    event = incoming(rules=("x",), staged="deny y")
    assert explained(event, [tables(world)], Peers(world.peers), {}) is event
    event = outgoing("10.244.9.9")
    event = explained(event, [tables(world)], Peers(world.peers), {})
    assert explained(event, [tables(world)], Peers(world.peers), {}) is event


def test_whom_the_proxy_was_not_told_of_in_time_is_named_so() -> None:
    world = state(CLIENTS)
    event = explained(outgoing(CUSTOMER), [tables(world)], Peers(world.peers), {})
    assert event.rules == UNLISTED
    assert "agent did not tell" in event.detail
    event = explained(
        outgoing(CUSTOMER), [tables(world)], Peers(world.peers), {}, frozenset({identity("customer")})
    )
    assert event.rules == (names.REVOKED_RULE,)


def test_a_record_that_comes_after_the_change_has_the_rule_of_before() -> None:
    denying, allowing = state(CLIENTS), state(rule("all"))
    assert rules(incoming(), tables(allowing), tables(denying), world=allowing) == DEFAULT
    assert rules(incoming(), tables(allowing), world=allowing) == UNLISTED
    denying = state(egress=(rule("e", dst=port(81)),))
    assert rules(outgoing(CUSTOMER), tables(allowing), tables(denying), world=allowing) == DEFAULT


def test_a_destination_is_denied_by_the_egress_program_or_nobodys() -> None:
    world = state(egress=(rule("no", Action.DENY, dst=port(81)), rule("e", dst=Side(nets=("192.0.2.0/24",)))))
    made = tables(world)
    assert rules(outgoing(CUSTOMER), made, world=world) == DEFAULT
    assert rules(outgoing(CUSTOMER, 81), made, world=world) == ("no",)
    assert rules(outgoing("10.244.9.9"), made, world=world) == (names.UNKNOWN_RULE,)


def test_a_services_address_is_refused_by_what_denies_its_first_backend() -> None:
    world = state(egress=(rule("no", Action.DENY, dst=port(81)), rule("e", dst=Side(nets=("192.0.2.0/24",)))))
    backends = (Backend(address=STRANGER, port=82), Backend(address=CUSTOMER, port=81))
    ports = (ServicePort(protocol=6, port=80, backends=backends), ServicePort(protocol=6, port=79))
    world.services = {"s": ServiceProgram(id="s", addresses=("10.96.0.1",), ports=ports)}
    made = tables(world)
    assert rules(outgoing("10.96.0.1"), made, world=world) == ("no",)
    for at in (78, 79):
        assert rules(outgoing("10.96.0.1", at), made, world=world) == (names.UNKNOWN_RULE,)


def test_what_staged_policies_would_say_is_told_as_if_everybody_were_listed() -> None:
    world = state(CLIENTS)
    staged = rule("staged", Action.DENY, src=Side(nets=(f"{STRANGER}/32",)))
    world.policies["p"] = world.policies["p"].__class__(id="p", staged=True, ingress=(staged, rule("yes")))
    world.policies["q"] = world.policies["p"].__class__(id="q", ingress=(CLIENTS,))
    endpoint = world.endpoints["default/server"]
    tier = endpoint.ingress[0].__class__(
        name="t", default_action=Action.DENY, default_id="_tier/default", policies=("p", "q")
    )
    world.endpoints["default/server"] = type(endpoint)(
        **{name: getattr(endpoint, name) for name in endpoint.__struct_fields__} | {"ingress": (tier,)}
    )
    made = tables(world, staged=True)

    def would(event: ProxyEvent) -> str:
        return explained(event, [made], Peers(world.peers), {}).staged

    assert would(incoming()) == "deny staged"  # neither lists it
    assert would(incoming(staged="allow yes")) == "allow yes"
    assert would(incoming(rules=("r",), staged=f"deny {names.UNLISTED_RULE}")) == "deny staged"
    assert would(incoming(staged="deny _tier/default")) == ""  # the same rule after all
    assert would(incoming(rules=("r",), staged="")) == ""
    assert would(incoming(source=CUSTOMER)) == ""  # not its address, whatever is staged


def test_audit_rules_that_hold_are_told_with_the_denial() -> None:
    world = state(CLIENTS, rule("all"), authorization=("audit", "z"))
    everybody = AuthzRule(id="audit/0")
    world.authorizations["audit"] = AuthzProgram(id="audit", action=AuthzAction.AUDIT, rules=(everybody,))
    world.authorizations["z"] = AuthzProgram(id="z", action=AuthzAction.ALLOW)
    event = explained(incoming(), [tables(world)], Peers(world.peers), {})
    assert event.rules == ("_authz/no-allow",)
    assert event.audits == ("audit/0",)


def test_what_staged_policies_would_say_of_an_outgoing_connection_is_the_agent_s_to_tell() -> None:
    world = state(egress=(rule("e", dst=port(80)), rule("bytes", dst=port(82))))
    no, go = rule("no", Action.DENY, dst=port(80)), rule("go", dst=port(81))
    world.policies["s"] = PolicyProgram(id="s", staged=True, egress=(no, go, rule("same", dst=port(83))))
    endpoint = world.endpoints["default/server"]
    assert not has_staged(world, endpoint, Direction.EGRESS)
    (first,) = endpoint.egress
    endpoint = replace(endpoint, egress=(replace(first, policies=("s", *first.policies)),))
    world.endpoints["default/server"] = endpoint
    assert has_staged(world, endpoint, Direction.EGRESS)
    assert not has_staged(world, endpoint, Direction.INGRESS)
    services = {
        "s": ServiceProgram(
            id="s",
            addresses=("10.96.0.1",),
            ports=(ServicePort(protocol=6, port=8080, backends=(Backend(address=CUSTOMER, port=81),)),),
        )
    }
    peers = Peers(world.peers)
    would = Reach(world, endpoint, Direction.EGRESS, peers, POD_CIDRS, staged=True).table
    made = tables(world)._replace(staged_egress=would)

    def told(event: ProxyEvent, **changes: Any) -> tuple[tuple[str, ...], str]:
        found = explained(replace(event, **changes), [made], peers, services)
        return found.rules, found.staged

    allowed: dict[str, Any] = {"verdict": "allow", "rules": ("e",)}
    assert told(outgoing(CUSTOMER, 80), **allowed) == (("e",), "deny no")
    assert told(outgoing(CUSTOMER, 81)) == (DEFAULT, "allow go")
    assert told(outgoing("10.96.0.1", 8080)) == (DEFAULT, "allow go")
    assert told(outgoing(CUSTOMER, 82), verdict="allow", rules=("bytes",)) == (("bytes",), "")
    assert told(outgoing(CUSTOMER, 84)) == (DEFAULT, "")
    assert told(outgoing("10.244.9.9", 80)) == ((names.UNKNOWN_RULE,), "")
    for unproven in ((names.IDENTITY_RULE,), (names.REVOKED_RULE,)):
        assert told(outgoing(CUSTOMER, 80), rules=unproven) == (unproven, "")
    assert told(outgoing(CUSTOMER, 80), log="ended", rules=("x",)) == (("x",), "")
    assert explained(outgoing(CUSTOMER, 81), [tables(world)], peers, services).staged == ""
