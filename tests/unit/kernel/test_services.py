from typing import Any

import pytest

from tsujiban.kernel.services import ServiceTable
from tsujiban.kernel.table import Table
from tsujiban.policy.program import Backend, EndpointProgram, NodeState, ServicePort, ServiceProgram
from tsujiban.policy.versions import difference


def service(name: str, address: str, *backends: tuple[str, int], port: int = 80) -> ServiceProgram:
    made = ServicePort(protocol=6, port=port, backends=tuple(Backend(address=a, port=p) for a, p in backends))
    return ServiceProgram(id=name, addresses=(address,), ports=(made,))


def render(state: NodeState, **given: Any) -> Table:
    """From nothing."""
    return ServiceTable().render(state, **given)


def state(*services: ServiceProgram) -> NodeState:
    return NodeState(services={one.id: one for one in services})


def test_each_backend_has_a_slot() -> None:
    table = render(
        state(
            service("a", "10.96.0.1", ("10.0.0.1", 8080), ("10.0.0.2", 8081)),
            service("b", "10.96.0.2", ("10.0.0.3", 80)),
        )
    )
    assert table.sets["services4"].elements == {
        "10.96.0.1 . 6 . 80": "goto pick2",
        "10.96.0.2 . 6 . 80": "goto pick1",
    }
    assert table.sets["slot0-4"].elements == {
        "10.96.0.1 . 6 . 80": "10.0.0.1 . 8080",
        "10.96.0.2 . 6 . 80": "10.0.0.3 . 80",
    }
    assert table.sets["slot1-4"].elements == {"10.96.0.1 . 6 . 80": "10.0.0.2 . 8081"}
    assert table.chains["pick1"].rules == ("goto slot0",)
    assert table.chains["pick2"].rules == ("numgen random mod 2 vmap { 0 : goto slot0, 1 : goto slot1 }",)


def test_ip_versions_do_not_mix() -> None:
    both = service("a", "10.96.0.1", ("fd00::1", 80))
    table = render(state(both, service("b", "fd96::1", ("fd00::1", 80))))
    assert table.sets["services4"].elements == {"10.96.0.1 . 6 . 80": "goto refuse"}
    assert table.sets["services6"].elements == {"fd96::1 . 6 . 80": "goto pick1"}
    assert table.chains["slot0"].rules == ("dnat ip6 to ip6 daddr . meta l4proto . th dport map @slot0-6",)


def test_a_change_of_backends_is_a_change_of_elements() -> None:
    one = render(state(service("a", "10.96.0.1", ("10.0.0.1", 80), ("10.0.0.2", 80))))
    two = render(state(service("a", "10.96.0.1", ("10.0.0.9", 80), ("10.0.0.2", 80))))
    assert one.chains == two.chains
    assert [name for name in one.sets if one.sets[name] != two.sets[name]] == ["slot0-4"]


def test_the_nodes_own_addresses_are_left_alone() -> None:
    table = render(state(service("dns", "10.96.0.10", port=53)), local=("10.96.0.10",))
    assert table.sets["services4"].elements == {}
    assert table.sets["virtual4"].elements == {}


def test_only_local_backends_are_led_back_to_themselves() -> None:
    world = state(service("a", "10.96.0.1", ("10.0.0.1", 80), ("10.0.0.2", 80)))
    for number in (1, 3):
        world.endpoints[f"default/{number}"] = EndpointProgram(
            id=f"default/{number}", node="n", addresses=(f"10.0.0.{number}",)
        )
    assert render(world).sets["hairpin4"].elements == {"10.0.0.1 . 10.0.0.1": ""}


def test_the_nodes_own_pods_go_to_the_api_under_the_nodes_address() -> None:
    world = state()
    world.endpoints["default/1"] = EndpointProgram(
        id="default/1", node="n", addresses=("10.0.0.1", "fd00::1")
    )
    world.endpoints["host/n"] = EndpointProgram(
        id="host/n", node="n", host=True, addresses=("172.31.255.11",)
    )
    table = render(world, api=(("172.31.255.1", 6443),))
    assert table.sets["inhabitants4"].elements == {"10.0.0.1": ""}
    assert table.sets["api4"].elements == {"172.31.255.1 . 6443": ""}
    assert table.sets["api6"].elements == {}
    assert (
        "meta l4proto 6 ip saddr @inhabitants4 ip daddr . th dport @api4 masquerade"
        in table.chains["postrouting"].rules
    )


def test_what_is_the_same_is_the_same_object() -> None:
    table = ServiceTable()
    a, b = service("a", "10.96.0.1", ("10.0.0.1", 80)), service("b", "10.96.0.2", ("10.0.0.2", 80))
    first = table.render(state(a, b))
    again = table.render(state(a, b))
    assert again.chains is first.chains
    assert all(again.sets[name].elements is first.sets[name].elements for name in first.sets)
    moved = table.render(state(a, service("b", "10.96.0.2", ("10.0.0.3", 80))))
    assert moved.chains is first.chains
    differences = {
        name: difference(first.sets[name].elements, moved.sets[name].elements) for name in first.sets
    }
    assert {name: one for name, one in differences.items() if any(one)} == {
        "slot0-4": ({"10.96.0.2 . 6 . 80": "10.0.0.2 . 80"}, {"10.96.0.2 . 6 . 80": "10.0.0.3 . 80"})
    }


def test_a_service_that_cannot_be_read_leaves_the_others_as_they_were() -> None:
    table = ServiceTable()
    good = service("a", "10.96.0.1", ("10.0.0.1", 80))
    table.render(state(good))
    with pytest.raises(ValueError, match="nonsense"):
        table.render(state(service("a", "10.96.0.9"), service("b", "nonsense")))
    assert table.render(state(good)) == render(state(good))
