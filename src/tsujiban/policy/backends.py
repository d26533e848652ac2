"""What stands behind a Service when files are analysed: the pods that its selector selects.

On a cluster a controller writes EndpointSlices; files seldom hold them, and without them a rule that
names a service would match nothing. Source: Kubernetes' reference, "Service" and "EndpointSlices".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tsujiban.policy.addresses import stand_in
from tsujiban.policy.services import SERVICE_NAME, service_of
from tsujiban.resources import defaults
from tsujiban.resources.kinds import calico, core
from tsujiban.resources.kinds.meta import Object, ObjectMeta

_FINISHED = ("Succeeded", "Failed")
_WITH_SERVICES = (
    calico.NetworkPolicy,
    calico.GlobalNetworkPolicy,
    calico.StagedNetworkPolicy,
    calico.StagedGlobalNetworkPolicy,
    calico.Profile,
)


def stand_ins(objects: Iterable[Object]) -> Iterator[core.EndpointSlice]:
    """A slice for every pod of every service that a rule names, and that has no slice among the objects."""
    objects = list(objects)
    wanted = set(_named(objects)) - {service_of(o) for o in objects if isinstance(o, core.EndpointSlice)}
    if not wanted:
        return
    pods = [o for o in objects if isinstance(o, core.Pod)]
    for service in objects:
        if isinstance(service, core.Service) and _name(service) in wanted:
            for pod in selected(service, pods):
                yield _slice(service, pod)


def _named(objects: Iterable[Object]) -> Iterator[str]:
    """namespace/name of the services that rules name."""
    for policy in objects:
        if isinstance(policy, _WITH_SERVICES):
            for rule in (*policy.spec.ingress, *policy.spec.egress):
                for entity in (rule.source, rule.destination):
                    if entity.services is not None:
                        yield f"{entity.services.namespace or _namespace(policy)}/{entity.services.name}"


def selected(service: core.Service, pods: Iterable[core.Pod]) -> Iterator[core.Pod]:
    """The pods that a service's selector selects; a service without one has none."""
    wanted = service.spec.selector
    if not wanted:
        return
    for pod in pods:
        labels = pod.metadata.labels
        finished = pod.status is not None and pod.status.phase in _FINISHED
        if finished or _namespace(pod) != _namespace(service):
            continue
        if all(labels.get(key) == value for key, value in wanted.items()):
            yield pod


def target(port: core.ServicePort, pod: core.Pod) -> int | None:
    """The pod's port behind a service's port; None where the pod has none of that name."""
    wanted = defaults.target_port(port)
    if not isinstance(wanted, str):
        return wanted
    protocol = port.protocol or "TCP"
    for container in pod.spec.containers:
        for one in container.ports:
            if one.name == wanted and (one.protocol or "TCP") == protocol:
                return one.container_port
    return None


def _slice(service: core.Service, pod: core.Pod) -> core.EndpointSlice:
    status = pod.status
    given = () if status is None else tuple(ip.ip for ip in status.pod_ips) or (status.pod_ip,)
    addresses = tuple(a for a in given if a) or (stand_in(_name(pod)),)
    ports = tuple(
        core.EndpointPort(name=port.name, protocol=port.protocol, port=number)
        for port in service.spec.ports
        if (number := target(port, pod)) is not None
    )
    return core.EndpointSlice(
        api_version="discovery.k8s.io/v1",
        kind="EndpointSlice",
        metadata=ObjectMeta(
            name=f"{service.metadata.name}.{pod.metadata.name}",
            namespace=_namespace(service),
            labels={SERVICE_NAME: service.metadata.name},
        ),
        endpoints=(core.Endpoint(addresses=addresses),),
        ports=ports,
    )


def _namespace(found: Object) -> str:
    return found.metadata.namespace or "default"


def _name(found: Object) -> str:
    return f"{_namespace(found)}/{found.metadata.name}"
