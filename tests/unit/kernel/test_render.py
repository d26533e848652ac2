import pytest

from tsujiban.kernel.render import Memory, Settings, render
from tsujiban.policy.program import (
    Action,
    AddressSet,
    EndpointProgram,
    Member,
    NodeState,
    PolicyProgram,
    PortRange,
    Ports,
    Rule,
    Side,
    Tier,
)

WEB = Side(ports=Ports(ranges=(PortRange(first=80, last=80),)))


def endpoint(name: str = "default/a", **fields: object) -> EndpointProgram:
    given = {"interface": "tsja", "mac": "02:00:00:00:00:01", "addresses": ("10.0.0.1", "fd00::1")} | fields
    return EndpointProgram(id=name, node="n", **given)  # type: ignore[arg-type]


def state(*endpoints: EndpointProgram) -> NodeState:
    return NodeState(endpoints={one.id: one for one in endpoints})


def test_endpoints_are_dispatched_by_interface() -> None:
    made = render(state(endpoint()), Settings())
    assert made.interfaces == {"tsja": "default/a"}
    for direction in ("egress", "ingress"):
        elements = made.table.sets[f"{direction}-programs"].elements
        assert [*elements] == ["tsja"]
        assert elements["tsja"].removeprefix("jump ") in made.table.chains
    assert made.table.sets["source-mac4"].elements == {"tsja . 02:00:00:00:00:01 . 10.0.0.1": ""}
    assert made.table.sets["source-mac6"].elements == {"tsja . 02:00:00:00:00:01 . fd00::1": ""}
    assert made.problems == ()


def test_without_a_mac_addresses_alone_are_proven() -> None:
    made = render(state(endpoint(mac="")), Settings())
    assert made.table.sets["source4"].elements == {"tsja . 10.0.0.1": ""}
    assert made.table.sets["source-mac4"].elements == {}


def test_an_empty_state_still_drops_what_is_unknown() -> None:
    chains = render(NodeState(), Settings()).table.chains
    assert chains["forward"].rules == ('iifname "tsj*" goto egress',)
    assert chains["postrouting"].rules == ('oifname "tsj*" goto leaving',)
    for direction in ("egress", "ingress"):
        last = chains[direction].rules[-1].removeprefix("goto ")
        assert chains[last].rules[-1] == "drop"
        assert f"|{direction}|_kernel/unknown-interface" in chains[last].rules[2]


def test_dns_is_all_that_a_pod_reaches_on_its_node() -> None:
    rules = (
        render(NodeState(), Settings(dns_addresses=("10.96.0.10", "fd96::a"))).table.chains["to-node"].rules
    )
    assert [rule for rule in rules if "dport" in rule] == [
        "ip daddr 10.96.0.10 meta l4proto 6 th dport 53 goto egress",
        "ip daddr 10.96.0.10 meta l4proto 17 th dport 53 goto egress",
        "ip6 daddr fd96::a meta l4proto 6 th dport 53 goto egress",
        "ip6 daddr fd96::a meta l4proto 17 th dport 53 goto egress",
    ]
    assert rules[-1].startswith("goto verdict-")


def test_a_pod_has_a_share_of_the_ways_to_the_api() -> None:
    settings = Settings(api_endpoints=(("172.31.255.1", 6443), ("fd31::1", 6443)), api_connections=7)
    table = render(NodeState(), settings).table
    shares = [rule for rule in table.chains["egress"].rules if "ct count" in rule]
    assert [rule.partition(" goto ")[0] for rule in shares] == [
        f"meta l4proto 6 {ip} daddr . th dport @api{version} "
        f"add @to-api{version} {{ iifname ct count over 7 }}"
        for version, ip in ((4, "ip"), (6, "ip6"))
    ]
    refused = table.chains[shares[0].rpartition(" ")[2]].rules
    assert (refused[-1], "|egress|_kernel/connections" in refused[2]) == ("drop", True)
    assert [*table.sets["api4"].elements] == ["172.31.255.1 . 6443"]
    assert "ct count" not in "".join(render(NodeState(), Settings()).table.chains["egress"].rules)


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (endpoint(interface='x"; drop'), "is not the name of a network interface"),
        (endpoint(interface="eth0"), "interface eth0 does not begin with tsj"),
        (endpoint(mac="nonsense"), "'nonsense' is not a MAC address"),
        (endpoint(addresses=("10.0.0.1; accept",)), "does not appear to be an IPv4 or IPv6"),
    ],
)
def test_what_cannot_be_enforced_is_cut_off_and_told(broken: EndpointProgram, problem: str) -> None:
    made = render(state(broken), Settings())
    assert made.interfaces == {}
    assert len(made.problems) == 1
    assert problem in made.problems[0]
    assert made.problems[0].startswith("endpoint default/a: ")
    assert made.problems[0].endswith(": it is cut off")


def test_an_interface_has_one_endpoint() -> None:
    made = render(state(endpoint(), endpoint("default/b")), Settings())
    assert made.interfaces == {"tsja": "default/a"}
    assert made.problems == ("endpoint default/b: interface tsja is default/a's: it is cut off",)


def test_an_endpoint_without_an_interface_is_elsewhere() -> None:
    made = render(state(endpoint(interface="")), Settings())
    assert (made.interfaces, made.problems) == ({}, ())


def test_rendering_again_shares_what_did_not_change() -> None:
    world = state(
        endpoint(ingress=(Tier(name="t", default_action=Action.DENY, default_id="d", policies=("p",)),))
    )
    rules = tuple(Rule(id="p/ingress/0", action=Action.ALLOW, src=Side(sets=(name,))) for name in ("x", "y"))
    world.policies["p"] = PolicyProgram(id="p", ingress=rules)
    for name, net in (("x", "10.0.0.1"), ("y", "10.1.0.0/16")):
        world.sets[name] = AddressSet(id=name, members=frozenset({Member(net=net)}))
    memory = Memory()
    first = render(world, Settings(), memory).table
    world.sets["x"] = AddressSet(id="x", members=frozenset({Member(net="10.0.0.2")}))
    second = render(world, Settings(), memory).table
    assert second.chains == first.chains
    policy = next(name for name in first.chains if name.startswith("policy"))
    assert second.chains[policy] is first.chains[policy]
    changed = {name for name, one in second.sets.items() if one.elements is not first.sets[name].elements}
    held = {name for name in changed if name.startswith(("hosts", "nets"))}
    assert [second.sets[name].elements for name in held] == [{"10.0.0.2": ""}]
    del world.sets["x"]
    world.policies.clear()
    render(world, Settings(), memory)
    assert ([*memory.sets.addresses], memory.policies.kept) == (["y"], {})


def test_a_policy_is_rendered_again_when_a_set_changes_its_kind() -> None:
    world = state(
        endpoint(ingress=(Tier(name="t", default_action=Action.DENY, default_id="d", policies=("p",)),))
    )
    rule = Rule(id="p/ingress/0", action=Action.ALLOW, src=Side(sets=("x",)))
    world.policies["p"] = PolicyProgram(id="p", ingress=(rule,))
    memory = Memory()
    for net in ("10.0.0.1", "10.0.0.0/24", None, "10.0.0.1"):
        world.sets.pop("x", None)
        if net:
            world.sets["x"] = AddressSet(id="x", members=frozenset({Member(net=net)}))
        made = render(world, Settings(), memory)
        assert made == render(world, Settings())


def simple_rule(peer: str) -> Rule:
    return Rule(id="p/ingress/0", action=Action.ALLOW, protocols=(6,), src=Side(sets=(peer,)), dst=WEB)


def judged(*rules: Rule) -> NodeState:
    """One pod with one policy, and sets of one member each that its rules may ask for."""
    tier = Tier(name="t", default_action=Action.DENY, default_id="_tier/t", policies=("p",))
    made = state(endpoint(ingress=(tier,)))
    made.policies["p"] = PolicyProgram(id="p", ingress=rules)
    for number in range(20):
        members = frozenset({Member(net=f"10.0.1.{number}")})
        made.sets[f"s{number}"] = AddressSet(id=f"s{number}", members=members)
    return made


def test_the_way_of_denials_may_change_while_policies_stay() -> None:
    memory = Memory()
    world = judged(*(simple_rule(f"s{number}") for number in range(10)))
    for reject in (False, True, False):
        settings = Settings(reject=reject)
        assert render(world, settings, memory).table == render(world, settings).table


def test_two_runs_of_one_policy_may_have_the_same_rule_ids() -> None:
    """One rule of a user's: eight peers, a network, and eight peers more."""
    network = Rule(id="p/ingress/0", action=Action.ALLOW, protocols=(6,), src=Side(nets=("10.0.2.0/24",)))
    rules = [simple_rule(f"s{number}") for number in range(16)]
    made = render(judged(*rules[:8], network, *rules[8:]), Settings()).table
    runs = [made.sets[name].elements for name in made.sets if name.startswith("run-") and name.endswith("-4")]
    assert sorted(len(elements) for elements in runs) == [8, 8]
    assert runs[0].keys() != runs[1].keys()
