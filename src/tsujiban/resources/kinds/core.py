"""Core, apps, batch and discovery kinds, as far as policy needs them and running a pod needs them.

Every field that a pod may have is accepted (Kubernetes API reference, v1.34); what neither
policy nor the local runtime reads is kept as plain data.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tsujiban.resources.kinds.env import EnvFromSource, EnvVar
from tsujiban.resources.kinds.meta import Object, ObjectMeta, Shape, Status


class NamespaceSpec(Shape, frozen=True):
    """Only finalizers."""

    finalizers: tuple[str, ...] = ()


class Namespace(Object, frozen=True):
    """A namespace; selectors see its labels."""

    spec: NamespaceSpec = NamespaceSpec()
    status: Any = None


class NodeAddress(Status, frozen=True):
    """`type` is InternalIP, ExternalIP, Hostname, …"""

    type: str = ""
    address: str = ""


class Condition(Status, frozen=True):
    """One of the conditions of a node or a pod, which the control plane reads."""

    type: str
    status: str


class NodeStatus(Status, frozen=True):
    """What is read of it: the addresses, the conditions, and what there is for pods to use."""

    addresses: tuple[NodeAddress, ...] = ()
    conditions: tuple[Condition, ...] | None = None
    allocatable: dict[str, Any] | None = None


class NodeSpec(Shape, frozen=True):
    """Pod CIDRs and scheduling."""

    pod_cidr: str = msgspec.field(default="", name="podCIDR")
    pod_cidrs: tuple[str, ...] = msgspec.field(default=(), name="podCIDRs")
    provider_id: str = msgspec.field(default="", name="providerID")
    unschedulable: bool = False
    taints: Any = None
    config_source: Any = None
    external_id: str = msgspec.field(default="", name="externalID")


class Node(Object, frozen=True):
    """A machine."""

    spec: NodeSpec = NodeSpec()
    status: NodeStatus | None = None


class ServiceAccount(Object, frozen=True):
    """An identity of workloads; selectors see its labels."""

    secrets: Any = None
    image_pull_secrets: Any = None
    automount_service_account_token: bool | None = None


class ContainerPort(Shape, frozen=True):
    """A port that a container declares; `protocol` defaults to TCP."""

    name: str = ""
    container_port: int = 0
    protocol: str | None = None
    host_port: int | None = None
    host_ip: str = msgspec.field(default="", name="hostIP")


class HTTPGetAction(Shape, frozen=True):
    """A GET request."""

    path: str = ""
    port: int | str = 0
    host: str = ""
    scheme: str = ""
    http_headers: Any = None


class TCPSocketAction(Shape, frozen=True):
    """A connection."""

    port: int | str = 0
    host: str = ""


class ExecAction(Shape, frozen=True):
    """A command."""

    command: tuple[str, ...] = ()


class GRPCAction(Shape, frozen=True):
    """A gRPC health check."""

    port: int = 0
    service: str | None = None


class Probe(Shape, frozen=True):
    """Times are seconds; an absent one has Kubernetes' default."""

    http_get: HTTPGetAction | None = None
    tcp_socket: TCPSocketAction | None = None
    exec: ExecAction | None = None
    grpc: GRPCAction | None = None
    initial_delay_seconds: int | None = None
    timeout_seconds: int | None = None
    period_seconds: int | None = None
    success_threshold: int | None = None
    failure_threshold: int | None = None
    termination_grace_period_seconds: int | None = None


class Container(Shape, frozen=True):
    """One container."""

    name: str = ""
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    ports: tuple[ContainerPort, ...] = ()
    env_from: tuple[EnvFromSource, ...] = ()
    env: tuple[EnvVar, ...] = ()
    resources: Any = None
    resize_policy: Any = None
    restart_policy: str | None = None
    restart_policy_rules: Any = None
    volume_mounts: tuple[dict[str, Any], ...] | None = None
    volume_devices: Any = None
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None
    lifecycle: Any = None
    termination_message_path: str = ""
    termination_message_policy: str = ""
    image_pull_policy: str = ""
    security_context: Any = None
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    target_container_name: str = ""  # ephemeral containers only


class PodSpec(Shape, frozen=True):
    """What a pod runs, where, and as whom."""

    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    ephemeral_containers: tuple[Container, ...] = ()
    service_account_name: str = ""
    service_account: str = ""
    node_name: str = ""
    node_selector: dict[str, str] = msgspec.field(default_factory=dict)
    host_network: bool = False
    host_pid: bool = msgspec.field(default=False, name="hostPID")
    host_ipc: bool = msgspec.field(default=False, name="hostIPC")
    host_users: bool | None = None
    hostname: str = ""
    hostname_override: str | None = None
    subdomain: str = ""
    set_hostname_as_fqdn: bool | None = msgspec.field(default=None, name="setHostnameAsFQDN")
    restart_policy: str = ""
    termination_grace_period_seconds: int | None = None
    active_deadline_seconds: int | None = None
    automount_service_account_token: bool | None = None
    dns_policy: str = ""
    dns_config: Any = None
    volumes: tuple[dict[str, Any], ...] | None = None
    share_process_namespace: bool | None = None
    security_context: Any = None
    image_pull_secrets: tuple[dict[str, Any], ...] | None = None
    affinity: Any = None
    scheduler_name: str = ""
    scheduling_gates: Any = None
    tolerations: tuple[dict[str, Any], ...] | None = None
    topology_spread_constraints: Any = None
    host_aliases: Any = None
    priority_class_name: str = ""
    priority: int | None = None
    preemption_policy: str | None = None
    readiness_gates: Any = None
    runtime_class_name: str | None = None
    enable_service_links: bool | None = None
    overhead: Any = None
    os: Any = None
    resource_claims: Any = None
    resources: Any = None
    workload_ref: Any = None


class PodIP(Status, frozen=True):
    """One address of a pod."""

    ip: str = ""


class ContainerState(Status, frozen=True):
    """How a container is: one of the three."""

    running: dict[str, Any] | None = None
    waiting: dict[str, Any] | None = None
    terminated: dict[str, Any] | None = None


class ContainerStatus(Status, frozen=True):
    """How one container is."""

    name: str = ""
    ready: bool = False
    started: bool | None = None
    restart_count: int = 0
    image: str = ""
    image_id: str = msgspec.field(default="", name="imageID")
    container_id: str = msgspec.field(default="", name="containerID")
    state: ContainerState | None = None
    last_state: ContainerState | None = None


class PodStatus(Status, frozen=True):
    """How a pod is; `phase` is Pending, Running, Succeeded, Failed or Unknown."""

    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    pod_ips: tuple[PodIP, ...] = msgspec.field(default=(), name="podIPs")
    host_ip: str = msgspec.field(default="", name="hostIP")
    start_time: str = ""
    message: str = ""
    reason: str = ""
    conditions: tuple[Condition, ...] | None = None
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    ephemeral_container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(Object, frozen=True):
    """Containers that share addresses: the endpoint of most policy."""

    spec: PodSpec = PodSpec()
    status: PodStatus | None = None


class PodTemplate(Shape, frozen=True):
    """The pods that a workload kind makes."""

    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec = PodSpec()


class ServicePort(Shape, frozen=True):
    """`target_port` (None: the same as `port`) is a number or a container port's name."""

    name: str = ""
    protocol: str | None = None
    port: int = 0
    target_port: int | str | None = None
    node_port: int | None = None
    app_protocol: str | None = None


class ServiceSpec(Shape, frozen=True):
    """`cluster_ip` `None` (the word) is headless."""

    ports: tuple[ServicePort, ...] = ()
    selector: dict[str, str] = msgspec.field(default_factory=dict)
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    cluster_ips: tuple[str, ...] = msgspec.field(default=(), name="clusterIPs")
    type: str = ""
    external_ips: tuple[str, ...] = msgspec.field(default=(), name="externalIPs")
    external_name: str = ""
    external_traffic_policy: str = ""
    internal_traffic_policy: str | None = None
    load_balancer_ip: str = msgspec.field(default="", name="loadBalancerIP")
    load_balancer_source_ranges: tuple[str, ...] = ()
    load_balancer_class: str | None = None
    allocate_load_balancer_node_ports: bool | None = None
    health_check_node_port: int | None = None
    publish_not_ready_addresses: bool = False
    session_affinity: str = ""
    session_affinity_config: Any = None
    ip_families: tuple[str, ...] = ()
    ip_family_policy: str | None = None
    traffic_distribution: str | None = None


class Service(Object, frozen=True):
    """A name and an address for the ready pods that a selector selects."""

    spec: ServiceSpec = ServiceSpec()
    status: Any = None


class ObjectReference(Shape, frozen=True):
    """Names another object."""

    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    api_version: str = ""
    resource_version: str = ""
    field_path: str = ""


class EndpointConditions(Shape, frozen=True):
    """None counts as true for `ready` and `serving`."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class Endpoint(Shape, frozen=True):
    """Addresses of one endpoint of a service."""

    addresses: tuple[str, ...] = ()
    conditions: EndpointConditions | None = None
    hostname: str | None = None
    target_ref: ObjectReference | None = None
    node_name: str | None = None
    zone: str | None = None
    hints: Any = None
    deprecated_topology: dict[str, str] = msgspec.field(default_factory=dict)


class EndpointAddress(Shape, frozen=True):
    """One address behind a service, and whose it is."""

    ip: str = ""
    hostname: str = ""
    node_name: str | None = None
    target_ref: ObjectReference | None = None


class EndpointListPort(Shape, frozen=True):
    """One port of all addresses of a subset."""

    name: str = ""
    port: int = 0
    protocol: str | None = None
    app_protocol: str | None = None


class EndpointSubset(Shape, frozen=True):
    """Addresses that have the same ports; no connections go to `not_ready_addresses`."""

    addresses: tuple[EndpointAddress, ...] = ()
    not_ready_addresses: tuple[EndpointAddress, ...] = ()
    ports: tuple[EndpointListPort, ...] = ()


class Endpoints(Object, frozen=True):
    """v1 Endpoints: the addresses behind the service of the same name; of old, and read by many."""

    subsets: tuple[EndpointSubset, ...] = ()


class EndpointPort(Shape, frozen=True):
    """One port of all endpoints of a slice."""

    name: str | None = None
    protocol: str | None = None
    port: int | None = None
    app_protocol: str | None = None


class EndpointSlice(Object, frozen=True):
    """discovery.k8s.io/v1: some of the endpoints of the service named by a label."""

    address_type: str = ""
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


class Event(Object, frozen=True):
    """v1 Event: something that happened to an object."""

    involved_object: ObjectReference = ObjectReference()
    reason: str = ""
    message: str = ""
    source: Any = None
    first_timestamp: str | None = None
    last_timestamp: str | None = None
    event_time: str | None = None
    count: int = 0
    type: str = ""
    action: str = ""
    related: ObjectReference | None = None
    series: Any = None
    reporting_component: str = ""
    reporting_instance: str = ""


class Secret(Object, frozen=True):
    """Values in `data` are base64."""

    data: dict[str, str] = msgspec.field(default_factory=dict)
    string_data: dict[str, str] = msgspec.field(default_factory=dict)
    type: str = ""
    immutable: bool | None = None


class ConfigMap(Object, frozen=True):
    """Values in `binary_data` are base64."""

    data: dict[str, str] = msgspec.field(default_factory=dict)
    binary_data: dict[str, str] = msgspec.field(default_factory=dict)
    immutable: bool | None = None


class LeaseSpec(Shape, frozen=True):
    """Who holds it, and since when."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None
    strategy: str | None = None
    preferred_holder: str | None = None


class Lease(Object, frozen=True):
    """coordination.k8s.io/v1."""

    spec: LeaseSpec = LeaseSpec()
