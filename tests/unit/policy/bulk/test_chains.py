"""What is left of a chain for what flows carry: that it is little is why judging is fast."""

from __future__ import annotations

from tsujiban.policy.bulk.asked import Asked, Questions
from tsujiban.policy.bulk.chains import Chain, Group, Outcome, Part, Plan, View
from tsujiban.policy.bulk.places import Places
from tsujiban.policy.flow import Post
from tsujiban.policy.program import (
    Action,
    AddressSet,
    Http,
    Icmp,
    NodeState,
    PortRange,
    Ports,
    Rule,
    ServiceSet,
    Side,
)
from tsujiban.policy.world import World

STATE = NodeState(sets={"s": AddressSet(id="s")}, service_sets={"web": ServiceSet(id="web")})
WORLD = World(STATE)
PLACES = Places(WORLD)
QUESTIONS = Questions()
FROM_S = Side(sets=("s",))


def outcome(action: Action, name: str) -> Outcome:
    found = Outcome("ingress", action, name, Post.KERNEL)
    found.proxied = Outcome("ingress", action, name, Post.PROXY)
    return found


def group(*rules: Rule, default: Action | None = None) -> Group:
    parts = [Part(rule, outcome(rule.action, rule.id), PLACES, 0, WORLD) for rule in rules]
    return parts, None if default is None else outcome(default, "default")


END: Group = ([], outcome(Action.DENY, "none"))


def rule(action: Action, name: str, **clauses: object) -> Rule:
    return Rule(id=name, action=action, **clauses)  # type: ignore[arg-type]


def ports(*numbers: int, named: tuple[str, ...] = ()) -> Side:
    return Side(ports=Ports(ranges=tuple(PortRange(first=n, last=n) for n in numbers), named=named))


def ask(protocol: int = 6, port: int = 80, icmp: int | None = None) -> Asked:
    return QUESTIONS.ask((protocol, port, None, icmp, None, None, ""), None)


def names(plan: Plan) -> list[str]:
    return [step[3].rule for step in plan.steps]


def plan(chain: Chain, asked: Asked, view: View = View.BLIND) -> Plan:
    return chain.plan(asked, view)


def test_rules_of_other_ports_and_protocols_are_left_out() -> None:
    chain = Chain(
        [
            group(
                rule(Action.ALLOW, "udp", protocols=(17,), src=FROM_S),
                rule(Action.ALLOW, "not tcp", not_protocols=(6,), src=FROM_S),
                rule(Action.ALLOW, "443", src=FROM_S, dst=ports(443)),
                rule(Action.ALLOW, "but 80", src=FROM_S, dst=Side(not_ports=ports(80).ports)),
                rule(Action.ALLOW, "80", src=FROM_S, dst=ports(80)),
                default=Action.DENY,
            ),
            END,
        ]
    )
    assert names(plan(chain, ask())) == ["80", "default"]
    assert names(plan(chain, ask(17, 443))) == ["udp", "not tcp", "443", "but 80", "default"]


def test_nothing_after_a_rule_that_always_matches_is_kept() -> None:
    chain = Chain([group(rule(Action.DENY, "all"), rule(Action.ALLOW, "late")), END])
    found = plan(chain, ask())
    assert names(found) == ["all"]
    assert found.certain is not None
    assert found.certain.rule == "all"


def test_what_depends_on_an_end_is_not_certain() -> None:
    chain = Chain([group(rule(Action.ALLOW, "some", src=FROM_S), default=Action.DENY)])
    assert plan(chain, ask()).certain is None


def test_a_pass_leads_to_the_next_tier() -> None:
    chain = Chain(
        [
            group(
                rule(Action.PASS, "pass", src=FROM_S),
                rule(Action.ALLOW, "between", src=FROM_S),
                default=Action.DENY,
            ),
            group(rule(Action.ALLOW, "second")),
            END,
        ]
    )
    found = plan(chain, ask())
    assert names(found) == ["pass", "between", "default", "second"]
    assert found.steps[0][4] == 3


def test_a_tier_that_passes_everything_leaves_nothing() -> None:
    chain = Chain([group(rule(Action.PASS, "pass")), group(default=Action.PASS), END])
    assert names(plan(chain, ask())) == ["none"]


def test_a_rule_that_logs_ends_nothing() -> None:
    chain = Chain([group(rule(Action.LOG, "log"), rule(Action.ALLOW, "all")), END])
    found = plan(chain, ask())
    assert names(found) == ["log", "all"]
    assert found.certain is None


def test_icmp_types_and_ports_go_apart() -> None:
    chain = Chain(
        [
            group(
                rule(Action.ALLOW, "ping", icmp=Icmp(type=8)),
                rule(Action.ALLOW, "no pong", not_icmp=Icmp(type=0), src=FROM_S),
                rule(Action.ALLOW, "port", dst=ports(80), src=FROM_S),
            ),
            END,
        ]
    )
    assert names(plan(chain, ask(1, 80, 8))) == ["ping"]
    assert names(plan(chain, ask(1, 80, 0))) == ["none"]
    assert names(plan(chain, ask(6, 80))) == ["no pong", "port", "none"]


def test_a_named_port_is_asked_of_the_destination_unless_its_number_fits() -> None:
    chain = Chain([group(rule(Action.ALLOW, "web", dst=ports(443, named=("web",)))), END])
    extra = plan(chain, ask(6, 80)).steps[0][2]
    assert extra is not None
    assert extra.named == ("web",)
    assert extra.asks is None
    assert plan(chain, ask(6, 443)).steps[0][2] is None


def test_what_is_not_known_is_asked_of_the_definition() -> None:
    for odd in (
        rule(Action.ALLOW, "r", src=Side(sets=("missing",))),
        rule(Action.ALLOW, "r", dst=ports(named=("missing",))),
        rule(Action.ALLOW, "r", src=ports(1)),
        rule(Action.ALLOW, "r", dst=Side(services=("web",))),
        rule(Action.ALLOW, "r", dst=Side(not_ports=Ports(named=("web",)))),
        rule(Action.ALLOW, "r", ip_version=6),
    ):
        extra = plan(Chain([group(odd), END]), ask()).steps[0][2]
        assert extra is not None
        assert extra.asks is odd


def test_requests_are_the_proxys_to_read() -> None:
    http = Http(methods=("GET",))
    chain = Chain([group(rule(Action.ALLOW, "get", http=http)), END])
    assert names(plan(chain, ask())) == ["none"]
    seen, proxied = plan(chain, ask(), View.KERNEL), plan(chain, ask(), View.PROXY)
    assert seen.reads
    assert seen.certain is not None
    extra = proxied.steps[0][2]
    assert extra is not None
    assert extra.request is http
    assert proxied.steps[0][3].post is Post.PROXY
    assert not plan(Chain([group(rule(Action.DENY, "get", http=http)), END]), ask(), View.KERNEL).reads


def test_plans_are_found_by_the_number_of_what_is_carried() -> None:
    chain = Chain([END])
    asked = ask()
    found = chain.plan(asked, View.BLIND)
    assert chain.blind[asked.number] is found
    assert chain.seen is chain.blind, "where no rule reads requests, a proxy behind changes nothing"
    chain.forget()
    assert not chain.blind


def test_the_same_outcome_after_rules_that_log() -> None:
    found = outcome(Action.ALLOW, "r").with_logged(["l"])
    assert (found.rule, found.post, found.logged) == ("r", Post.KERNEL, ("l",))
    assert (found.proxied.post, found.proxied.logged) == (Post.PROXY, ("l",))
    assert found.of("x/a").logged == ("l",)
