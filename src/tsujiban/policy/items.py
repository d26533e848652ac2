"""What selectors select: pods, workload endpoints, host endpoints, network sets, nodes.

Each becomes an item: its effective labels, its members in address sets, its named ports and,
for endpoints, what the endpoint program says besides policy. Labels that a user could forge to
look inherited (`pcns.`, `pcsa.`, the three facts) are dropped, never believed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress

from tsujiban.policy import predicates
from tsujiban.policy.addresses import canonical, stand_in
from tsujiban.policy.program import Frozen, Member, Mesh
from tsujiban.resources import defaults, names, protocols
from tsujiban.resources.kinds import calico
from tsujiban.resources.kinds.core import Node, Pod

MESH_LABEL = "tsujiban.io/mesh"
METADATA_NAME = "kubernetes.io/metadata.name"
CALICO_NAME = "projectcalico.org/name"
FINISHED = ("Succeeded", "Failed")

_FACTS = frozenset((predicates.NAMESPACE, predicates.ORCHESTRATOR, predicates.SERVICE_ACCOUNT))
_INHERITED = (predicates.NAMESPACE_PREFIX, predicates.SERVICE_ACCOUNT_PREFIX)

NamedPort = tuple[str, int, int]


class Surroundings:
    """What an item inherits from: labels of namespaces, service accounts and profiles."""

    def __init__(self, trust_domain: str, default_mesh: Mesh, offline: bool, labelled: bool = True) -> None:
        self.trust_domain = trust_domain
        self.default_mesh = default_mesh
        self.offline = offline
        self.labelled = labelled  # whether labels say who is in the mesh, or nothing does
        self.namespaces: dict[str, Mapping[str, str]] = {}
        self.accounts: dict[tuple[str, str], Mapping[str, str]] = {}
        self.profiles: dict[str, Mapping[str, str]] = {}

    def mesh(self, namespace: str, labels: Mapping[str, str]) -> Mesh:
        """How a workload takes part in the mesh: its own label, its namespace's, the default."""
        if not self.labelled:
            return self.default_mesh
        word = labels.get(MESH_LABEL) or self.namespaces.get(namespace, {}).get(MESH_LABEL)
        return _MESHES.get(word, self.default_mesh) if word else self.default_mesh


_MESHES = {str(mesh): mesh for mesh in Mesh}


class Item(Frozen, frozen=True):
    """One thing that selectors select. `endpoint` is "" for what has no program."""

    labels: dict[str, str]
    members: tuple[Member, ...] = ()
    named_ports: tuple[NamedPort, ...] = ()
    namespace: str = ""
    account: str = ""
    profiles: tuple[str, ...] = ()
    endpoint: str = ""
    node: str = ""
    host: bool = False
    interface: str = ""
    mac: str = ""
    addresses: tuple[str, ...] = ()
    identity: str = ""
    mesh: Mesh = Mesh.NONE


def pod_item(pod: Pod, around: Surroundings) -> Item | None:
    """A pod; None for one that holds no address of its own: finished, or on the host's network."""
    status = pod.status
    if pod.spec.host_network or (status is not None and status.phase in FINISHED and not around.offline):
        return None
    meta = pod.metadata
    namespace = meta.namespace or "default"
    account = defaults.service_account(pod.spec)
    given: tuple[str, ...] = ()
    if status is not None:
        given = tuple(entry.ip for entry in status.pod_ips if entry.ip)
        given = given or ((status.pod_ip,) if status.pod_ip else ())
    endpoint = f"{namespace}/{meta.name}"
    mesh = around.mesh(namespace, meta.labels)
    ports = tuple(
        (port.name, protocols.number(port.protocol or "TCP") or protocols.TCP, port.container_port)
        for container in (*pod.spec.containers, *pod.spec.init_containers)
        for port in container.ports
        if port.name
    )
    return _workload(
        around,
        endpoint=endpoint,
        namespace=namespace,
        account=account,
        own=meta.labels,
        orchestrator=predicates.KUBERNETES,
        given=given,
        ports=ports,
        profiles=(f"kns.{namespace}", f"ksa.{namespace}.{account}"),
        node=pod.spec.node_name,
        interface=names.link_name(meta.uid) if meta.uid else "",
        mac=names.pod_mac(meta.uid) if meta.uid else "",
        mesh=mesh,
    )


def workload_endpoint_item(workload: calico.WorkloadEndpoint, around: Surroundings) -> Item:
    """A Calico workload endpoint: like a pod, with its profiles named outright."""
    meta, spec = workload.metadata, workload.spec
    namespace = meta.namespace or "default"
    return _workload(
        around,
        endpoint=f"{namespace}/{meta.name}",
        namespace=namespace,
        account=spec.service_account_name,
        own=meta.labels,
        orchestrator=spec.orchestrator,
        given=tuple(net.partition("/")[0] for net in spec.ip_networks),
        ports=tuple(
            (p.name, protocols.number(p.protocol) or protocols.TCP, p.port) for p in spec.ports if p.name
        ),
        profiles=spec.profiles,
        node=spec.node,
        interface=spec.interface_name,
        mac=spec.mac,
        mesh=around.mesh(namespace, meta.labels),
    )


def _workload(
    around: Surroundings,
    *,
    endpoint: str,
    namespace: str,
    account: str,
    own: Mapping[str, str],
    orchestrator: str,
    given: tuple[str, ...],
    ports: tuple[NamedPort, ...],
    profiles: tuple[str, ...],
    node: str,
    interface: str,
    mac: str,
    mesh: Mesh,
) -> Item:
    labels = _own(own)
    for profile in profiles:
        for key, value in around.profiles.get(profile, {}).items():
            labels.setdefault(key, value)
    labels[predicates.NAMESPACE] = namespace
    if orchestrator:
        labels[predicates.ORCHESTRATOR] = orchestrator
    _inherit_namespace(labels, namespace, around)
    if account:
        labels[predicates.SERVICE_ACCOUNT] = account
        prefix = predicates.SERVICE_ACCOUNT_PREFIX
        for key, value in around.accounts.get((namespace, account), {}).items():
            labels[prefix + key] = value
        labels[prefix + CALICO_NAME] = account  # its name, whatever label it gave itself
    addresses = _addresses(given)
    if not addresses and around.offline:
        addresses = (stand_in(endpoint),)
    identity = ""
    if mesh is not Mesh.NONE:
        identity = names.workload_identity(around.trust_domain, namespace, account or "default")
    return Item(
        labels=labels,
        members=tuple(Member(net=address, identity=identity) for address in addresses),
        named_ports=ports,
        namespace=namespace,
        account=account,
        profiles=profiles,
        endpoint=endpoint,
        node=node,
        interface=interface,
        mac=mac,
        addresses=addresses,
        identity=identity,
        mesh=mesh,
    )


def host_endpoint_item(host: calico.HostEndpoint, around: Surroundings) -> Item:
    """An interface of a node. It is in no namespace."""
    spec = host.spec
    endpoint = f"host/{host.metadata.name}"
    labels = _own(host.metadata.labels)
    for profile in spec.profiles:
        for key, value in around.profiles.get(profile, {}).items():
            labels.setdefault(key, value)
    addresses = _addresses(spec.expected_ips)
    if not addresses and around.offline:
        addresses = (stand_in(endpoint),)
    return Item(
        labels=labels,
        members=tuple(Member(net=address) for address in addresses),
        named_ports=tuple(
            (p.name, protocols.number(p.protocol) or protocols.TCP, p.port) for p in spec.ports if p.name
        ),
        profiles=spec.profiles,
        endpoint=endpoint,
        node=spec.node,
        host=True,
        interface=spec.interface_name,
        addresses=addresses,
    )


def network_set_item(found: calico.NetworkSet | calico.GlobalNetworkSet, around: Surroundings) -> Item:
    """Networks under labels; in a namespace, or in none."""
    labels = _own(found.metadata.labels)
    namespace = ""
    if isinstance(found, calico.NetworkSet):
        namespace = found.metadata.namespace or "default"
        labels[predicates.NAMESPACE] = namespace
        _inherit_namespace(labels, namespace, around)
    return Item(
        labels=labels,
        members=tuple(Member(net=canonical(net)) for net in found.spec.nets),
        namespace=namespace,
    )


def node_item(node: Node) -> Item:
    """A node, for the `nodes` peers of cluster policies: labels and addresses of its own."""
    return Item(labels=dict(node.metadata.labels), members=tuple(Member(net=a) for a in node_addresses(node)))


def node_addresses(node: Node) -> tuple[str, ...]:
    """A node's internal and external addresses."""
    if node.status is None:
        return ()
    wanted = ("InternalIP", "ExternalIP")
    return _addresses(a.address for a in node.status.addresses if a.type in wanted)


def _addresses(given: Iterable[str]) -> tuple[str, ...]:
    """Addresses that a status reports; what is none makes nobody a member of anything."""
    found: list[str] = []
    for address in given:
        with suppress(ValueError):
            found.append(canonical(address))
    return tuple(found)


def _own(labels: Mapping[str, str]) -> dict[str, str]:
    return {
        key: value for key, value in labels.items() if key not in _FACTS and not key.startswith(_INHERITED)
    }


def _inherit_namespace(labels: dict[str, str], namespace: str, around: Surroundings) -> None:
    prefix = predicates.NAMESPACE_PREFIX
    for key, value in around.namespaces.get(namespace, {}).items():
        labels[prefix + key] = value
    labels[prefix + METADATA_NAME] = namespace  # its name, whatever labels it gave itself
    labels[prefix + CALICO_NAME] = namespace
