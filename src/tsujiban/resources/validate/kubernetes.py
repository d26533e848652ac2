"""networking.k8s.io/v1 NetworkPolicy, and the same spec where Calico stages it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tsujiban.resources import nets, protocols
from tsujiban.resources.kinds.calico import StagedKubernetesNetworkPolicySpec
from tsujiban.resources.kinds.netpol import (
    IPBlock,
    NetworkPolicy,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    NetworkPolicySpec,
)
from tsujiban.resources.positions import Path
from tsujiban.resources.validate import names
from tsujiban.resources.validate.report import Report

TYPES = ("Ingress", "Egress")
ODD_PORT_NAME = re.compile(r"(?=.*[a-zA-Z])[a-zA-Z0-9_.-]{1,128}")
"""A port's name to Calico, not to Kubernetes."""


def check_network_policy(policy: NetworkPolicy, raw: Mapping[str, Any], report: Report) -> None:
    """A NetworkPolicy."""
    if raw.get("spec") is None:
        report.error(
            ("spec",),
            "missing-field",
            "spec is required",
            "an empty one isolates nothing: write what it is for",
        )
    check_spec(policy.spec, report)


def check_spec(spec: NetworkPolicySpec | StagedKubernetesNetworkPolicySpec, report: Report) -> None:
    """The spec of a NetworkPolicy."""
    names.check_selector(spec.pod_selector, ("spec", "podSelector"), report)
    for index, rule in enumerate(spec.ingress):
        path: Path = ("spec", "ingress", index)
        _peers(rule.from_, (*path, "from"), report)
        _ports(rule.ports, (*path, "ports"), report)
    for index, out in enumerate(spec.egress):
        path = ("spec", "egress", index)
        _peers(out.to, (*path, "to"), report)
        _ports(out.ports, (*path, "ports"), report)
    types = spec.policy_types or ()
    for index, word in enumerate(types):
        report.one_of(("spec", "policyTypes", index), word, TYPES)
    report.at_most(("spec", "policyTypes"), types, len(TYPES))
    for word, rules in (("Ingress", spec.ingress), ("Egress", spec.egress)):
        if rules and types and word not in types:
            field = word.lower()
            report.warning(
                ("spec", field),
                "ignored-rules",
                f"{field} rules have no effect without {word} in policyTypes",
            )


def _peers(peers: Sequence[NetworkPolicyPeer], path: Path, report: Report) -> None:
    for index, peer in enumerate(peers):
        here = (*path, index)
        if peer.pod_selector is None and peer.namespace_selector is None and peer.ip_block is None:
            report.error(
                here, "missing-field", "the peer is empty", "set podSelector, namespaceSelector or ipBlock"
            )
        if peer.ip_block is not None:
            if peer.pod_selector is not None or peer.namespace_selector is not None:
                report.error(here, "conflict", "ipBlock and selectors exclude each other", "write two peers")
            _ip_block(peer.ip_block, (*here, "ipBlock"), report)
        names.check_selector(peer.pod_selector, (*here, "podSelector"), report)
        names.check_selector(peer.namespace_selector, (*here, "namespaceSelector"), report)


def _ip_block(block: IPBlock, path: Path, report: Report) -> None:
    if not report.required((*path, "cidr"), block.cidr):
        return
    outer = report.network((*path, "cidr"), block.cidr, prefix=True)
    for index, text in enumerate(block.except_):
        here = (*path, "except", index)
        inner = report.network(here, text, prefix=True)
        if outer is None or inner is None:
            continue
        if inner == outer or not nets.contains(outer, inner):
            report.error(here, "bad-cidr", f"{text} is not a smaller part of {block.cidr}")


def _ports(ports: Sequence[NetworkPolicyPort], path: Path, report: Report) -> None:
    for index, port in enumerate(ports):
        here = (*path, index)
        if port.protocol is not None:
            report.one_of((*here, "protocol"), port.protocol, protocols.KUBERNETES)
        if isinstance(port.port, int):
            report.port((*here, "port"), port.port)
        elif isinstance(port.port, str):
            check_port_name(port.port, (*here, "port"), report)
        if port.end_port is not None:
            _end_port(port, here, report)


def _end_port(port: NetworkPolicyPort, path: Path, report: Report) -> None:
    here = (*path, "endPort")
    if not isinstance(port.port, int):
        report.error(here, "conflict", "endPort needs a port that is a number")
    elif port.end_port is not None and report.port(here, port.end_port) and port.end_port < port.port:
        report.error(here, "bad-port", f"endPort {port.end_port} is below port {port.port}")


def check_port_name(name: str, path: Path, report: Report) -> None:
    """The name of a port."""
    if names.is_port_name(name):
        return
    hint = (
        "leave the quotes out" if name.isdecimal() else "at most 15 of a-z, 0-9 and single '-', with a letter"
    )
    code = "odd-port-name" if ODD_PORT_NAME.fullmatch(name) else "bad-port"
    report.error(path, code, f"{name[:64]!r} cannot be the name of a port", hint)


CHECKS = {"NetworkPolicy": check_network_policy}
