"""One rule of a Calico policy or profile (projectcalico.org/v3, "Rule" and "EntityRule")."""

from __future__ import annotations

from collections.abc import Sequence

from tsujiban.resources import httppath, ports, protocols
from tsujiban.resources.kinds.calico import (
    EntityRule,
    HTTPMatch,
    HTTPPath,
    ICMPFields,
    Rule,
    ServiceAccountMatch,
)
from tsujiban.resources.positions import Path
from tsujiban.resources.selector_nodes import And, Global, Node, Not, Or
from tsujiban.resources.validate import names
from tsujiban.resources.validate.report import Report

ACTIONS = ("Allow", "Deny", "Log", "Pass")
_ICMP_VERSION = {protocols.ICMP: 4, protocols.ICMPV6: 6}


class RuleCheck:
    """Checks the rules of one direction of one policy."""

    def __init__(self, report: Report, direction: str, *, namespaced: bool) -> None:
        self.report = report
        self.egress = direction == "egress"
        self.namespaced = namespaced

    def check(self, rule: Rule, path: Path) -> None:
        """One rule."""
        report = self.report
        report.one_of((*path, "action"), rule.action, ACTIONS)
        if rule.ip_version is not None and rule.ip_version not in (4, 6):
            report.error(
                (*path, "ipVersion"), "bad-value", f"{rule.ip_version} is not an IP version", "4 or 6"
            )
        self._protocols(rule, path)
        for name, icmp in (("icmp", rule.icmp), ("notICMP", rule.not_icmp)):
            if icmp is not None:
                self._icmp(icmp, rule, (*path, name))
        for name, entity in (("source", rule.source), ("destination", rule.destination)):
            self._entity(entity, rule, (*path, name))
        self._versions(rule, path)
        if rule.http is not None:
            self._http(rule.http, rule, path)
        if rule.metadata is not None:
            names.check_annotations(rule.metadata.annotations, (*path, "metadata", "annotations"), report)

    def _protocols(self, rule: Rule, path: Path) -> None:
        for name, protocol in (("protocol", rule.protocol), ("notProtocol", rule.not_protocol)):
            if protocol is None:
                continue
            number = check_protocol(protocol, (*path, name), self.report)
            version = _ICMP_VERSION.get(number or 0)
            if version is not None and rule.ip_version not in (None, version):
                self.report.error(
                    (*path, name),
                    "conflict",
                    f"{protocols.name(number or 0)} does not exist in IPv{rule.ip_version}",
                )

    def _icmp(self, icmp: ICMPFields, rule: Rule, path: Path) -> None:
        number = protocols.number(rule.protocol) if rule.protocol is not None else None
        if number not in _ICMP_VERSION:
            self.report.error(path, "conflict", f"{path[-1]} needs protocol ICMP or ICMPv6")
        if icmp.type is not None:
            self.report.between((*path, "type"), icmp.type, 0, 254)
        if icmp.code is not None:
            self.report.between((*path, "code"), icmp.code, 0, 255)
            if icmp.type is None:
                self.report.error((*path, "code"), "missing-field", "an ICMP code needs a type")

    def _entity(self, entity: EntityRule, rule: Rule, path: Path) -> None:
        report = self.report
        for name, texts in (("nets", entity.nets or ()), ("notNets", entity.not_nets)):
            for index, text in enumerate(texts):
                net = report.network((*path, name, index), text)
                if name == "notNets" and net is not None and net.prefixlen == 0:
                    report.error(
                        (*path, name, index), "bad-cidr", f"nothing is outside {text}: the rule never matches"
                    )
        for name, text in (("selector", entity.selector), ("notSelector", entity.not_selector)):
            check_selector(text, (*path, name), report)
        check_selector(entity.namespace_selector, (*path, "namespaceSelector"), report, or_global=True)
        for name, wanted in (("ports", entity.ports), ("notPorts", entity.not_ports)):
            self._ports(wanted, rule, (*path, name))
        if entity.service_accounts is not None:
            self._service_accounts(entity.service_accounts, (*path, "serviceAccounts"))
        if entity.services is not None:
            self._services(entity, path)

    def _ports(self, wanted: Sequence[int | str], rule: Rule, path: Path) -> None:
        if not wanted:
            return
        number = protocols.number(rule.protocol) if rule.protocol is not None else None
        numeric = False
        for index, text in enumerate(wanted):
            here = (*path, index)
            try:
                port = ports.parse(text)
            except ValueError as error:
                self.report.error(here, "bad-port", str(error))
                continue
            if isinstance(port, ports.Range):
                numeric = True
                if port.first == 0:
                    self.report.error(here, "bad-port", "port 0 is not a port")
        if rule.protocol is None:
            if numeric:
                hint = "set protocol: TCP, UDP or SCTP"
                self.report.error(path, "missing-field", "port numbers need a protocol", hint)
        elif number is not None and number not in protocols.WITH_PORTS:
            self.report.error(path, "conflict", f"protocol {protocols.name(number)} has no ports here")

    def _service_accounts(self, accounts: ServiceAccountMatch, path: Path) -> None:
        for index, name in enumerate(accounts.names):
            if not names.is_subdomain(name):
                message = f"{name[:64]!r} cannot be the name of a service account"
                self.report.error((*path, "names", index), "bad-name", message)
        check_selector(accounts.selector, (*path, "selector"), self.report)

    def _services(self, entity: EntityRule, path: Path) -> None:
        services = entity.services
        if services is None:
            return
        report, here = self.report, (*path, "services")
        if path[-1] != ("destination" if self.egress else "source"):
            where = "the destination of egress rules and the source of ingress rules"
            report.error(here, "not-allowed", f"services are allowed in {where} only")
        if report.required((*here, "name"), services.name) and not names.is_label_1035(services.name):
            report.error(
                (*here, "name"), "bad-name", f"{services.name[:64]!r} cannot be the name of a service"
            )
        if not services.namespace and not self.namespaced:
            report.error(
                (*here, "namespace"), "missing-field", "a policy without namespace must name the service's"
            )
        elif services.namespace and not names.is_label(services.namespace):
            report.error(
                (*here, "namespace"), "bad-name", f"{services.namespace[:64]!r} cannot be a namespace"
            )
        others: list[tuple[str, object]] = [
            ("nets", entity.nets),
            ("notNets", entity.not_nets),
            ("selector", entity.selector),
            ("notSelector", entity.not_selector),
            ("namespaceSelector", entity.namespace_selector),
            ("serviceAccounts", entity.service_accounts is not None),
        ]
        if self.egress:
            others += [("ports", entity.ports), ("notPorts", entity.not_ports)]
        for name, value in others:
            if value:
                report.error((*path, name), "conflict", f"services and {name} exclude each other")

    def _versions(self, rule: Rule, path: Path) -> None:
        """All CIDRs of a rule are of one IP version, and of the rule's."""
        seen: dict[int, Path] = {}
        for side, entity in (("source", rule.source), ("destination", rule.destination)):
            for name, texts in (("nets", entity.nets or ()), ("notNets", entity.not_nets)):
                for index, text in enumerate(texts):
                    seen.setdefault(6 if ":" in text else 4, (*path, side, name, index))
        for version, place in seen.items():
            if rule.ip_version in (4, 6) and version != rule.ip_version:
                self.report.error(
                    place, "conflict", f"an IPv{version} network in a rule for IPv{rule.ip_version}"
                )
        if len(seen) == 2 and rule.ip_version is None:
            message = "IPv4 and IPv6 networks in one rule: no packet matches both"
            self.report.error(list(seen.values())[1], "mixed-versions", message, "write two rules")

    def _http(self, http: HTTPMatch, rule: Rule, path: Path) -> None:
        report, here = self.report, (*path, "http")
        if self.egress:
            report.error(here, "not-allowed", "HTTP clauses are allowed in ingress rules only")
        if rule.action in ("Deny", "Log", "Pass"):
            report.error(here, "http-not-in-allow", "HTTP clauses are allowed in Allow rules only")
        if rule.protocol is not None and protocols.number(rule.protocol) != protocols.TCP:
            report.error((*path, "protocol"), "conflict", "HTTP runs over TCP")
        for index, method in enumerate(http.methods):
            if (
                not method.isascii()
                or not method
                or not all(c.isalnum() or c in "!#$%&'*+-.^_`|~" for c in method)
            ):
                report.error((*here, "methods", index), "bad-value", f"{method[:64]!r} cannot be a method")
        report.distinct((*here, "methods"), http.methods)
        for index, clause in enumerate(http.paths):
            self._path(clause, (*here, "paths", index))

    def _path(self, clause: HTTPPath, path: Path) -> None:
        if bool(clause.exact) == bool(clause.prefix):
            problem = "exact and prefix exclude each other" if clause.exact else "nothing is set"
            self.report.error(path, "conflict", problem, "set exactly one of exact, prefix")
        for name, text in (("exact", clause.exact), ("prefix", clause.prefix)):
            if not text:
                continue
            if any(character in text for character in "?# "):
                self.report.error(
                    (*path, name), "bad-path", f"{text[:64]!r} has '?', '#' or a space, which no path has"
                )
            elif httppath.normalize(text) is None:
                hint = "start with '/', without escapes that may be read in two ways"
                self.report.error((*path, name), "bad-path", f"{text[:64]!r} never matches a path", hint)


def check_protocol(protocol: int | str, path: Path, report: Report) -> int | None:
    """A protocol's name as Calico writes it, or a number from 1 to 255."""
    number = protocols.number(protocol)
    if isinstance(protocol, str) and protocol not in protocols.NUMBERS and not protocol.isdecimal():
        report.one_of(path, protocol, tuple(protocols.NUMBERS))
    elif number is None:
        report.error(path, "bad-value", f"{protocol} is not a protocol number", "1 to 255")
    return number


def check_selector(text: str, path: Path, report: Report, *, or_global: bool = False) -> None:
    """A selector; `global()` only alone, and only where the field takes it."""
    found = report.selector(path, text)
    if found is None or not _has_global(found.node):
        return
    if not or_global:
        report.error(path, "bad-selector", "global() is allowed in the namespaceSelector of a rule only")
    elif not isinstance(found.node, Global):
        report.error(
            path, "global-joined", "global() stands alone", "write another rule for what is in a namespace"
        )


def _has_global(node: Node) -> bool:
    if isinstance(node, And | Or):
        return any(_has_global(part) for part in node.nodes)
    return _has_global(node.node) if isinstance(node, Not) else isinstance(node, Global)
