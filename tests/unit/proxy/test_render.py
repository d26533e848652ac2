from __future__ import annotations

import pytest
from tests.support.proxystate import CUSTOMER, POD_CIDRS, READS, identity, rule, state

from tsujiban.policy.program import AddressSet, Member
from tsujiban.proxy.decisions import Branch
from tsujiban.proxy.render import render
from tsujiban.proxy.resource import Kind


def versions(*, turned: bool = False) -> dict[str, str]:
    world = state(rule("r", http=READS))
    if turned:  # the same, told in another order
        world.peers = dict(reversed(world.peers.items()))
        world.services = dict(reversed(world.services.items()))
    resources, _ = render(world, "default/server", POD_CIDRS)
    return {f"{kind} {name}": one.version for kind in Kind for name, one in resources[kind].items()}


def test_it_is_the_same_however_the_state_was_told() -> None:
    assert versions() == versions(turned=True)


def test_everything_is_a_message_that_envoy_has() -> None:
    resources, table = render(state(rule("r", http=READS)), "default/server", POD_CIDRS)
    for kind in Kind:
        for one in resources[kind].values():
            assert one.encoded()
    assert isinstance(table.find(identity("customer"), CUSTOMER, 80), Branch)


def test_a_change_of_a_set_changes_only_the_authorization() -> None:
    world = state(rule("r", http=READS))
    before, _ = render(world, "default/server", POD_CIDRS)
    world.policies["p"] = world.policies["p"].__class__(id="p", ingress=(rule("s", http=READS),))
    world.sets["clients"] = AddressSet(id="clients", members=frozenset({Member(net="10.9.9.9")}))
    after, _ = render(world, "default/server", POD_CIDRS)
    changed = {
        f"{kind.name} {name}"
        for kind in Kind
        for name, one in after[kind].items()
        if before[kind][name].version != one.version
    }
    assert changed == {"EXTENSION rbac-http"}


def test_an_unknown_endpoint_has_nothing_to_enforce() -> None:
    with pytest.raises(KeyError):
        render(state(), "default/nobody", POD_CIDRS)
