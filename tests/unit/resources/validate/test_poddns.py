from __future__ import annotations

from typing import Any

import pytest

from tsujiban.resources.kinds.core import PodSpec
from tsujiban.resources.validate import poddns
from tsujiban.resources.validate.report import Report


def wrong(**spec: Any) -> list[str]:
    report = Report()
    poddns.check(PodSpec(**spec), ("spec",), report)
    return [".".join(map(str, problem.path)) for problem in report.problems]


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"dns_policy": "Default"},
        {"dns_policy": "None", "dns_config": {"nameservers": ["192.0.2.1", "2001:db8::1"]}},
        {
            "dns_config": {
                "searches": ["a.example", "b.example.", "."],
                "options": [{"name": "ndots", "value": "2"}],
            }
        },
        {"host_aliases": [{"ip": "10.1.2.3", "hostnames": ["foo.remote"]}, {"ip": "::1"}]},
    ],
)
def test_what_is_right(spec: dict[str, Any]) -> None:
    assert wrong(**spec) == []


@pytest.mark.parametrize(
    ("spec", "paths"),
    [
        ({"dns_policy": "Mine"}, ["spec.dnsPolicy"]),
        ({"dns_policy": "None"}, ["spec.dnsConfig.nameservers"]),
        ({"dns_config": {"nameservers": ["192.0.2.1"] * 4}}, ["spec.dnsConfig.nameservers"]),
        ({"dns_config": {"nameservers": ["dns.example"]}}, ["spec.dnsConfig.nameservers.0"]),
        ({"dns_config": {"searches": ["a.example"] * 33}}, ["spec.dnsConfig.searches"]),
        ({"dns_config": {"searches": ["a\nb"]}}, ["spec.dnsConfig.searches.0"]),
        ({"dns_config": {"options": [{"value": "2"}]}}, ["spec.dnsConfig.options.0.name"]),
        ({"dns_config": {"options": [{"name": "a", "value": "b c"}]}}, ["spec.dnsConfig.options.0"]),
        ({"dns_config": {"nameservers": "192.0.2.1"}}, ["spec.dnsConfig.nameservers"]),
        ({"host_aliases": [{"ip": "localhost", "hostnames": ["a"]}]}, ["spec.hostAliases.0.ip"]),
        ({"host_aliases": [{"ip": "::1", "hostnames": ["a b"]}]}, ["spec.hostAliases.0.hostnames.0"]),
    ],
)
def test_what_is_wrong_is_told_where_it_is(spec: dict[str, Any], paths: list[str]) -> None:
    assert wrong(**spec) == paths
