"""What a pod has its own resolver and hosts file say.

Source: Kubernetes "DNS for Services and Pods" (limits of dnsConfig), and the answers of its API server.
"""

from __future__ import annotations

from collections.abc import Sequence

from tsujiban.resources.kinds import core, parts
from tsujiban.resources.positions import Path
from tsujiban.resources.shape import Problem, convert
from tsujiban.resources.validate import names
from tsujiban.resources.validate.report import Report

NONE = "None"  # the policy of a pod that says all of it itself
_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", NONE)
_MOST_SERVERS, _MOST_SEARCHES, _LONGEST_SEARCHES = 3, 32, 2048


def read(spec: core.PodSpec) -> tuple[parts.PodNames, Sequence[Problem]]:
    """What a pod's specification says of names, and what of that has not the form of it; then nothing is
    said."""
    fields = (("dnsConfig", spec.dns_config), ("hostAliases", spec.host_aliases))
    found, problems = convert({name: said for name, said in fields if said}, parts.PodNames, nulls=False)
    return found or parts.PodNames(), problems


def check(spec: core.PodSpec, path: Path, report: Report) -> None:
    """A pod's DNS policy and configuration, and its aliases."""
    report.one_of((*path, "dnsPolicy"), spec.dns_policy, _POLICIES, empty=True)
    said, problems = read(spec)
    report.within(path, problems)
    if problems:
        return
    _config(said.dns_config, (*path, "dnsConfig"), report)
    if spec.dns_policy == NONE and not said.dns_config.nameservers:
        message = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        report.error((*path, "dnsConfig", "nameservers"), "missing-field", f"Required value: {message}")
    for index, alias in enumerate(said.host_aliases):
        here = (*path, "hostAliases", index)
        report.address((*here, "ip"), alias.ip)
        for number, name in enumerate(alias.hostnames):
            if not names.is_subdomain(name):
                report.error((*here, "hostnames", number), "bad-name", f"{name[:64]!r} is not a DNS name")


def _config(config: parts.PodDNSConfig, path: Path, report: Report) -> None:
    if len(config.nameservers) > _MOST_SERVERS:
        message = f"must not have more than {_MOST_SERVERS} nameservers"
        report.error((*path, "nameservers"), "too-many", message)
    for index, server in enumerate(config.nameservers):
        report.address((*path, "nameservers", index), server)
    searches = config.searches
    if len(searches) > _MOST_SEARCHES or len(" ".join(searches)) > _LONGEST_SEARCHES:
        message = f"no more than {_MOST_SEARCHES} search paths, of {_LONGEST_SEARCHES} characters together"
        report.error((*path, "searches"), "too-many", message)
    for index, search in enumerate(searches):
        if search != "." and not names.is_subdomain(search.removesuffix(".")):
            report.error((*path, "searches", index), "bad-name", f"{search[:64]!r} is not a DNS name")
    for index, option in enumerate(config.options):
        here = (*path, "options", index)
        said = f"{option.name}{option.value or ''}"
        if report.required((*here, "name"), option.name) and (" " in said or not said.isprintable()):
            report.error(
                here, "bad-value", "an option of the resolver has no spaces and no control characters"
            )
