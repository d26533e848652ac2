"""What each stage of a pod's leave changes in what its proxy holds: filters, and never a listener."""

from __future__ import annotations

from tests.support.proxystate import POD_CIDRS, READS, rule, state

from tsujiban.proxy import names
from tsujiban.proxy.parting import Parting
from tsujiban.proxy.peers import Peers
from tsujiban.proxy.render import Renderer
from tsujiban.proxy.resource import Kind, Resource

Made = dict[tuple[Kind, str], Resource]


def made(parting: Parting) -> Made:
    world = state(rule("r", http=READS))
    renderer = Renderer("default/server")
    renderer.take(world, Peers(world.peers), (), POD_CIDRS)
    renderer.parting = parting
    renderer.take(world, Peers(world.peers), (), POD_CIDRS)
    return {(kind, name): one for kind, listed in renderer.resources.items() for name, one in listed.items()}


def changed(before: Made, after: Made) -> set[tuple[Kind, str]]:
    assert before.keys() == after.keys()
    return {key for key, one in before.items() if one.version != after[key].version}


def test_each_stage_changes_filters_alone() -> None:
    staying, closing, closed = (made(one) for one in Parting)
    assert changed(staying, closing) == {(Kind.EXTENSION, names.HEADERS)}
    assert changed(closing, closed) == {(Kind.EXTENSION, names.RBAC_CONNECT)}
    assert names.ENDING_RULE in str(closed[Kind.EXTENSION, names.RBAC_CONNECT].message())
