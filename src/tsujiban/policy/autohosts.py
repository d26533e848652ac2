"""Host endpoints that the cluster makes by itself, one for each node, where it is told to.

On a running cluster they are objects like others (`controller.reconcile.hostendpoints` writes
them); for files they are made here, so that files are judged as they will be enforced. Source:
Calico's documentation, "Automatic host endpoints".
"""

from __future__ import annotations

from collections.abc import Iterable

from tsujiban.policy.items import node_addresses
from tsujiban.policy.profiles import ALLOWING
from tsujiban.resources.kinds.calico import HostEndpoint, HostEndpointSpec, KubeControllersConfiguration
from tsujiban.resources.kinds.core import Node
from tsujiban.resources.kinds.meta import Object, ObjectMeta

SUFFIX = "-auto-hep"
"""After the name of the node."""

CREATED_BY = ("projectcalico.org/created-by", "calico-kube-controllers")
"""The label of those that are not a user's."""


def stand_ins(objects: Iterable[Object]) -> list[HostEndpoint]:
    """The host endpoints that are made beside these objects; a user's own of such a name stays."""
    objects = list(objects)
    if not any(isinstance(one, KubeControllersConfiguration) and _asks(one) for one in objects):
        return []
    taken = {one.metadata.name for one in objects if isinstance(one, HostEndpoint)}
    nodes = [one for one in objects if isinstance(one, Node)]
    return [_made(node) for node in nodes if node.metadata.name + SUFFIX not in taken]


def _asks(one: KubeControllersConfiguration) -> bool:
    enabled = one.spec.controllers.node.host_endpoint.auto_create == "Enabled"
    return enabled and one.metadata.name == "default"


def _made(node: Node) -> HostEndpoint:
    name = node.metadata.name
    return HostEndpoint(
        api_version="projectcalico.org/v3",
        kind="HostEndpoint",
        metadata=ObjectMeta(
            name=name + SUFFIX, labels={**node.metadata.labels, CREATED_BY[0]: CREATED_BY[1]}
        ),
        spec=HostEndpointSpec(
            node=name, interface_name="*", expected_ips=node_addresses(node), profiles=ALLOWING
        ),
    )
