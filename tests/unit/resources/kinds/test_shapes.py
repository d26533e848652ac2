"""Every kind's struct: the public API's own field names, and a round trip."""

from __future__ import annotations

import msgspec
import pytest

from tsujiban.resources.registry import KINDS, Kind
from tsujiban.resources.shape import fields


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_an_empty_object_survives_json(kind: Kind) -> None:
    made = kind.type(api_version=kind.api_version, kind=kind.kind)
    assert msgspec.json.decode(msgspec.json.encode(made), type=kind.type) == made
    assert {"apiVersion", "kind", "metadata"} <= set(fields(kind.type))


@pytest.mark.parametrize(
    ("kind", "path", "names"),
    [
        (
            "GlobalNetworkPolicy",
            ("spec",),
            {"preDNAT", "doNotTrack", "applyOnForward", "serviceAccountSelector"},
        ),
        ("HostEndpoint", ("spec",), {"expectedIPs", "interfaceName"}),
        ("WorkloadEndpoint", ("spec",), {"ipNATs", "ipNetworks", "containerID", "ipv4Gateway"}),
        ("IPPool", ("spec",), {"disableBGPExport", "ipipMode", "natOutgoing", "blockSize"}),
        ("Service", ("spec",), {"clusterIP", "clusterIPs", "externalIPs", "loadBalancerSourceRanges"}),
        ("Pod", ("spec",), {"hostPID", "hostIPC", "setHostnameAsFQDN", "enableServiceLinks"}),
        ("Node", ("spec",), {"podCIDR", "podCIDRs", "providerID"}),
    ],
)
def test_names_that_plain_camel_case_misses(kind: str, path: tuple[str, ...], names: set[str]) -> None:
    found = next(k for k in KINDS if k.kind == kind).type
    known = fields(found)
    for step in path:
        known = fields(known[step])
    assert names <= set(known)
