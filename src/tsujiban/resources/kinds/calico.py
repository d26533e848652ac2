"""projectcalico.org/v3 (Calico's resource reference); crd.projectcalico.org/v1 is its stored form."""

from __future__ import annotations

from typing import Any

import msgspec

from tsujiban.resources.kinds.felix import UnusedFelixFields
from tsujiban.resources.kinds.meta import LabelSelector, Object, Shape
from tsujiban.resources.kinds.netpol import NetworkPolicyEgressRule, NetworkPolicyIngressRule


class ICMPFields(Shape, frozen=True):
    """ICMP or ICMPv6 type, and code within it."""

    type: int | None = None
    code: int | None = None


class ServiceMatch(Shape, frozen=True):
    """The endpoints of a Kubernetes Service."""

    name: str = ""
    namespace: str = ""


class ServiceAccountMatch(Shape, frozen=True):
    """Both clauses must hold: one of `names` (empty: any), and `selector` on the account's labels."""

    names: tuple[str, ...] = ()
    selector: str = ""


class EntityRule(Shape, frozen=True):
    """One end of a rule; ports are numbers, names, or ranges written `20:21`."""

    nets: tuple[str, ...] | None = None
    selector: str = ""
    namespace_selector: str = ""
    services: ServiceMatch | None = None
    ports: tuple[int | str, ...] = ()
    not_nets: tuple[str, ...] = ()
    not_selector: str = ""
    not_ports: tuple[int | str, ...] = ()
    service_accounts: ServiceAccountMatch | None = None


class HTTPPath(Shape, frozen=True):
    """Exactly one field is set."""

    exact: str = ""
    prefix: str = ""


class HTTPMatch(Shape, frozen=True):
    """One of `methods` and one of `paths`; an empty list is any."""

    methods: tuple[str, ...] = ()
    paths: tuple[HTTPPath, ...] = ()


class RuleMetadata(Shape, frozen=True):
    """Annotations of one rule."""

    annotations: dict[str, str] = msgspec.field(default_factory=dict)


class Rule(Shape, frozen=True):
    """`action` is Allow, Deny, Log or Pass; protocols are names or IANA numbers."""

    action: str = ""
    ip_version: int | None = None
    protocol: int | str | None = None
    icmp: ICMPFields | None = None
    not_protocol: int | str | None = None
    not_icmp: ICMPFields | None = msgspec.field(default=None, name="notICMP")
    source: EntityRule = EntityRule()
    destination: EntityRule = EntityRule()
    http: HTTPMatch | None = None
    metadata: RuleMetadata | None = None


class PolicySpec(Shape, frozen=True):
    """What the policy kinds share. `order` None is last; `types` None is not given."""

    tier: str = ""
    order: float | None = None
    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()
    selector: str = ""
    types: tuple[str, ...] | None = None
    service_account_selector: str = ""
    performance_hints: tuple[str, ...] = ()


class NetworkPolicySpec(PolicySpec, frozen=True):
    """Namespaced policy."""


class GlobalNetworkPolicySpec(PolicySpec, frozen=True):
    """Cluster-wide policy."""

    do_not_track: bool = False
    pre_dnat: bool = msgspec.field(default=False, name="preDNAT")
    apply_on_forward: bool = False
    namespace_selector: str = ""


class StagedNetworkPolicySpec(NetworkPolicySpec, frozen=True):
    """`staged_action` is Set (default), Delete, Learn or Ignore."""

    staged_action: str = ""


class StagedGlobalNetworkPolicySpec(GlobalNetworkPolicySpec, frozen=True):
    """`staged_action` is Set (default), Delete, Learn or Ignore."""

    staged_action: str = ""


class StagedKubernetesNetworkPolicySpec(Shape, frozen=True):
    """Kubernetes' own spec, staged."""

    staged_action: str = ""
    pod_selector: LabelSelector = LabelSelector()
    ingress: tuple[NetworkPolicyIngressRule, ...] = ()
    egress: tuple[NetworkPolicyEgressRule, ...] = ()
    policy_types: tuple[str, ...] | None = None


class NetworkPolicy(Object, frozen=True):
    """Calico NetworkPolicy."""

    spec: NetworkPolicySpec = NetworkPolicySpec()
    status: Any = None


class GlobalNetworkPolicy(Object, frozen=True):
    """Calico GlobalNetworkPolicy."""

    spec: GlobalNetworkPolicySpec = GlobalNetworkPolicySpec()
    status: Any = None


class StagedNetworkPolicy(Object, frozen=True):
    """A NetworkPolicy that is evaluated and counted, not enforced."""

    spec: StagedNetworkPolicySpec = StagedNetworkPolicySpec()
    status: Any = None


class StagedGlobalNetworkPolicy(Object, frozen=True):
    """A GlobalNetworkPolicy that is evaluated and counted, not enforced."""

    spec: StagedGlobalNetworkPolicySpec = StagedGlobalNetworkPolicySpec()
    status: Any = None


class StagedKubernetesNetworkPolicy(Object, frozen=True):
    """A Kubernetes NetworkPolicy that is evaluated and counted, not enforced."""

    spec: StagedKubernetesNetworkPolicySpec = StagedKubernetesNetworkPolicySpec()
    status: Any = None


class TierSpec(Shape, frozen=True):
    """`order` None is last; `default_action` is Deny (default) or Pass."""

    order: float | None = None
    default_action: str | None = None


class Tier(Object, frozen=True):
    """A layer of policies."""

    spec: TierSpec = TierSpec()
    status: Any = None


class NetworkSetSpec(Shape, frozen=True):
    """Addresses and CIDRs."""

    nets: tuple[str, ...] = ()


class NetworkSet(Object, frozen=True):
    """Addresses that selectors find by the set's labels, in a namespace."""

    spec: NetworkSetSpec = NetworkSetSpec()


class GlobalNetworkSet(Object, frozen=True):
    """Addresses that selectors find by the set's labels, in no namespace."""

    spec: NetworkSetSpec = NetworkSetSpec()


class ProfileSpec(Shape, frozen=True):
    """Rules after the tiers, and labels that its endpoints inherit."""

    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()
    labels_to_apply: dict[str, str] = msgspec.field(default_factory=dict)


class Profile(Object, frozen=True):
    """What applies to the endpoints that name it, after all tiers."""

    spec: ProfileSpec = ProfileSpec()


class EndpointPort(Shape, frozen=True):
    """A named port of an endpoint."""

    name: str = ""
    protocol: int | str = ""
    port: int = 0


class HostEndpointSpec(Shape, frozen=True):
    """`interface_name` is a name or `*`; otherwise the interface with one of `expected_ips`."""

    node: str = ""
    interface_name: str = ""
    expected_ips: tuple[str, ...] = msgspec.field(default=(), name="expectedIPs")
    profiles: tuple[str, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


class HostEndpoint(Object, frozen=True):
    """An interface of a node, or all of them."""

    spec: HostEndpointSpec = HostEndpointSpec()


class IPNAT(Shape, frozen=True):
    """One floating address."""

    internal_ip: str = msgspec.field(default="", name="internalIP")
    external_ip: str = msgspec.field(default="", name="externalIP")


class WorkloadEndpointPort(Shape, frozen=True):
    """A named port of a workload."""

    name: str = ""
    protocol: int | str = ""
    port: int = 0
    host_port: int = 0
    host_ip: str = msgspec.field(default="", name="hostIP")


class WorkloadEndpointSpec(Shape, frozen=True):
    """`ip_networks` are addresses, with or without prefix length."""

    orchestrator: str = ""
    workload: str = ""
    node: str = ""
    container_id: str = msgspec.field(default="", name="containerID")
    pod: str = ""
    endpoint: str = ""
    service_account_name: str = ""
    ip_networks: tuple[str, ...] = ()
    ip_nats: tuple[IPNAT, ...] = msgspec.field(default=(), name="ipNATs")
    ipv4_gateway: str = msgspec.field(default="", name="ipv4Gateway")
    ipv6_gateway: str = msgspec.field(default="", name="ipv6Gateway")
    profiles: tuple[str, ...] = ()
    interface_name: str = ""
    mac: str = ""
    ports: tuple[WorkloadEndpointPort, ...] = ()
    allow_spoofed_source_prefixes: tuple[str, ...] = ()
    qos_controls: dict[str, Any] | None = msgspec.field(default=None, name="qosControls")


class WorkloadEndpoint(Object, frozen=True):
    """A workload's interface: what Calico makes of a pod, or of a workload that is none."""

    spec: WorkloadEndpointSpec = WorkloadEndpointSpec()


class IPPoolSpec(Shape, frozen=True):
    """Addresses for workloads."""

    cidr: str = ""
    vxlan_mode: str = ""
    ipip_mode: str = ""
    nat_outgoing: bool = False
    disabled: bool = False
    disable_bgp_export: bool = msgspec.field(default=False, name="disableBGPExport")
    block_size: int | None = None
    node_selector: str = ""
    namespace_selector: str = ""
    allowed_uses: tuple[str, ...] = ()
    assignment_mode: str | None = None


class IPPool(Object, frozen=True):
    """A pool of addresses."""

    spec: IPPoolSpec = IPPoolSpec()
    status: Any = None


class ProtoPort(Shape, frozen=True):
    """A port that stays open; with `net`, to and from there alone."""

    protocol: int | str = "TCP"
    port: int = 0
    net: str = ""


class FelixConfigurationSpec(UnusedFelixFields, frozen=True):
    """What nodes do beside policy. None is the default of ports, () is no port."""

    failsafe_inbound_host_ports: tuple[ProtoPort, ...] | None = None
    failsafe_outbound_host_ports: tuple[ProtoPort, ...] | None = None
    nftables_filter_deny_action: str = ""


class FelixConfiguration(Object, frozen=True):
    """How nodes enforce: `default` is for all, `node.NAME` for one."""

    spec: FelixConfigurationSpec = FelixConfigurationSpec()


class HostEndpointTemplate(Shape, frozen=True):
    """More host endpoints of nodes."""

    generate_name: str = ""
    interface_cidrs: tuple[str, ...] = msgspec.field(default=(), name="interfaceCIDRs")
    interface_pattern: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    node_selector: str = ""


class AutoHostEndpointConfig(Shape, frozen=True):
    """Whether each node gets a host endpoint of all its interfaces."""

    auto_create: str = ""
    create_default_host_endpoint: str = ""
    templates: tuple[HostEndpointTemplate, ...] = ()


class NodeControllerConfig(Shape, frozen=True):
    """The controller that looks after nodes."""

    host_endpoint: AutoHostEndpointConfig = AutoHostEndpointConfig()
    leak_grace_period: str | None = None
    reconciler_period: str | None = None
    sync_labels: str = ""


class OtherControllerConfig(Shape, frozen=True):
    """A controller that there is not."""

    reconciler_period: str | None = None


class LoadBalancerControllerConfig(Shape, frozen=True):
    """The controller that gives addresses to load balancers; there is none."""

    assign_ips: str = msgspec.field(default="", name="assignIPs")


class MigrationControllerConfig(Shape, frozen=True):
    """The controller that renames policies; there is none."""

    policy_name_migrator: str = ""


class ControllersConfig(Shape, frozen=True):
    """The controllers that can be told something; `node` is the one that there is."""

    node: NodeControllerConfig = NodeControllerConfig()
    load_balancer: LoadBalancerControllerConfig | None = None
    migration: MigrationControllerConfig | None = None
    namespace: OtherControllerConfig | None = None
    policy: OtherControllerConfig | None = None
    service_account: OtherControllerConfig | None = None
    workload_endpoint: OtherControllerConfig | None = None


class KubeControllersConfigurationSpec(Shape, frozen=True):
    """What controllers do."""

    controllers: ControllersConfig = ControllersConfig()
    debug_profile_port: int | None = None
    etcd_v3_compaction_period: str | None = None
    health_checks: str = ""
    log_severity_screen: str = ""
    prometheus_metrics_port: int | None = None


class KubeControllersConfiguration(Object, frozen=True):
    """How the controller works; the one object is `default`."""

    spec: KubeControllersConfigurationSpec = KubeControllersConfigurationSpec()
    status: Any = None
