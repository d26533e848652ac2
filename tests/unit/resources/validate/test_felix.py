from __future__ import annotations

from typing import Any

import pytest

from tsujiban.resources import load
from tsujiban.resources.findings import errors
from tsujiban.resources.kinds.felix import UnusedFelixFields
from tsujiban.resources.shape import fields
from tsujiban.resources.validate import felix

V3 = "projectcalico.org/v3"


def read(**spec: Any) -> load.Loaded:
    meta = {"name": "default"}
    return load.check({"apiVersion": V3, "kind": "FelixConfiguration", "metadata": meta, "spec": spec})


GOOD: list[tuple[str, Any]] = [
    ("bpfEnabled", True),
    ("iptablesBackend", "nft"),
    ("defaultEndpointToHostAction", "Accept"),
    ("awsSrcDstCheck", "Disable"),
    ("routeRefreshInterval", "1m30s"),
    ("healthPort", 9099),
    ("iptablesMarkMask", 4294967295),
    ("natOutgoingAddress", "192.0.2.1"),
    ("deviceRouteSourceAddressIPv6", "2001:db8::1"),
    ("externalNodesList", ["192.0.2.1", "192.0.2.0/24"]),
    ("bpfForceTrackPacketsFromIfaces", ["docker+"]),
    ("kubeNodePortRanges", ["30000:32767", 15000]),
    ("routeTableRange", {"min": 1, "max": 250}),
    ("routeTableRanges", [{"min": 1, "max": 10000}]),
    ("healthTimeoutOverrides", [{"name": "part", "timeout": "0s"}]),
    ("openstackRegion", "one"),
    ("featureDetectOverride", "SNATFullyRandom=true,MASQFullyRandom="),
    ("logPrefix", "calico-packet: %t"),
    ("ipv4ElevatedRoutePriority", 2147483646),
    ("natPortRange", "32768:65535"),
    ("logFilePath", "none"),
    ("bpfMapSizeRoute", 262144),
]


@pytest.mark.parametrize(("field", "value"), GOOD)
def test_what_calico_takes_is_taken_and_told_of(field: str, value: Any) -> None:
    found = read(**{field: value})
    assert [(f.field, f.code) for f in found.findings] == [(f"spec.{field}", "not-implemented")]
    assert found.ok
    assert len(found.objects) == 1


@pytest.mark.parametrize(
    ("field", "value"), [("bpfLogLevel", ""), ("bpfLogLevel", None), ("externalNodesList", [])]
)
def test_what_sets_nothing_is_not_told_of(field: str, value: Any) -> None:
    assert read(**{field: value}).findings == []


@pytest.mark.parametrize(
    ("field", "value", "where", "code"),
    [
        ("bpfEnabled", "yes", "", "wrong-type"),
        ("iptablesBackend", "ebpf", "", "bad-value"),
        ("awsSrcDstCheck", "disable", "", "bad-value"),
        ("logSeveritySys", "Critical", "", "bad-value"),
        ("routeRefreshInterval", "soon", "", "bad-value"),
        ("healthPort", 70000, "", "out-of-range"),
        ("wireguardListeningPortV6", 99999, "", "out-of-range"),
        ("bpfExtToServiceConnmark", -1, "", "out-of-range"),
        ("ipv6NormalRoutePriority", 0, "", "out-of-range"),
        ("natOutgoingAddress", "2001:db8::1", "", "bad-address"),
        ("natOutgoingAddress", "192.0.2.0/24", "", "bad-address"),
        ("externalNodesList", ["x"], "[0]", "bad-cidr"),
        ("externalNodesList", ["2001:db8::1"], "[0]", "bad-cidr"),
        ("bpfExcludeCIDRsFromNAT", ["x"], "[0]", "bad-cidr"),
        ("bpfForceTrackPacketsFromIfaces", ["cali@1"], "[0]", "bad-value"),
        ("kubeNodePortRanges", ["named"], "[0]", "bad-port"),
        ("kubeNodePortRanges", ["3000:2000"], "[0]", "bad-port"),
        ("kubeNodePortRanges", [1, 2, 3, 4, 5, 6, 7, 8], "", "too-many"),
        ("routeTableRange", {"min": 1, "max": 253}, "", "out-of-range"),
        ("routeTableRanges", [{"min": 50, "max": 45}], "[0]", "out-of-range"),
        ("routeTableRanges", [{"min": 1, "max": 65536}], "", "too-many"),
        ("healthTimeoutOverrides", [{"name": "%", "timeout": "1s"}], "[0].name", "bad-value"),
        ("healthTimeoutOverrides", [{"name": "a", "timeout": "-1s"}], "[0].timeout", "bad-value"),
        ("openstackRegion", "One", "", "bad-value"),
        ("wireguardInterfaceName", "wg&0", "", "bad-value"),
        ("prometheusMetricsHost", "localhost#", "", "bad-value"),
        ("bpfLogLevels", "Off", "", "unknown-field"),
    ],
)
def test_what_calico_refuses_is_refused(field: str, value: Any, where: str, code: str) -> None:
    found = read(**{field: value})
    assert [(f.field, f.code) for f in errors(found.findings)] == [(f"spec.{field}{where}", code)]
    assert not found.objects


def test_the_two_ways_to_say_routing_tables_exclude_each_other() -> None:
    found = read(routeTableRange={"min": 1, "max": 2}, routeTableRanges=[{"min": 1, "max": 2}])
    assert [(f.field, f.code) for f in errors(found.findings)] == [("spec.routeTableRange", "conflict")]


def test_what_is_read_instead_is_named() -> None:
    (told,) = read(iptablesFilterDenyAction="Reject").findings
    assert "nftablesFilterDenyAction" in told.hint


def test_what_is_read_has_no_warning() -> None:
    assert read(nftablesFilterDenyAction="Reject", failsafeInboundHostPorts=[]).findings == []


def test_every_rule_is_about_a_field_that_there_is() -> None:
    ruled = {
        *felix._WORDS,
        *felix._ANY_CASE,
        *felix._PATTERNS,
        *felix._RANGES,
        *felix._ADDRESSES,
        *felix._INSTEAD,
    }
    assert ruled <= set(fields(UnusedFelixFields))
