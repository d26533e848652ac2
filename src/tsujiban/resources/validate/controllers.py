"""KubeControllersConfiguration: automatic host endpoints are read here; the rest is judged, and told of as
without effect. What would make other host endpoints than ours is refused: they decide what is enforced.

Source: Calico's resource reference, KubeControllersConfiguration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tsujiban.resources.kinds.calico import AutoHostEndpointConfig, KubeControllersConfigurationSpec
from tsujiban.resources.positions import Path
from tsujiban.resources.validate.report import Report

_SWITCH = ("Enabled", "Disabled")
_LEVELS = ("None", "Debug", "Info", "Warning", "Error", "Fatal", "Panic")
_TIME = re.compile(r"0|(?:[0-9]+(?:\.[0-9]*)?(?:ns|us|ms|s|m|h))+")
_NODE: Path = ("spec", "controllers", "node")
_READ = frozenset({"controllers", "node", "hostEndpoint"})


def check(spec: KubeControllersConfigurationSpec, raw: Mapping[str, Any], report: Report) -> None:
    """Judge a spec; `raw` is as it was written."""
    before = len(report.problems)
    node, others = spec.controllers.node, spec.controllers
    _host_endpoints(node.host_endpoint, report)
    for path, word, allowed in (
        ((*_NODE, "syncLabels"), node.sync_labels, _SWITCH),
        (("spec", "healthChecks"), spec.health_checks, _SWITCH),
        (("spec", "logSeverityScreen"), spec.log_severity_screen, _LEVELS),
        (
            ("spec", "controllers", "loadBalancer", "assignIPs"),
            others.load_balancer.assign_ips if others.load_balancer else "",
            ("AllServices", "RequestedServicesOnly"),
        ),
        (
            ("spec", "controllers", "migration", "policyNameMigrator"),
            others.migration.policy_name_migrator if others.migration else "",
            _SWITCH,
        ),
    ):
        report.one_of(path, word, allowed, empty=True)
    for field, port in (
        ("debugProfilePort", spec.debug_profile_port),
        ("prometheusMetricsPort", spec.prometheus_metrics_port),
    ):
        if port is not None:
            report.between(("spec", field), port, 0, 65535, "bad-port")
    _periods(raw, ("spec",), report)
    wrong = {problem.path for problem in report.problems[before:]}
    for unread in _unread(raw, ("spec",)):
        if not any(path[: len(unread)] == unread for path in wrong):
            report.warning(unread, "not-implemented", f"{unread[-1]} is taken, and has no effect here")


def _host_endpoints(config: AutoHostEndpointConfig, report: Report) -> None:
    path = (*_NODE, "hostEndpoint")
    report.one_of((*path, "autoCreate"), config.auto_create, _SWITCH, empty=True)
    default = (*path, "createDefaultHostEndpoint")
    known = report.one_of(default, config.create_default_host_endpoint, _SWITCH, empty=True)
    if known and config.create_default_host_endpoint == "Disabled":
        report.error(default, "unsupported", "the one host endpoint that is made is the default one")
    if config.templates:
        report.error((*path, "templates"), "unsupported", "host endpoints are not made from templates here")


def _periods(value: Any, path: Path, report: Report) -> None:
    for field, part in value.items() if isinstance(value, dict) else ():
        if isinstance(part, str) and part and field.endswith("Period") and not _TIME.fullmatch(part):
            report.error((*path, field), "bad-value", f"{part[:64]!r} is no time", "e.g. 5m or 1m30s")
        _periods(part, (*path, field), report)


def _unread(value: Any, path: Path) -> list[Path]:
    """Where something is set that is not read."""
    if not isinstance(value, dict):
        return []
    found: list[Path] = []
    for field, part in value.items():
        here = (*path, field)
        if field == "hostEndpoint" or part is None or part in ("", [], {}):
            continue
        found += _unread(part, here) if field in _READ else [here]
    return found
