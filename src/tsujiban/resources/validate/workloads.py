"""Core, apps, batch and discovery kinds: what policy reads of them, and what running them needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tsujiban.resources import protocols
from tsujiban.resources.kinds import apps, core
from tsujiban.resources.kinds.meta import LabelSelector
from tsujiban.resources.positions import Path
from tsujiban.resources.validate import configs, data, env, lifecycle, names, poddns, podplaces, volumes
from tsujiban.resources.validate.kubernetes import check_port_name
from tsujiban.resources.validate.report import Report

_MOST_ENDPOINTS, _MOST_PORTS = 1000, 100  # of a slice
_SERVICE_TYPES = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_ADDRESS_TYPES = ("IPv4", "IPv6", "FQDN")
LARGEST = 2**31 - 1
"""Of numbers that Kubernetes keeps in 32 bits, and of seconds: more is none that could be waited for."""
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")


def _pod(pod: core.Pod, raw: Mapping[str, Any], report: Report) -> None:
    check_pod_spec(pod.spec, ("spec",), report)
    status = pod.status
    if status is None:
        return
    if status.pod_ip:
        report.address(("status", "podIP"), status.pod_ip)
    for index, address in enumerate(status.pod_ips):
        report.address(("status", "podIPs", index, "ip"), address.ip)


def check_pod_spec(
    spec: core.PodSpec,
    path: Path,
    report: Report,
    *,
    restarts: Sequence[str] = _RESTART_POLICIES,
    claims: bool = False,
) -> None:
    """What a pod runs. `restarts` are the restart policies that the kind around it allows; `claims`: that
    kind makes volumes, too."""
    if not spec.containers:
        report.error((*path, "containers"), "missing-field", "a pod has at least one container")
    known = volumes.check_volumes(spec, path, report)
    seen: set[str] = set()
    for field, containers in (
        ("containers", spec.containers),
        ("initContainers", spec.init_containers),
        ("ephemeralContainers", spec.ephemeral_containers),
    ):
        for index, container in enumerate(containers):
            here = (*path, field, index)
            _container(container, here, report)
            lifecycle.check(container, here, report, first=field == "initContainers")
            volumes.check_mounts(container, None if claims else known, here, report)
            if container.name in seen:
                report.error((*here, "name"), "duplicate", f"two containers are called {container.name!r}")
            seen.add(container.name)
    for field, name in (("serviceAccountName", spec.service_account_name), ("nodeName", spec.node_name)):
        if name and not names.is_subdomain(name):
            report.error((*path, field), "bad-name", f"{name[:64]!r} is not a DNS name")
    for field, name in (("hostname", spec.hostname), ("subdomain", spec.subdomain)):
        if name and not names.is_label(name):
            report.error((*path, field), "bad-name", f"{name[:64]!r} is not a DNS label")
    report.one_of((*path, "restartPolicy"), spec.restart_policy, restarts, empty=True)
    names.check_labels(spec.node_selector, (*path, "nodeSelector"), report)
    poddns.check(spec, path, report)
    podplaces.check(spec, path, report)
    grace = spec.termination_grace_period_seconds
    if grace is not None:
        report.between((*path, "terminationGracePeriodSeconds"), grace, 0, LARGEST)


def _container(container: core.Container, path: Path, report: Report) -> None:
    if report.required((*path, "name"), container.name) and not names.is_label(container.name):
        report.error((*path, "name"), "bad-name", f"{container.name[:64]!r} is not a DNS label")
    report.one_of((*path, "imagePullPolicy"), container.image_pull_policy, _PULL_POLICIES, empty=True)
    policy = container.termination_message_policy
    report.one_of((*path, "terminationMessagePolicy"), policy, _MESSAGE_POLICIES, empty=True)
    port_names: set[str] = set()
    for index, port in enumerate(container.ports):
        here = (*path, "ports", index)
        report.port((*here, "containerPort"), port.container_port)
        _protocol(port.protocol, (*here, "protocol"), report)
        if port.host_port:
            report.port((*here, "hostPort"), port.host_port)
        if port.host_ip:
            report.address((*here, "hostIP"), port.host_ip)
        if port.name:
            check_port_name(port.name, (*here, "name"), report)
            if port.name in port_names:
                report.error((*here, "name"), "same-port-name", f"two ports are called {port.name!r}")
            port_names.add(port.name)
    env.check_environment(container, path, report)
    for field, probe in (
        ("livenessProbe", container.liveness_probe),
        ("readinessProbe", container.readiness_probe),
        ("startupProbe", container.startup_probe),
    ):
        if probe is not None:
            _probe(probe, (*path, field), report)
            _grace(probe, (*path, field), report)


def _grace(probe: core.Probe, path: Path, report: Report) -> None:
    """The time to end that a container has which the probe has found unfit."""
    seconds = probe.termination_grace_period_seconds
    if seconds is None:
        return
    where = (*path, "terminationGracePeriodSeconds")
    if path[-1] == "readinessProbe":
        report.error(where, "conflict", "Invalid value: must not be set for readinessProbes")
    else:
        report.between(where, seconds, 1, LARGEST)


def _probe(probe: core.Probe, path: Path, report: Report) -> None:
    handlers = [
        name
        for name, handler in (
            ("httpGet", probe.http_get),
            ("tcpSocket", probe.tcp_socket),
            ("exec", probe.exec),
            ("grpc", probe.grpc),
        )
        if handler is not None
    ]
    if len(handlers) != 1:
        message = f"{' and '.join(handlers)} exclude each other" if handlers else "the probe does nothing"
        report.error(path, "conflict", message, "set exactly one of httpGet, tcpSocket, exec, grpc")
    for name, target in (("httpGet", probe.http_get), ("tcpSocket", probe.tcp_socket)):
        if target is None:
            continue
        if isinstance(target.port, int):
            report.port((*path, name, "port"), target.port)
        else:
            check_port_name(target.port, (*path, name, "port"), report)
    if probe.http_get is not None:
        report.one_of((*path, "httpGet", "scheme"), probe.http_get.scheme, ("HTTP", "HTTPS"), empty=True)
    if probe.grpc is not None:
        report.port((*path, "grpc", "port"), probe.grpc.port)


def _protocol(protocol: str | None, path: Path, report: Report) -> None:
    if protocol is not None:
        report.one_of(path, protocol, protocols.KUBERNETES)


def _service(service: core.Service, raw: Mapping[str, Any], report: Report) -> None:
    spec = service.spec
    report.one_of(("spec", "type"), spec.type, _SERVICE_TYPES, empty=True)
    if spec.type == "ExternalName":
        report.required(("spec", "externalName"), spec.external_name)
    elif not spec.ports and spec.cluster_ip != "None":
        report.error(("spec", "ports"), "missing-field", "a service has at least one port")
    if spec.cluster_ip not in ("", "None"):
        report.address(("spec", "clusterIP"), spec.cluster_ip)
    for index, text in enumerate(spec.cluster_ips):
        if text != "None":
            report.address(("spec", "clusterIPs", index), text)
    for index, text in enumerate(spec.external_ips):
        report.address(("spec", "externalIPs", index), text)
    for index, text in enumerate(spec.load_balancer_source_ranges):
        report.network(("spec", "loadBalancerSourceRanges", index), text, prefix=True)
    names.check_labels(spec.selector, ("spec", "selector"), report)
    seen: dict[tuple[str, int], int] = {}
    port_names: set[str] = set()
    for index, port in enumerate(spec.ports):
        here: Path = ("spec", "ports", index)
        _service_port(port, here, len(spec.ports) > 1, report)
        key = (port.protocol or "TCP", port.port)
        if key in seen:
            report.error((*here, "port"), "duplicate", f"{key[0]} port {key[1]} stands twice")
        seen[key] = index
        if port.name and port.name in port_names:
            report.error((*here, "name"), "duplicate", f"two ports are called {port.name!r}")
        port_names.add(port.name)


def _service_port(port: core.ServicePort, path: Path, named: bool, report: Report) -> None:
    report.port((*path, "port"), port.port)
    _protocol(port.protocol, (*path, "protocol"), report)
    if named:
        report.required((*path, "name"), port.name)
    if port.name and not names.is_label(port.name):
        report.error((*path, "name"), "bad-port", f"{port.name[:64]!r} is not a DNS label")
    if isinstance(port.target_port, str):
        check_port_name(port.target_port, (*path, "targetPort"), report)
    elif port.target_port:
        report.port((*path, "targetPort"), port.target_port)
    if port.node_port:
        report.port((*path, "nodePort"), port.node_port)


def _endpoint_slice(endpoints: core.EndpointSlice, raw: Mapping[str, Any], report: Report) -> None:
    report.one_of(("addressType",), endpoints.address_type, _ADDRESS_TYPES)
    report.at_most(("endpoints",), endpoints.endpoints, _MOST_ENDPOINTS)
    report.at_most(("ports",), endpoints.ports, _MOST_PORTS)
    for index, endpoint in enumerate(endpoints.endpoints):
        if not endpoint.addresses:
            report.error(
                ("endpoints", index, "addresses"), "missing-field", "an endpoint has at least one address"
            )
        for at, text in enumerate(endpoint.addresses):
            if endpoints.address_type != "FQDN":
                report.address(("endpoints", index, "addresses", at), text)
    for index, port in enumerate(endpoints.ports):
        _protocol(port.protocol, ("ports", index, "protocol"), report)
        if port.port is not None:
            report.port(("ports", index, "port"), port.port)


def _endpoints(endpoints: core.Endpoints, raw: Mapping[str, Any], report: Report) -> None:
    for index, subset in enumerate(endpoints.subsets):
        path: Path = ("subsets", index)
        if not subset.addresses and not subset.not_ready_addresses:
            report.error(path, "missing-field", "a subset has addresses, or notReadyAddresses")
        for name, listed in (
            ("addresses", subset.addresses),
            ("notReadyAddresses", subset.not_ready_addresses),
        ):
            for at, one in enumerate(listed):
                found = report.address((*path, name, at, "ip"), one.ip)
                if found is not None and (found.is_loopback or found.is_link_local or found.is_multicast):
                    text = f"{one.ip} leads to no endpoint of a cluster: it is a special address"
                    report.error((*path, name, at, "ip"), "bad-address", text)
        for at, port in enumerate(subset.ports):
            here: Path = (*path, "ports", at)
            report.port((*here, "port"), port.port)
            _protocol(port.protocol, (*here, "protocol"), report)
            if len(subset.ports) > 1:
                report.required((*here, "name"), port.name)
            if port.name and not names.is_label(port.name):
                report.error((*here, "name"), "bad-port", f"{port.name[:64]!r} is not a DNS label")


def _node(node: core.Node, raw: Mapping[str, Any], report: Report) -> None:
    for index, text in enumerate(node.spec.pod_cidrs):
        report.network(("spec", "podCIDRs", index), text, prefix=True)
    for index, address in enumerate(node.status.addresses if node.status else ()):
        report.required(("status", "addresses", index, "type"), address.type)
        if address.type in ("InternalIP", "ExternalIP"):
            report.address(("status", "addresses", index, "address"), address.address)


Workload = apps.Deployment | apps.StatefulSet | apps.DaemonSet | apps.ReplicaSet


def _workload(workload: Workload, raw: Mapping[str, Any], report: Report) -> None:
    spec = workload.spec
    if not isinstance(spec, apps.DaemonSetSpec):
        _replicas(spec.replicas, report)
    report.between(("spec", "minReadySeconds"), spec.min_ready_seconds, 0, LARGEST)
    names.check_selector(spec.selector, ("spec", "selector"), report)
    if spec.selector is None or spec.selector == LabelSelector():
        report.error(("spec", "selector"), "missing-field", "selector is required and cannot be empty")
    else:
        for key, value in spec.selector.match_labels.items():
            if spec.template.metadata.labels.get(key) != value:
                message = f"the template's labels do not match the selector: {key} is not {value!r}"
                report.error(("spec", "template", "metadata", "labels"), "conflict", message)
    claims = isinstance(spec, apps.StatefulSetSpec)
    check_template(spec.template, ("spec", "template"), report, restarts=("Always",), claims=claims)


def _deployment(deployment: apps.Deployment, raw: Mapping[str, Any], report: Report) -> None:
    _workload(deployment, raw, report)
    strategy = deployment.spec.strategy
    if strategy is None:
        return
    path: Path = ("spec", "strategy")
    report.one_of((*path, "type"), strategy.type, ("RollingUpdate", "Recreate"), empty=True)
    rolling, path = strategy.rolling_update, (*path, "rollingUpdate")
    if rolling is None:
        return
    if strategy.type == "Recreate":
        report.error(path, "conflict", "strategy Recreate takes no rollingUpdate")
    _rolling(rolling, path, report, most_surge=None)
    if rolling.max_surge in (0, "0%") and rolling.max_unavailable in (0, "0%"):
        report.error((*path, "maxUnavailable"), "conflict", "it cannot be 0 when maxSurge is 0")


def _daemon_set(daemons: apps.DaemonSet, raw: Mapping[str, Any], report: Report) -> None:
    _workload(daemons, raw, report)
    strategy = daemons.spec.update_strategy or apps.DaemonSetUpdateStrategy()
    report.one_of(
        ("spec", "updateStrategy", "type"), strategy.type, ("RollingUpdate", "OnDelete"), empty=True
    )
    rolling = strategy.rolling_update
    if rolling is None or strategy.type == "OnDelete":
        return
    path: Path = ("spec", "updateStrategy", "rollingUpdate")
    _rolling(rolling, path, report, most_surge=100)
    surge, unavailable = rolling.max_surge or 0, rolling.max_unavailable
    if surge in (0, "0%") and unavailable in (0, "0%"):
        message = f"Invalid value: {unavailable}: cannot be 0 when maxSurge is 0"
        report.error((*path, "maxUnavailable"), "conflict", message)
    elif surge not in (0, "0%") and unavailable not in (None, 0, "0%"):
        message = f"Invalid value: {surge}: may not be set when maxUnavailable is non-zero"
        report.error((*path, "maxSurge"), "conflict", message)


def _rolling(
    rolling: apps.RollingUpdateDeployment | apps.RollingUpdateDaemonSet,
    path: Path,
    report: Report,
    *,
    most_surge: int | None,
) -> None:
    if rolling.max_surge is not None:
        report.share((*path, "maxSurge"), rolling.max_surge, most=most_surge)
    if rolling.max_unavailable is not None:
        report.share((*path, "maxUnavailable"), rolling.max_unavailable)


def _stateful_set(stateful: apps.StatefulSet, raw: Mapping[str, Any], report: Report) -> None:
    _workload(stateful, raw, report)
    spec = stateful.spec
    policies = ("OrderedReady", "Parallel")
    report.one_of(("spec", "podManagementPolicy"), spec.pod_management_policy, policies, empty=True)
    if spec.service_name and not names.is_subdomain(spec.service_name):
        report.error(("spec", "serviceName"), "bad-name", f"{spec.service_name[:64]!r} is not a DNS name")
    _not_negative(("spec", "ordinals", "start"), spec.ordinals.start if spec.ordinals else 0, report)
    strategy = spec.update_strategy or apps.StatefulSetUpdateStrategy()
    path: Path = ("spec", "updateStrategy")
    report.one_of((*path, "type"), strategy.type, ("RollingUpdate", "OnDelete"), empty=True)
    rolling = strategy.rolling_update
    if rolling is None:
        return
    path = (*path, "rollingUpdate")
    if strategy.type == "OnDelete":
        message = "Invalid value: only allowed for updateStrategy 'RollingUpdate'"
        report.error(path, "conflict", message)
    _not_negative((*path, "partition"), rolling.partition or 0, report)
    if rolling.max_unavailable is not None:
        report.share((*path, "maxUnavailable"), rolling.max_unavailable)
        if rolling.max_unavailable in (0, "0%"):
            message = f"Invalid value: {rolling.max_unavailable}: cannot be 0"
            report.error((*path, "maxUnavailable"), "out-of-range", message)


def _not_negative(path: Path, number: int, report: Report) -> None:
    if number < 0:
        message = f"Invalid value: {number}: must be greater than or equal to 0"
        report.error(path, "out-of-range", message)


def _controller_revision(revision: apps.ControllerRevision, raw: Mapping[str, Any], report: Report) -> None:
    if revision.data is None:
        report.error(("data",), "missing-field", "Required value: data is mandatory")
    _not_negative(("revision",), revision.revision, report)


def _replicas(replicas: int | None, report: Report) -> None:
    if replicas is not None:
        report.between(("spec", "replicas"), replicas, 0, LARGEST)


def check_template(
    template: core.PodTemplate, path: Path, report: Report, *, restarts: Sequence[str], claims: bool = False
) -> None:
    """The pods that a workload makes; `restarts` and `claims` as in `check_pod_spec`."""
    names.check_labels(template.metadata.labels, (*path, "metadata", "labels"), report)
    names.check_annotations(template.metadata.annotations, (*path, "metadata", "annotations"), report)
    check_pod_spec(template.spec, (*path, "spec"), report, restarts=restarts, claims=claims)


def _replication_controller(
    controller: apps.ReplicationController, raw: Mapping[str, Any], report: Report
) -> None:
    _replicas(controller.spec.replicas, report)
    names.check_labels(controller.spec.selector, ("spec", "selector"), report)
    if controller.spec.template is None:
        report.error(("spec", "template"), "missing-field", "template is required")
    else:
        check_template(controller.spec.template, ("spec", "template"), report, restarts=("Always",))


def _config_map(config: core.ConfigMap, raw: Mapping[str, Any], report: Report) -> None:
    data.check_config_map(config, raw, report)
    configs.check_config_map(config, raw, report)


CHECKS = {
    "ConfigMap": _config_map,
    "Pod": _pod,
    "Secret": data.check_secret,
    "Service": _service,
    "EndpointSlice": _endpoint_slice,
    "Endpoints": _endpoints,
    "Node": _node,
    "Deployment": _deployment,
    "StatefulSet": _stateful_set,
    "DaemonSet": _daemon_set,
    "ControllerRevision": _controller_revision,
    "ReplicaSet": _workload,
    "ReplicationController": _replication_controller,
}
