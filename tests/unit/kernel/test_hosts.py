import pytest

from tsujiban.kernel.hosts import place
from tsujiban.kernel.render import Settings, render
from tsujiban.policy.failsafes import Failsafe, Failsafes
from tsujiban.policy.program import Action, EndpointProgram, NodeState, PolicyProgram, Rule, Tier

OWN = {"192.0.2.1": "eth0", "192.0.2.2": "eth1", "fd00::1": "eth0"}


def host(name: str, interface: str = "", *addresses: str, policies: tuple[str, ...] = ()) -> EndpointProgram:
    tier = Tier(name="t", default_action=Action.DENY, default_id="_tier/t", policies=policies)
    tiers = (tier,) if policies else ()
    return EndpointProgram(
        id=f"host/{name}", node="n", host=True, interface=interface, addresses=addresses, ingress=tiers
    )


@pytest.mark.parametrize(
    ("endpoints", "address", "interface", "owner"),
    [
        ([host("a", "eth0")], "192.0.2.1", "eth0", "host/a"),
        ([host("a", "eth0")], "192.0.2.2", "eth1", ""),
        ([host("a", "*"), host("b", "eth0")], "192.0.2.1", "eth0", "host/b"),
        ([host("a", "*"), host("b", "eth0")], "192.0.2.2", "eth1", "host/a"),
        # an endpoint that names no interface is at the one that has its address, for every address there
        ([host("a", "", "192.0.2.1")], "fd00::1", "eth0", "host/a"),
        # and follows its address where the interface is a pod's
        ([host("a", "", "192.0.2.1")], "192.0.2.1", "tsja", "host/a"),
        ([host("a", "", "198.51.100.1")], "192.0.2.1", "eth0", ""),
    ],
)
def test_the_interface_decides_then_the_address_then_all(
    endpoints: list[EndpointProgram], address: str, interface: str, owner: str
) -> None:
    placed = place(endpoints, OWN)
    assert placed.owner(address, interface) == owner
    assert placed.problems == []


def test_two_at_one_place_and_what_is_no_name_are_told() -> None:
    placed = place(
        [host("b", "eth0"), host("a", "eth0"), host("c", "x y"), host("d", "*"), host("e", "*")], OWN
    )
    assert placed.owner("192.0.2.1", "eth0") == "host/a"
    assert placed.problems == [
        "host endpoint host/b: interface eth0 is host/a's: not enforced there",
        "host endpoint host/c: 'x y' is not the name of a network interface: it is not enforced",
        "host endpoint host/e: interface * is host/d's: not enforced there",
    ]


def test_without_host_endpoints_nothing_is_added() -> None:
    assert not [name for name in render(NodeState(), Settings()).table.chains if name.startswith("host")]


@pytest.mark.parametrize(
    ("fields", "chain"),
    [
        ({}, None),
        ({"apply_on_forward": True}, "host-forward-ingress"),
        ({"apply_on_forward": True, "pre_dnat": True}, "host-pre-dnat"),
        ({"apply_on_forward": True, "do_not_track": True}, "host-raw-in"),
    ],
)
def test_failsafes_come_before_any_policy(fields: dict[str, bool], chain: str | None) -> None:
    rule = Rule(id="p/ingress/0", action=Action.DENY)
    state = NodeState(policies={"p": PolicyProgram(id="p", ingress=(rule,), **fields)})  # type: ignore[arg-type]
    state.endpoints["host/a"] = host("a", "eth0", policies=("p",))
    failsafes = Failsafes((Failsafe(6, 22), Failsafe(6, 23, "192.0.2.0/24")), ())
    chains = render(state, Settings(failsafes=failsafes), own=OWN).table.chains
    for name in filter(None, ("host-input", chain)):
        rules = chains[name].rules
        first = next(index for index, one in enumerate(rules) if "vmap" in one or "jump" in one)
        opened = [one for one in rules[:first] if "failsafe-in" in one]
        assert len(opened) == (0 if "forward" in name else 2)
    assert ("host-raw-in" in chains) == (chain == "host-raw-in")
