"""What stands in the parts of a pod that are kept as plain data: told to who asks what a field means.

A pod keeps them as they were written (`kinds.core`), and nothing is refused by these; `resources.schema`
says which field is of which. kubectl looks each map of an object up before it compares two versions, and
warns of every field that it is not told of. Source: Kubernetes API reference v1.34, "PodSpec", "Container".
"""

from __future__ import annotations

from typing import Any

import msgspec

from tsujiban.resources.kinds.core import ExecAction, HTTPGetAction, TCPSocketAction
from tsujiban.resources.kinds.meta import LabelSelector, Shape


class ResourceClaim(Shape, frozen=True):
    """One of the pod's `resourceClaims`, by `name`."""

    name: str = ""
    request: str = ""


class ResourceRequirements(Shape, frozen=True):
    """Processor and memory: `requests` it is sure of, `limits` it never has more than."""

    limits: dict[str, Any] = msgspec.field(default_factory=dict)
    requests: dict[str, Any] = msgspec.field(default_factory=dict)
    claims: tuple[ResourceClaim, ...] = ()


class Capabilities(Shape, frozen=True):
    """Capabilities of the kernel, `add`ed to what is usual or `drop`ped from it."""

    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


class SELinuxOptions(Shape, frozen=True):
    """A label of SELinux."""

    user: str = ""
    role: str = ""
    type: str = ""
    level: str = ""


class ProfileOptions(Shape, frozen=True):
    """A profile of seccomp or AppArmor; `type` is RuntimeDefault, Localhost or Unconfined."""

    type: str = ""
    localhost_profile: str | None = None


class WindowsOptions(Shape, frozen=True):
    """What Windows has in place of the rest."""

    gmsa_credential_spec: str | None = None
    gmsa_credential_spec_name: str | None = None
    host_process: bool | None = None
    run_as_user_name: str | None = None


class SecurityContext(Shape, frozen=True):
    """With which rights a container's processes run."""

    allow_privilege_escalation: bool | None = None
    app_armor_profile: ProfileOptions | None = None
    capabilities: Capabilities | None = None
    privileged: bool | None = None
    proc_mount: str | None = None
    read_only_root_filesystem: bool | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    run_as_user: int | None = None
    se_linux_options: SELinuxOptions | None = None
    seccomp_profile: ProfileOptions | None = None
    windows_options: WindowsOptions | None = None


class Sysctl(Shape, frozen=True):
    """One setting of the kernel."""

    name: str = ""
    value: str = ""


class PodSecurityContext(Shape, frozen=True):
    """With which rights all of a pod's containers run, where they do not say so themselves."""

    app_armor_profile: ProfileOptions | None = None
    fs_group: int | None = None
    fs_group_change_policy: str | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    run_as_user: int | None = None
    se_linux_change_policy: str | None = None
    se_linux_options: SELinuxOptions | None = None
    seccomp_profile: ProfileOptions | None = None
    supplemental_groups: tuple[int, ...] = ()
    supplemental_groups_policy: str | None = None
    sysctls: tuple[Sysctl, ...] = ()
    windows_options: WindowsOptions | None = None


class SleepAction(Shape, frozen=True):
    """Waits."""

    seconds: int = 0


class LifecycleHandler(Shape, frozen=True):
    """What is done at a moment of a container's life."""

    exec: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    tcp_socket: TCPSocketAction | None = None
    sleep: SleepAction | None = None


class Lifecycle(Shape, frozen=True):
    """What is done after a container was started, and before it is stopped."""

    post_start: LifecycleHandler | None = None
    pre_stop: LifecycleHandler | None = None
    stop_signal: str | None = None


class PodDNSOption(Shape, frozen=True):
    """One option of the resolver."""

    name: str = ""
    value: str | None = None


class PodDNSConfig(Shape, frozen=True):
    """Lines of the pod's resolv.conf."""

    nameservers: tuple[str, ...] = ()
    options: tuple[PodDNSOption, ...] = ()
    searches: tuple[str, ...] = ()


class NodeSelectorRequirement(Shape, frozen=True):
    """`operator` is In, NotIn, Exists, DoesNotExist, Gt or Lt."""

    key: str = ""
    operator: str = ""
    values: tuple[str, ...] = ()


class NodeSelectorTerm(Shape, frozen=True):
    """A conjunction about a node's labels and fields."""

    match_expressions: tuple[NodeSelectorRequirement, ...] = ()
    match_fields: tuple[NodeSelectorRequirement, ...] = ()


class NodeSelector(Shape, frozen=True):
    """Nodes that one of the terms selects."""

    node_selector_terms: tuple[NodeSelectorTerm, ...] = ()


class PreferredSchedulingTerm(Shape, frozen=True):
    """Nodes that are liked, and how much (1 to 100)."""

    weight: int = 0
    preference: NodeSelectorTerm | None = None


class NodeAffinity(Shape, frozen=True):
    """Which nodes a pod must, or would like to, run on."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    preferred_during_scheduling_ignored_during_execution: tuple[PreferredSchedulingTerm, ...] = ()


class PodAffinityTerm(Shape, frozen=True):
    """Pods, and the label of nodes that says what is near them."""

    label_selector: LabelSelector | None = None
    match_label_keys: tuple[str, ...] = ()
    mismatch_label_keys: tuple[str, ...] = ()
    namespace_selector: LabelSelector | None = None
    namespaces: tuple[str, ...] = ()
    topology_key: str = ""


class WeightedPodAffinityTerm(Shape, frozen=True):
    """Pods that are liked, and how much (1 to 100)."""

    weight: int = 0
    pod_affinity_term: PodAffinityTerm | None = None


class PodAffinity(Shape, frozen=True):
    """Near which pods (or far from which) a pod must, or would like to, run."""

    required_during_scheduling_ignored_during_execution: tuple[PodAffinityTerm, ...] = ()
    preferred_during_scheduling_ignored_during_execution: tuple[WeightedPodAffinityTerm, ...] = ()


class Affinity(Shape, frozen=True):
    """Where a pod is to run: on which nodes, near which pods, far from which."""

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None


class TopologySpreadConstraint(Shape, frozen=True):
    """How evenly pods are spread over what a label of nodes tells apart."""

    max_skew: int = 0
    topology_key: str = ""
    when_unsatisfiable: str = ""
    label_selector: LabelSelector | None = None
    match_label_keys: tuple[str, ...] = ()
    min_domains: int | None = None
    node_affinity_policy: str | None = None
    node_taints_policy: str | None = None


class Toleration(Shape, frozen=True):
    """A taint that the pod bears: for `tolerationSeconds`, or always."""

    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""
    toleration_seconds: int | None = None


class Taint(Shape, frozen=True):
    """What keeps pods away; `effect` is NoSchedule, PreferNoSchedule or NoExecute."""

    key: str = ""
    value: str = ""
    effect: str = ""
    time_added: str | None = None


class HostAlias(Shape, frozen=True):
    """A line of the pod's /etc/hosts."""

    ip: str = ""
    hostnames: tuple[str, ...] = ()


class PodNames(Shape, frozen=True):
    """What of a pod's specification is about names."""

    dns_config: PodDNSConfig = PodDNSConfig()
    host_aliases: tuple[HostAlias, ...] = ()


class LocalObjectReference(Shape, frozen=True):
    """An object of the same namespace."""

    name: str = ""


class ReadinessGate(Shape, frozen=True):
    """A condition that must be true, too, before the pod is ready."""

    condition_type: str = ""


class PodPlaces(Shape, frozen=True):
    """What of a pod's specification says where it may run, and when it is ready."""

    affinity: Affinity = Affinity()
    topology_spread_constraints: tuple[TopologySpreadConstraint, ...] = ()
    readiness_gates: tuple[ReadinessGate, ...] = ()


class SchedulingGate(Shape, frozen=True):
    """While there is one, the pod is not scheduled."""

    name: str = ""


class PodOS(Shape, frozen=True):
    """`name` is linux or windows."""

    name: str = ""


class ClientIPConfig(Shape, frozen=True):
    """How long a client stays with its pod."""

    timeout_seconds: int | None = None


class SessionAffinityConfig(Shape, frozen=True):
    """Of session affinity by client."""

    client_ip: ClientIPConfig | None = msgspec.field(default=None, name="clientIP")
