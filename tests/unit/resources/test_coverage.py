"""Which rules leave nothing to later ones."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tsujiban.resources.coverage import cluster_shadowed_by, shadowed_by
from tsujiban.resources.kinds.calico import Rule
from tsujiban.resources.kinds.cnp import AdminEgressRule, ClusterIngressRule


def rules(*data: dict[str, Any]) -> list[Rule]:
    return [msgspec.convert({"action": "Allow", **one}, Rule) for one in data]


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ({}, {"source": {"selector": "a == 'b'"}}),
        ({"protocol": "TCP"}, {"protocol": 6, "destination": {"ports": [80]}}),
        (
            {"protocol": "TCP", "destination": {"ports": ["1:100", "http"]}},
            {"protocol": "TCP", "destination": {"ports": [80, "20:21", "http"]}},
        ),
        ({"source": {"nets": ["10.0.0.0/8"]}}, {"source": {"nets": ["10.1.0.0/16", "10.2.0.1"]}}),
        (
            {"source": {"selector": "a == 'b'"}},
            {"source": {"selector": "a == 'b'"}, "http": {"methods": ["GET"]}},
        ),
    ],
)
def test_covered(wide: dict[str, Any], narrow: dict[str, Any]) -> None:
    assert shadowed_by(rules({"source": {"selector": "x == 'y'"}}, wide, narrow), 2) == 1
    assert shadowed_by(rules(narrow, wide), 1) is None


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ({"action": "Log"}, {}),
        ({"protocol": "TCP"}, {}),
        ({"protocol": "TCP"}, {"protocol": "UDP"}),
        ({"ipVersion": 4}, {}),
        ({"source": {"nets": []}}, {}),
        ({"source": {"notNets": ["10.0.0.0/8"]}}, {}),
        ({"http": {"methods": ["GET"]}}, {}),
        ({"destination": {"services": {"name": "a"}}}, {}),
        (
            {"protocol": "TCP", "destination": {"ports": [80]}},
            {"protocol": "TCP", "destination": {"ports": ["80:81"]}},
        ),
        (
            {"protocol": "TCP", "destination": {"ports": [80]}},
            {"protocol": "TCP", "destination": {"ports": ["http"]}},
        ),
        ({"source": {"nets": ["10.0.0.0/8"]}}, {"source": {"nets": ["11.0.0.0/8"]}}),
    ],
)
def test_not_covered(earlier: dict[str, Any], later: dict[str, Any]) -> None:
    assert shadowed_by(rules(earlier, later), 1) is None


def test_cluster_rules() -> None:
    def made(*data: dict[str, Any]) -> list[ClusterIngressRule]:
        return [msgspec.convert({"action": "Deny", **one}, ClusterIngressRule) for one in data]

    a: dict[str, Any] = {"namespaces": {"matchLabels": {"a": "b"}}}
    b: dict[str, Any] = {"namespaces": {}}
    tcp = [{"tcp": {"destinationPort": {"number": 80}}}]
    assert cluster_shadowed_by(made({"from": [a, b]}, {"from": [a], "protocols": tcp}), 1) == 0
    assert cluster_shadowed_by(made({"from": [a]}, {"from": [a, b]}), 1) is None
    assert cluster_shadowed_by(made({"from": [a], "protocols": tcp}, {"from": [a]}), 1) is None


def test_admin_rules() -> None:
    peer = {"networks": ["10.0.0.0/8"]}
    wide = msgspec.convert({"action": "Pass", "to": [peer]}, AdminEgressRule)
    narrow = msgspec.convert({"action": "Deny", "to": [peer], "ports": [{"namedPort": "a"}]}, AdminEgressRule)
    assert cluster_shadowed_by([wide, narrow], 1) == 0
    assert cluster_shadowed_by([narrow, wide], 1) is None
