"""A folder of manifests as a world that can be asked: by names, as people write them.

What the offline commands (verdict, explain, connectivity, tests) share: which objects count,
what a name stands for, and which addresses a flow between two names has.
"""

from __future__ import annotations

from collections.abc import Iterable

from tsujiban.policy import autohosts, backends, workloads
from tsujiban.policy.addresses import canonical, stand_in, version
from tsujiban.policy.evaluate import evaluate
from tsujiban.policy.failsafes import CLOSED, configured
from tsujiban.policy.flow import Flow, Post, Verdict
from tsujiban.policy.graph import PolicyGraph, key_of
from tsujiban.policy.items import node_addresses
from tsujiban.policy.population import Key
from tsujiban.policy.program import Authentication, Frozen
from tsujiban.policy.services import service_of
from tsujiban.policy.world import World
from tsujiban.resources.kinds import core
from tsujiban.resources.kinds.calico import FelixConfiguration
from tsujiban.resources.kinds.meta import Object
from tsujiban.resources.load import LoadedObject

PLACES = frozenset(
    (
        "Namespace",
        "Node",
        "Pod",
        "WorkloadEndpoint",
        "HostEndpoint",
        "Deployment",
        "StatefulSet",
        "DaemonSet",
        "ReplicaSet",
        "ReplicationController",
        "Job",
        "CronJob",
    )
)
"""Kinds that say what there is, as opposed to what is allowed."""

SHORT_KINDS = {
    "deploy": "Deployment",
    "sts": "StatefulSet",
    "ds": "DaemonSet",
    "rs": "ReplicaSet",
    "rc": "ReplicationController",
    "cj": "CronJob",
    "po": "Pod",
    "svc": "Service",
}


class UnknownName(LookupError):
    """A source or destination that nothing is called. The message says what to write instead."""


class End(Frozen, frozen=True):
    """One end of a flow: an endpoint with a program, or an address."""

    name: str
    endpoint: str = ""  # "" for an address, and for a pod on its host's network
    addresses: tuple[str, ...] = ()
    ports: tuple[tuple[int, int, int], ...] = ()  # of a service: protocol, port, port of the endpoints


class OfflineWorld:
    """Objects compiled, with names to ask by.

    `strict` judges as the running mesh does: plaintext is refused unless a PeerAuthentication says
    otherwise (without it: accepted unless one says otherwise), and host endpoints have Calico's
    failsafe ports (without it: when there is a FelixConfiguration).
    """

    def __init__(
        self,
        objects: Iterable[LoadedObject | Object],
        *,
        trust_domain: str = "cluster.local",
        strict: bool = False,
    ) -> None:
        authentication = Authentication() if strict else None
        self.graph = PolicyGraph(trust_domain, offline=True, authentication=authentication)
        given = list(objects)
        plain = [o.object if isinstance(o, LoadedObject) else o for o in given]
        self._objects: dict[Key, Object] = {key_of(o): o for o in plain}
        pods = [found.pod for found in workloads.stand_ins(plain)]
        slices = backends.stand_ins((*plain, *pods))
        made = (*pods, *autohosts.stand_ins(plain), *slices)
        extra: list[tuple[Key, Object]] = [(key_of(o), o) for o in made]
        self._objects.update(extra)
        self.graph.apply([*zip(map(key_of, plain), given, strict=True), *extra])
        felix = [o for o in plain if isinstance(o, FelixConfiguration)]
        failsafes = configured(felix) if felix or strict else CLOSED
        self.world = World(self.graph.state(), failsafes)

    def flow(self, source: End, destination: End, **clauses: object) -> Flow:
        """The flow between two ends, on addresses of one IP version."""
        here, there = pair(source.addresses, destination.addresses)
        return Flow(
            source=here,
            destination=there,
            source_endpoint=source.endpoint,
            destination_endpoint=destination.endpoint,
            **clauses,  # type: ignore[arg-type]
        )

    def evaluate(self, flow: Flow, post: Post = Post.BOTH) -> Verdict:
        """Judge one flow."""
        return evaluate(self.world, flow, post)

    def end(self, name: str) -> End:
        """The one end that `name` is. Raises UnknownName when it is none."""
        return self.ends(name)[0]

    def ends(self, name: str, namespace: str = "default") -> list[End]:
        """What a name stands for: `namespace/name`, `host/name`, `name` in `namespace`,
        `deployment/x` or `x` for the pods of a workload, `service/x`, or an address.

        Raises UnknownName.
        """
        endpoint = self.world.endpoints.get(name) or self.world.endpoints.get(f"{namespace}/{name}")
        if endpoint is not None:
            return [End(name=endpoint.id, endpoint=endpoint.id, addresses=endpoint.addresses)]
        try:
            return [End(name=name, addresses=(canonical(name),))]
        except ValueError:
            found = self._by_kind(name, namespace)
        if not found:
            raise UnknownName(f"{name!r} is not an address, a pod, a workload or a service{self._near(name)}")
        return found

    def _by_kind(self, name: str, namespace: str) -> list[End]:
        parts = name.split("/")
        if len(parts) > 3:
            return []
        kind, place, short = "", namespace, parts[-1]
        if len(parts) == 3:
            place, kind = parts[0], parts[1]
        elif len(parts) == 2:
            kind = parts[0]
        found = self._named(kind, place, short)
        if not found and len(parts) == 2:
            found = self._named("", parts[0], short)
        return found

    def _named(self, kind: str, namespace: str, name: str) -> list[End]:
        wanted = SHORT_KINDS.get(kind.lower(), kind).lower()
        for (full_kind, place, short), obj in self._objects.items():
            own = full_kind.partition(".")[0]
            if (
                short != name
                or place != namespace
                or (wanted and own.lower() not in (wanted, wanted.rstrip("s")))
            ):
                continue
            ends = self._ends_of(obj)
            if ends:
                return ends
        return []

    def _ends_of(self, obj: Object) -> list[End]:
        if isinstance(obj, core.Pod):
            return [self._host_pod(obj)] if obj.spec.host_network else []
        pods = [o for o in self._objects.values() if isinstance(o, core.Pod)]
        if isinstance(obj, core.Service):
            return self._service_ends(obj, pods)
        return [end for pod in workloads.pods_of(obj, pods) for end in self._pod_ends(pod)]

    def _pod_ends(self, pod: core.Pod) -> list[End]:
        endpoint = self.world.endpoints.get(f"{pod.metadata.namespace or 'default'}/{pod.metadata.name}")
        if endpoint is None:
            return [self._host_pod(pod)] if pod.spec.host_network else []
        return [End(name=endpoint.id, endpoint=endpoint.id, addresses=endpoint.addresses)]

    def _service_ends(self, service: core.Service, pods: Iterable[core.Pod]) -> list[End]:
        from tsujiban.resources import protocols

        if not service.spec.selector:
            return self._slice_ends(service)
        found = []
        for pod in backends.selected(service, pods):
            ports = tuple(
                (
                    protocols.number(port.protocol or "TCP") or protocols.TCP,
                    port.port,
                    backends.target(port, pod) or 0,
                )
                for port in service.spec.ports
            )
            for end in self._pod_ends(pod):
                found.append(End(name=end.name, endpoint=end.endpoint, addresses=end.addresses, ports=ports))
        return found

    def _slice_ends(self, service: core.Service) -> list[End]:
        """A service without a selector, say `kubernetes`: the addresses that somebody wrote in its slices."""
        from tsujiban.resources import protocols

        wanted = f"{service.metadata.namespace or 'default'}/{service.metadata.name}"
        found = []
        for one in self._objects.values():
            if not isinstance(one, core.EndpointSlice) or service_of(one) != wanted:
                continue
            numbers = {port.name or "": port.port or 0 for port in one.ports}
            ports = tuple(
                (
                    protocols.number(port.protocol or "TCP") or protocols.TCP,
                    port.port,
                    numbers.get(port.name, 0),
                )
                for port in service.spec.ports
            )
            for address in (canonical(a) for endpoint in one.endpoints for a in endpoint.addresses):
                found.append(End(name=address, addresses=(address,), ports=ports))
        return found

    def _host_pod(self, pod: core.Pod) -> End:
        """A pod on its host's network: the host's address, and no program of its own."""
        name = f"{pod.metadata.namespace or 'default'}/{pod.metadata.name}"
        given: tuple[str, ...] = ()
        if pod.status is not None:
            given = tuple(ip.ip for ip in pod.status.pod_ips) or (pod.status.pod_ip or pod.status.host_ip,)
        if not any(given):
            node = self._objects.get(("Node", "", pod.spec.node_name))
            given = node_addresses(node) if isinstance(node, core.Node) else ()
        return End(name=name, addresses=tuple(canonical(a) for a in given if a) or (stand_in(name),))

    def _near(self, name: str) -> str:
        from difflib import get_close_matches

        short = name.rpartition("/")[2]
        known = {o.metadata.name for o in self._objects.values()} | set(self.world.endpoints)
        near = get_close_matches(name, known, n=3) or get_close_matches(short, known, n=3)
        return f": did you mean {' or '.join(near)}?" if near else ""


def pair(here: tuple[str, ...], there: tuple[str, ...]) -> tuple[str, str]:
    """Two ends' addresses of one IP version when both have such; else the first of each."""
    if len(here) == len(there) == 1:
        return here[0], there[0]
    for one in here:
        for other in there:
            if version(one) == version(other):
                return one, other
    return here[0], there[0]
