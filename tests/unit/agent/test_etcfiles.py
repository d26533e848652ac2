"""The pod's own files in /etc."""

from __future__ import annotations

from typing import Any

import pytest

from tsujiban.agent.etcfiles import Names, asked, files
from tsujiban.resources.kinds.core import PodSpec

BASE: dict[str, Any] = {
    "hostname": "web-1",
    "addresses": ("10.244.0.5", "fd00::5"),
    "dns_address": "10.96.0.10",
    "namespace": "shop",
}
SEARCH = "search shop.svc.cluster.local svc.cluster.local cluster.local"


def of(**spec: Any) -> dict[str, list[str]]:
    found = files(Names(**BASE, **asked(PodSpec(**spec))))
    return {name: content.splitlines() for name, content in found.items()}


def test_names_resolve_in_the_pods_namespace_first() -> None:
    assert of()["resolv.conf"] == [SEARCH, "nameserver 10.96.0.10", "options ndots:5"]


def test_the_pod_knows_its_own_name() -> None:
    assert of()["hosts"][-2:] == ["10.244.0.5\tweb-1", "fd00::5\tweb-1"]
    assert of()["hostname"] == ["web-1"]
    inside = files(Names(**BASE, subdomain="db"))["hosts"].splitlines()
    assert inside[-2] == "10.244.0.5\tweb-1.db.shop.svc.cluster.local\tweb-1"


def test_aliases_are_lines_of_hosts() -> None:
    aliases = [
        {"ip": "10.1.2.3", "hostnames": ["foo.remote", "bar.remote"]},
        {"ip": "fd00::9", "hostnames": ["x"]},
    ]
    assert of(host_aliases=aliases)["hosts"][-2:] == ["10.1.2.3\tfoo.remote\tbar.remote", "fd00::9\tx"]


def test_what_a_pod_asks_for_comes_beside_what_the_cluster_gives() -> None:
    config = {
        "nameservers": ["192.0.2.1", "10.96.0.10"],
        "searches": ["my.dns.example", "cluster.local"],
        "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
    }
    assert of(dns_policy="ClusterFirst", dns_config=config)["resolv.conf"] == [
        SEARCH + " my.dns.example",
        "nameserver 10.96.0.10",
        "nameserver 192.0.2.1",
        "options ndots:2 edns0",
    ]


def test_with_the_policy_none_there_is_only_what_the_pod_says() -> None:
    config = {"nameservers": ["192.0.2.1"], "searches": ["."]}
    assert of(dns_policy="None", dns_config=config)["resolv.conf"] == ["search .", "nameserver 192.0.2.1"]


def test_a_resolver_is_told_of_three_servers_at_most() -> None:
    config = {"nameservers": ["192.0.2.1", "192.0.2.2", "192.0.2.3"]}
    assert of(dns_config=config)["resolv.conf"][1:4] == [
        "nameserver 10.96.0.10",
        "nameserver 192.0.2.1",
        "nameserver 192.0.2.2",
    ]


@pytest.mark.parametrize(
    "spec",
    [
        {"host_aliases": [{"ip": "10.1.2.3", "hostnames": ["a\n10.96.0.10 bank"]}]},
        {"host_aliases": [{"ip": "10.1.2.3\n10.9.9.9 bank #", "hostnames": ["a"]}]},
        {"host_aliases": [{"ip": "fe80::1%x bank", "hostnames": ["a"]}]},
        {"host_aliases": "of an older time"},
        {"dns_config": {"nameservers": ["192.0.2.1\nnameserver 203.0.113.1"]}},
        {"dns_config": {"searches": ["a\nnameserver 203.0.113.1"]}},
        {"dns_config": {"options": [{"name": "a", "value": "b\nnameserver 203.0.113.1"}, {"name": "a b"}]}},
        {"dns_config": 7},
    ],
)
def test_what_would_be_another_line_is_left_out(spec: dict[str, Any]) -> None:
    assert of(**spec) == of()
