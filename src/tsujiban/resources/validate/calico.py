"""projectcalico.org/v3: policies, tiers, sets, profiles, endpoints, pools."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tsujiban.resources import nets, protocols
from tsujiban.resources.defaults import BUILT_IN_TIERS
from tsujiban.resources.kinds import calico
from tsujiban.resources.positions import Path
from tsujiban.resources.validate import controllers, felix, names
from tsujiban.resources.validate.calico_rules import RuleCheck, check_protocol, check_selector
from tsujiban.resources.validate.kubernetes import TYPES, check_spec
from tsujiban.resources.validate.report import Report

_INTERFACE = re.compile(r"[a-zA-Z0-9_.-]{1,15}")
_PORT_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,128}")
_CONTAINER = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?")
_LINK_LOCAL = (nets.network("169.254.0.0/16"), nets.network("fe80::/10"))
_MAC = re.compile(r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}")
_HINTS = ("AssumeNeededOnEveryNode",)
_STAGED_ACTIONS = ("Set", "Delete", "Learn", "Ignore")
_ENCAPSULATIONS = ("Always", "CrossSubnet", "Never")
_ALLOWED_USES = ("Workload", "Tunnel", "LoadBalancer")


def _spec(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    spec = raw.get("spec")
    return spec if isinstance(spec, dict) else {}


def _policy(policy: calico.NetworkPolicy, raw: Mapping[str, Any], report: Report) -> None:
    _policy_spec(policy.spec, report, namespaced=True)


def _staged_policy(policy: calico.StagedNetworkPolicy, raw: Mapping[str, Any], report: Report) -> None:
    _staged(policy.spec.staged_action, raw, ("tier",), report)
    _policy_spec(policy.spec, report, namespaced=True)


def _staged_global_policy(
    policy: calico.StagedGlobalNetworkPolicy, raw: Mapping[str, Any], report: Report
) -> None:
    _staged(policy.spec.staged_action, raw, ("tier",), report)
    _global_spec(policy.spec, report)


def _staged_kubernetes_policy(
    policy: calico.StagedKubernetesNetworkPolicy, raw: Mapping[str, Any], report: Report
) -> None:
    _staged(policy.spec.staged_action, raw, (), report)
    check_spec(policy.spec, report)


def _global_policy(policy: calico.GlobalNetworkPolicy, raw: Mapping[str, Any], report: Report) -> None:
    _global_spec(policy.spec, report)


def _staged(action: str, raw: Mapping[str, Any], besides: tuple[str, ...], report: Report) -> None:
    report.one_of(("spec", "stagedAction"), action, _STAGED_ACTIONS, empty=True)
    if action == "Delete":
        for field, value in _spec(raw).items():
            if field not in ("stagedAction", *besides) and value not in (None, "", [], {}):
                report.error(("spec", field), "conflict", "stagedAction Delete takes no other field")


def _global_spec(spec: calico.GlobalNetworkPolicySpec, report: Report) -> None:
    _policy_spec(spec, report, namespaced=False)
    check_selector(spec.namespace_selector, ("spec", "namespaceSelector"), report)
    if spec.pre_dnat and spec.do_not_track:
        report.error(("spec", "doNotTrack"), "conflict", "preDNAT and doNotTrack exclude each other")
    for field, value in (("preDNAT", spec.pre_dnat), ("doNotTrack", spec.do_not_track)):
        if value and not spec.apply_on_forward:
            report.error(("spec", field), "conflict", f"{field} needs applyOnForward: true")
    if spec.pre_dnat:
        if spec.egress:
            report.error(("spec", "egress"), "conflict", "a preDNAT policy has no egress rules")
        for index, word in enumerate(spec.types or ()):
            if word == "Egress":
                report.error(("spec", "types", index), "conflict", "a preDNAT policy has no egress")


def _policy_spec(spec: calico.PolicySpec, report: Report, *, namespaced: bool) -> None:
    if spec.tier and not names.is_label(spec.tier):
        report.error(("spec", "tier"), "bad-name", f"{spec.tier[:64]!r} cannot be the name of a tier")
    check_selector(spec.selector, ("spec", "selector"), report)
    check_selector(spec.service_account_selector, ("spec", "serviceAccountSelector"), report)
    types = spec.types or ()
    for index, word in enumerate(types):
        report.one_of(("spec", "types", index), word, TYPES)
    report.distinct(("spec", "types"), types)
    for index, word in enumerate(spec.performance_hints):
        report.one_of(("spec", "performanceHints", index), word, _HINTS)
    report.distinct(("spec", "performanceHints"), spec.performance_hints)
    _rules(spec.ingress, spec.egress, report, namespaced=namespaced)
    for word, rules in (("Ingress", spec.ingress), ("Egress", spec.egress)):
        if rules and types and word not in types:
            field = word.lower()
            report.warning(
                ("spec", field), "ignored-rules", f"{field} rules have no effect without {word} in types"
            )


def _rules(
    ingress: Sequence[calico.Rule],
    egress: Sequence[calico.Rule],
    report: Report,
    *,
    namespaced: bool,
) -> None:
    for direction, rules in (("ingress", ingress), ("egress", egress)):
        check = RuleCheck(report, direction, namespaced=namespaced)
        for index, rule in enumerate(rules):
            check.check(rule, ("spec", direction, index))


def _tier(tier: calico.Tier, raw: Mapping[str, Any], report: Report) -> None:
    if tier.spec.default_action is not None:
        report.one_of(("spec", "defaultAction"), tier.spec.default_action, ("Deny", "Pass"))
    built_in = BUILT_IN_TIERS.get(tier.metadata.name)
    if built_in is None:
        return
    order, action = built_in
    if tier.spec.order != order:
        report.error(("spec", "order"), "built-in", f"the order of tier {tier.metadata.name} is {order:.0f}")
    if tier.spec.default_action not in (None, action):
        message = f"the default action of tier {tier.metadata.name} is {action}"
        report.error(("spec", "defaultAction"), "built-in", message)


def _set(
    network_set: calico.NetworkSet | calico.GlobalNetworkSet, raw: Mapping[str, Any], report: Report
) -> None:
    for index, text in enumerate(network_set.spec.nets):
        report.network(("spec", "nets", index), text)


def _profile(profile: calico.Profile, raw: Mapping[str, Any], report: Report) -> None:
    names.check_labels(profile.spec.labels_to_apply, ("spec", "labelsToApply"), report)
    _rules(profile.spec.ingress, profile.spec.egress, report, namespaced=False)


def _host_endpoint(endpoint: calico.HostEndpoint, raw: Mapping[str, Any], report: Report) -> None:
    spec = endpoint.spec
    if report.required(("spec", "node"), spec.node) and not names.is_subdomain(spec.node):
        report.error(("spec", "node"), "bad-name", f"{spec.node[:64]!r} cannot be the name of a node")
    if spec.interface_name:
        if spec.interface_name != "*" and not _INTERFACE.fullmatch(spec.interface_name):
            message = f"{spec.interface_name[:64]!r} cannot be the name of an interface"
            report.error(("spec", "interfaceName"), "bad-name", message, "'*' is all of a node's interfaces")
    elif not spec.expected_ips:
        report.error(("spec",), "missing-field", "set interfaceName or expectedIPs")
    for index, text in enumerate(spec.expected_ips):
        report.address(("spec", "expectedIPs", index), text)
    _profiles(spec.profiles, report)
    for index, port in enumerate(spec.ports):
        _port(port, ("spec", "ports", index), report)


def _workload_endpoint(endpoint: calico.WorkloadEndpoint, raw: Mapping[str, Any], report: Report) -> None:
    spec = endpoint.spec
    name = spec.interface_name
    if report.required(("spec", "interfaceName"), name) and not _INTERFACE.fullmatch(name):
        message = f"{name[:64]!r} cannot be the name of an interface"
        report.error(("spec", "interfaceName"), "bad-name", message)
    for index, text in enumerate(spec.ip_networks):
        net = report.network(("spec", "ipNetworks", index), text)
        if net is not None and net.num_addresses != 1:
            report.error(("spec", "ipNetworks", index), "bad-cidr", f"{text} is more than one address")
    for index, nat in enumerate(spec.ip_nats):
        _nat(nat, spec.ip_networks, ("spec", "ipNATs", index), report)
    if spec.container_id and not _CONTAINER.fullmatch(spec.container_id):
        report.error(("spec", "containerID"), "bad-name", "letters, digits and '-', no '-' at the ends")
    for field, text in (("ipv4Gateway", spec.ipv4_gateway), ("ipv6Gateway", spec.ipv6_gateway)):
        if text:
            report.address(("spec", field), text)
    if spec.mac and not _MAC.fullmatch(spec.mac):
        report.error(("spec", "mac"), "bad-address", f"not a MAC address: {spec.mac[:64]!r}")
    if spec.service_account_name and not names.is_subdomain(spec.service_account_name):
        message = f"{spec.service_account_name[:64]!r} cannot be the name of a service account"
        report.error(("spec", "serviceAccountName"), "bad-name", message)
    _profiles(spec.profiles, report)
    for index, port in enumerate(spec.ports):
        _port(port, ("spec", "ports", index), report)
        if port.host_ip:
            report.address(("spec", "ports", index, "hostIP"), port.host_ip)
    for index, text in enumerate(spec.allow_spoofed_source_prefixes):
        report.network(("spec", "allowSpoofedSourcePrefixes", index), text)


def _nat(nat: calico.IPNAT, networks: Sequence[str], path: Path, report: Report) -> None:
    inside = report.address((*path, "internalIP"), nat.internal_ip)
    outside = report.address((*path, "externalIP"), nat.external_ip)
    if inside is None or outside is None:
        return
    if inside.version != outside.version:
        report.error((*path, "externalIP"), "conflict", "both addresses are of one IP version")
    if nat.internal_ip not in {text.partition("/")[0] for text in networks}:
        message = f"{nat.internal_ip} is none of the endpoint's addresses"
        report.error((*path, "internalIP"), "conflict", message, "name it in ipNetworks")


def _profiles(profiles: Sequence[str], report: Report) -> None:
    for index, name in enumerate(profiles):
        if not names.is_subdomain(name):
            message = f"{name[:64]!r} cannot be the name of a profile"
            report.error(("spec", "profiles", index), "bad-name", message)


def _port(port: calico.EndpointPort | calico.WorkloadEndpointPort, path: Path, report: Report) -> None:
    if not port.name and isinstance(port, calico.WorkloadEndpointPort) and port.host_port:
        pass  # a host port needs no name
    elif report.required((*path, "name"), port.name) and not _PORT_NAME.fullmatch(port.name):
        report.error((*path, "name"), "bad-port", f"{port.name[:64]!r} cannot be the name of a port")
    if report.required((*path, "protocol"), port.protocol):
        number = check_protocol(port.protocol, (*path, "protocol"), report)
        if number is not None and number not in protocols.WITH_PORTS:
            message = f"protocol {protocols.name(number)} has no ports here"
            report.error((*path, "protocol"), "conflict", message)
    report.port((*path, "port"), port.port)


def _pool(pool: calico.IPPool, raw: Mapping[str, Any], report: Report) -> None:
    spec = pool.spec
    for field, mode in (("ipipMode", spec.ipip_mode), ("vxlanMode", spec.vxlan_mode)):
        report.one_of(("spec", field), mode, _ENCAPSULATIONS, empty=True)
    if spec.ipip_mode not in ("", "Never") and spec.vxlan_mode not in ("", "Never"):
        report.error(("spec", "vxlanMode"), "conflict", "ipipMode and vxlanMode exclude each other")
    for index, use in enumerate(spec.allowed_uses):
        report.one_of(("spec", "allowedUses", index), use, _ALLOWED_USES)
    if "LoadBalancer" in spec.allowed_uses:
        _load_balancer_pool(spec, report)
    if "Tunnel" in spec.allowed_uses and spec.namespace_selector:
        report.error(("spec", "namespaceSelector"), "conflict", "a tunnel's address is in no namespace")
    if spec.assignment_mode is not None:
        report.one_of(("spec", "assignmentMode"), spec.assignment_mode, ("Automatic", "Manual"))
    check_selector(spec.node_selector, ("spec", "nodeSelector"), report)
    check_selector(spec.namespace_selector, ("spec", "namespaceSelector"), report)
    if not report.required(("spec", "cidr"), spec.cidr):
        return
    net = report.network(("spec", "cidr"), spec.cidr, prefix=True)
    if net is None:
        return
    if nets.address(spec.cidr.partition("/")[0]) != net.network_address:
        report.error(("spec", "cidr"), "bad-cidr", f"{spec.cidr} has bits beyond its prefix", f"write {net}")
    if net.version == 6 and spec.ipip_mode not in ("", "Never"):
        report.error(("spec", "ipipMode"), "conflict", "IPv6 is not carried in IPIP", "use vxlanMode")
    low, high, usual = (20, 32, 26) if net.version == 4 else (116, 128, 122)
    block = usual if spec.block_size is None else spec.block_size
    right = report.between(("spec", "blockSize"), block, low, high)
    if right and net.prefixlen > block and not spec.disabled:
        message = f"{spec.cidr} is smaller than a block of /{block}"
        report.error(("spec", "cidr"), "bad-cidr", message, f"at most /{block}, or set blockSize")
    if net.is_loopback or net.is_multicast or any(nets.overlap(net, local) for local in _LINK_LOCAL):
        report.error(("spec", "cidr"), "bad-cidr", f"{spec.cidr} is not for workloads")


def _load_balancer_pool(spec: calico.IPPoolSpec, report: Report) -> None:
    """Addresses for load balancers are on no node, and in no tunnel."""
    for field, wrong in (
        ("allowedUses", len(set(spec.allowed_uses)) > 1),
        ("disableBGPExport", spec.disable_bgp_export),
        ("ipipMode", spec.ipip_mode not in ("", "Never")),
        ("vxlanMode", spec.vxlan_mode not in ("", "Never")),
        ("nodeSelector", spec.node_selector not in ("", "all()")),
    ):
        if wrong:
            report.error(("spec", field), "conflict", f"a pool for load balancers takes no other {field}")


def _felix(config: calico.FelixConfiguration, raw: Mapping[str, Any], report: Report) -> None:
    name, spec = config.metadata.name, config.spec
    if name != "default" and not (name.startswith("node.") and names.is_subdomain(name[5:])):
        hint = "'default' is for all nodes, 'node.NAME' for one"
        report.error(("metadata", "name"), "bad-name", f"{name[:64]!r} is the configuration of nobody", hint)
    action = ("spec", "nftablesFilterDenyAction")
    report.one_of(action, spec.nftables_filter_deny_action, ("Drop", "Reject"), empty=True)
    for field, ports in (
        ("failsafeInboundHostPorts", spec.failsafe_inbound_host_ports),
        ("failsafeOutboundHostPorts", spec.failsafe_outbound_host_ports),
    ):
        for index, port in enumerate(ports or ()):
            path = ("spec", field, index)
            if protocols.number(port.protocol) not in (protocols.TCP, protocols.UDP):
                report.error((*path, "protocol"), "bad-value", "a failsafe port is of TCP or of UDP")
            report.port((*path, "port"), port.port)
            if port.net:
                report.network((*path, "net"), port.net)
    felix.check(_spec(raw), report)


def _controllers(config: calico.KubeControllersConfiguration, raw: Mapping[str, Any], report: Report) -> None:
    name = config.metadata.name
    if name != "default":
        message = f"{name[:64]!r} is read by nobody"
        report.error(("metadata", "name"), "bad-name", message, "the one configuration is 'default'")
    controllers.check(config.spec, _spec(raw), report)


CHECKS = {
    "NetworkPolicy": _policy,
    "GlobalNetworkPolicy": _global_policy,
    "StagedNetworkPolicy": _staged_policy,
    "StagedGlobalNetworkPolicy": _staged_global_policy,
    "StagedKubernetesNetworkPolicy": _staged_kubernetes_policy,
    "Tier": _tier,
    "NetworkSet": _set,
    "GlobalNetworkSet": _set,
    "Profile": _profile,
    "HostEndpoint": _host_endpoint,
    "WorkloadEndpoint": _workload_endpoint,
    "IPPool": _pool,
    "FelixConfiguration": _felix,
    "KubeControllersConfiguration": _controllers,
}
