"""policy.networking.k8s.io: ClusterNetworkPolicy, AdminNetworkPolicy, BaselineAdminNetworkPolicy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tsujiban.resources import protocols
from tsujiban.resources.kinds.cnp import (
    AdminEgressRule,
    AdminIngressRule,
    AdminNetworkPolicy,
    AdminPort,
    BaselineAdminNetworkPolicy,
    ClusterEgressRule,
    ClusterIngressRule,
    ClusterNetworkPolicy,
    EgressPeer,
    IngressPeer,
    NamespacedPod,
    Protocol,
    ProtocolPort,
    Subject,
)
from tsujiban.resources.positions import Path, value_at
from tsujiban.resources.validate import names
from tsujiban.resources.validate.kubernetes import check_port_name
from tsujiban.resources.validate.report import Report

TIERS = ("Admin", "Baseline")
_MOST_RULES = {"cluster": 25, "admin": 100}
_LONGEST_RULE_NAME = 100
_OPENING = ("Accept", "Allow")


def check_cluster(policy: ClusterNetworkPolicy, raw: Mapping[str, Any], report: Report) -> None:
    """A ClusterNetworkPolicy."""
    spec = policy.spec
    report.one_of(("spec", "tier"), spec.tier, TIERS)
    _priority(spec.priority, report)
    _subject(spec.subject, raw, report)
    rules = _Rules(raw, report, _MOST_RULES["cluster"], ("Accept", "Deny", "Pass"))
    rules.check("ingress", spec.ingress)
    rules.check("egress", spec.egress)


def check_admin(policy: AdminNetworkPolicy, raw: Mapping[str, Any], report: Report) -> None:
    """An AdminNetworkPolicy."""
    spec = policy.spec
    _priority(spec.priority, report)
    _subject(spec.subject, raw, report)
    rules = _Rules(raw, report, _MOST_RULES["admin"], ("Allow", "Deny", "Pass"))
    rules.check("ingress", spec.ingress)
    rules.check("egress", spec.egress)


def check_baseline(policy: BaselineAdminNetworkPolicy, raw: Mapping[str, Any], report: Report) -> None:
    """A BaselineAdminNetworkPolicy."""
    if policy.metadata.name and policy.metadata.name != "default":
        report.error(
            ("metadata", "name"), "bad-name", "the one BaselineAdminNetworkPolicy is called 'default'"
        )
    _subject(policy.spec.subject, raw, report)
    rules = _Rules(raw, report, _MOST_RULES["admin"], ("Allow", "Deny"))
    rules.check("ingress", policy.spec.ingress)
    rules.check("egress", policy.spec.egress)


def _priority(priority: int | None, report: Report) -> None:
    path = ("spec", "priority")
    if report.required(path, priority) and priority is not None:
        report.between(path, priority, 0, 1000)


def _subject(subject: Subject | None, raw: Mapping[str, Any], report: Report) -> None:
    path = ("spec", "subject")
    if subject is None:
        report.error(path, "missing-field", "subject is required", "'namespaces: {}' is all pods")
        return
    report.exactly_one_of(path, subject)
    names.check_selector(subject.namespaces, (*path, "namespaces"), report)
    _pods(subject.pods, raw, (*path, "pods"), report)


def _pods(pods: NamespacedPod | None, raw: Mapping[str, Any], path: Path, report: Report) -> None:
    if pods is None:
        return
    if value_at(raw, (*path, "podSelector")) is None:
        hint = "'podSelector: {}' selects all"
        report.error((*path, "podSelector"), "selector-omitted", "podSelector is required", hint)
    names.check_selector(pods.namespace_selector, (*path, "namespaceSelector"), report)
    names.check_selector(pods.pod_selector, (*path, "podSelector"), report)


Rule = ClusterIngressRule | ClusterEgressRule | AdminIngressRule | AdminEgressRule


class _Rules:
    """The rules of one policy, of either generation of the API."""

    def __init__(self, raw: Mapping[str, Any], report: Report, most: int, actions: tuple[str, ...]) -> None:
        self.raw = raw
        self.report = report
        self.most = most
        self.actions = actions

    def check(self, field: str, rules: Sequence[Rule]) -> None:
        self.report.at_most(("spec", field), rules, self.most)
        for index, rule in enumerate(rules):
            path: Path = ("spec", field, index)
            self.report.one_of((*path, "action"), rule.action, self.actions)
            if len(rule.name) > _LONGEST_RULE_NAME:
                message = f"a rule's name has at most {_LONGEST_RULE_NAME} characters"
                self.report.error((*path, "name"), "bad-name", message)
            if isinstance(rule, ClusterIngressRule | AdminIngressRule):
                self._peers(rule.from_, (*path, "from"), rule.action)
            else:
                self._peers(rule.to, (*path, "to"), rule.action)
                self._named_ports(rule, path)
            if isinstance(rule, ClusterIngressRule | ClusterEgressRule):
                self._protocols(rule.protocols, (*path, "protocols"))
            else:
                self._ports(rule.ports, (*path, "ports"))

    def _peers(self, peers: Sequence[IngressPeer | EgressPeer], path: Path, action: str) -> None:
        if not peers:
            self.report.error(path, "missing-field", f"{path[-1]} needs at least one peer")
        self.report.at_most(path, peers, self.most)
        for index, peer in enumerate(peers):
            here = (*path, index)
            self.report.exactly_one_of(here, peer)
            names.check_selector(peer.namespaces, (*here, "namespaces"), self.report)
            _pods(peer.pods, self.raw, (*here, "pods"), self.report)
            if isinstance(peer, EgressPeer):
                self._outside(peer, here, action)

    def _named_ports(self, rule: ClusterEgressRule | AdminEgressRule, path: Path) -> None:
        """Only pods have named ports."""
        if isinstance(rule, ClusterEgressRule):
            named = any(clause.destination_named_port is not None for clause in rule.protocols or ())
        else:
            named = any(port.named_port is not None for port in rule.ports or ())
        if named and any(peer.networks is not None or peer.nodes is not None for peer in rule.to):
            hint = "write one rule for pods and another for the rest"
            self.report.error((*path, "to"), "no-named-ports", "networks and nodes have no named ports", hint)

    def _outside(self, peer: EgressPeer, path: Path, action: str) -> None:
        names.check_selector(peer.nodes, (*path, "nodes"), self.report)
        if peer.networks is not None:
            here = (*path, "networks")
            if not peer.networks:
                self.report.error(here, "missing-field", "networks needs at least one CIDR")
            self.report.at_most(here, peer.networks, 25)
            self.report.distinct(here, peer.networks)
            for index, text in enumerate(peer.networks):
                self.report.network((*here, index), text, prefix=True)
        if peer.domain_names is not None:
            code = "domain-names" if action in _OPENING else "unsupported"
            self.report.error(
                (*path, "domainNames"),
                code,
                "domain names cannot be enforced on addresses",
                "name the networks",
            )

    def _protocols(self, clauses: Sequence[Protocol] | None, path: Path) -> None:
        if clauses is None:
            return
        if not clauses:
            self.report.error(
                path, "missing-field", "protocols needs at least one item", "leave it out for all"
            )
        self.report.at_most(path, clauses, 25)
        for index, clause in enumerate(clauses):
            here = (*path, index)
            self.report.exactly_one_of(here, clause)
            for name, ports in (("tcp", clause.tcp), ("udp", clause.udp), ("sctp", clause.sctp)):
                self._destination(ports, (*here, name))
            if clause.destination_named_port is not None:
                check_port_name(clause.destination_named_port, (*here, "destinationNamedPort"), self.report)

    def _destination(self, ports: ProtocolPort | None, path: Path) -> None:
        if ports is None:
            return
        here = (*path, "destinationPort")
        if ports.destination_port is None:
            hint = f"all of {str(path[-1]).upper()} is the range 1 to 65535"
            self.report.error(here, "missing-field", "destinationPort is required", hint)
            return
        port = ports.destination_port
        self.report.exactly_one_of(here, port)
        if port.number is not None:
            self.report.port((*here, "number"), port.number)
        if port.range is not None:
            self._range(port.range.start, port.range.end, (*here, "range"))

    def _ports(self, ports: Sequence[AdminPort] | None, path: Path) -> None:
        if ports is None:
            return
        self.report.at_most(path, ports, 100)
        for index, port in enumerate(ports):
            here = (*path, index)
            self.report.exactly_one_of(here, port)
            for name, clause in (("portNumber", port.port_number), ("portRange", port.port_range)):
                if clause is not None and clause.protocol is not None:
                    self.report.one_of(
                        (*here, name, "protocol"), clause.protocol, protocols.KUBERNETES, empty=True
                    )
            if port.port_number is not None:
                number = port.port_number.port
                if self.report.required((*here, "portNumber", "port"), number) and number is not None:
                    self.report.port((*here, "portNumber", "port"), number)
            if port.named_port is not None:
                check_port_name(port.named_port, (*here, "namedPort"), self.report)
            if port.port_range is not None:
                self._range(port.port_range.start, port.port_range.end, (*here, "portRange"))

    def _range(self, start: int | None, end: int | None, path: Path) -> None:
        if start is None or end is None:
            for name, value in (("start", start), ("end", end)):
                self.report.required((*path, name), value)
            return
        good = self.report.port((*path, "start"), start) and self.report.port((*path, "end"), end)
        if good and start >= end:
            self.report.error((*path, "end"), "bad-port", f"end {end} is not above start {start}")


CHECKS = {
    "ClusterNetworkPolicy": check_cluster,
    "AdminNetworkPolicy": check_admin,
    "BaselineAdminNetworkPolicy": check_baseline,
}
