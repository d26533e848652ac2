"""Fields of FelixConfiguration that nothing here reads: their values are judged as Calico judges them, and
each that is set is told of, because it has no effect.

What is not judged: how names of files and patterns of interfaces are written, where Calico's syntax is Go's.
Source: Calico's resource reference, FelixConfiguration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tsujiban.resources.kinds.felix import UnusedFelixFields
from tsujiban.resources.positions import Path
from tsujiban.resources.shape import fields
from tsujiban.resources.validate.names import is_label
from tsujiban.resources.validate.report import Report

_SWITCH = ("Enabled", "Disabled")
_LEVELS = ("Trace", "Debug", "Info", "Warning", "Error", "Fatal")

_WORDS: dict[str, tuple[str, ...]] = {
    "awsSrcDstCheck": ("DoNothing", "Enable", "Disable"),
    "bpfAttachType": ("TC", "TCX", "Netkit"),
    "bpfConnectTimeLoadBalancing": ("TCP", *_SWITCH),
    "bpfConntrackLogLevel": ("Off", "Debug"),
    "bpfConntrackMode": ("Auto", "Userspace", "BPFProgram"),
    "bpfJITHardening": ("Auto", "Strict"),
    "bpfOverlayHostSourceIP": ("TunnelAddress", "HostAddress"),
    "flowLogsPolicyEvaluationMode": ("None", "Continuous"),
    "localSubnetL2Reachability": ("Disabled", "PodsAndLoadBalancers"),
    "natOutgoingExclusions": ("IPPoolsOnly", "IPPoolsAndHostIPs"),
    "nftablesFlowTableOffload": ("All", "Disabled"),
    "nftablesMode": ("Auto", *_SWITCH),
    "programClusterRoutes": ("EnabledIPIPOnly", "EnabledNoEncapOnly", *_SWITCH),
    "prometheusMetricsClientAuth": (
        "RequireAndVerifyClientCert",
        "RequireAnyClientCert",
        "VerifyClientCertIfGiven",
        "NoClientCert",
    ),
    **dict.fromkeys(
        (
            "bpfHostNetworkedNATWithoutCTLB",
            "bpfProfiling",
            "bpfRedirectToPeer",
            "floatingIPs",
            "flowLogsLocalReporter",
            "ipForwarding",
            "istioAmbientMode",
            "windowsManageFirewallRules",
        ),
        _SWITCH,
    ),
}
_ANY_CASE: dict[str, tuple[str, ...]] = {
    "bpfEnforceRPF": ("Disabled", "Strict", "Loose"),
    "bpfExternalServiceMode": ("Tunnel", "DSR"),
    "bpfLogLevel": ("Off", "Info", "Debug"),
    "bpfMapSizeConntrackScaling": ("Disabled", "DoubleIfFull"),
    "chainInsertMode": ("Insert", "Append"),
    "defaultEndpointToHostAction": ("Drop", "Accept", "Return"),
    "iptablesBackend": ("Auto", "Legacy", "NFT"),
    "iptablesFilterDenyAction": ("Drop", "Reject"),
    "routeSource": ("WorkloadIPs", "CalicoIPAM"),
    "serviceLoopPrevention": ("Drop", "Reject", "Disabled"),
    "workloadSourceSpoofing": ("Disabled", "Any"),
    **dict.fromkeys(("logSeverityFile", "logSeverityScreen", "logSeveritySys"), _LEVELS),
    **dict.fromkeys(
        (
            "iptablesFilterAllowAction",
            "iptablesMangleAllowAction",
            "nftablesFilterAllowAction",
            "nftablesMangleAllowAction",
        ),
        ("Accept", "Return"),
    ),
}

_TIME = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h))*")
_TIMES = (
    "bpfIPFragTimeout",
    "bpfKubeProxyMinSyncPeriod",
    "debugSimulateCalcGraphHangAfter",
    "debugSimulateDataplaneApplyDelay",
    "debugSimulateDataplaneHangAfter",
    "endpointReportingDelay",
    "flowLogsFlushInterval",
    "interfaceRefreshInterval",
    "ipsetsRefreshInterval",
    "iptablesLockProbeInterval",
    "iptablesPostWriteCheckInterval",
    "iptablesRefreshInterval",
    "liveMigrationRouteConvergenceTime",
    "netlinkTimeout",
    "reportingInterval",
    "reportingTTL",
    "routeRefreshInterval",
    "usageReportingInitialDelay",
    "usageReportingInterval",
    "wireguardKeepAlive",
    "xdpRefreshInterval",
)
_INTERFACE = re.compile(r"[a-zA-Z0-9_.-]{1,15}")
_FILTER = re.compile(r"[a-zA-Z0-9:._+-]{1,15}")
_PATTERNS: dict[str, re.Pattern[str]] = {
    "featureDetectOverride": re.compile(
        r"(?:[a-zA-Z0-9_-]+=(?:true|false|),)*(?:[a-zA-Z0-9_-]+=(?:true|false)?)?"
    ),
    "logActionRateLimit": re.compile(r"[1-9][0-9]{0,3}/(?:second|minute|hour|day)"),
    "logPrefix": re.compile(r"[a-zA-Z0-9%: /_-]*"),
    "iptablesNATOutgoingInterfaceFilter": _FILTER,
    "prometheusMetricsHost": re.compile(r"[a-zA-Z0-9:._+-]{1,64}"),
    "wireguardInterfaceName": _INTERFACE,
    "wireguardInterfaceNameV6": _INTERFACE,
    **dict.fromkeys(_TIMES, _TIME),
}
_MARK = (0, 2**32 - 1)
_PRIORITY = (1, 2**31 - 2)
_RANGES: dict[str, tuple[int, int]] = {
    "bpfExtToServiceConnmark": _MARK,
    "iptablesMarkMask": _MARK,
    "nftablesMarkMask": _MARK,
    "logActionRateLimitBurst": (0, 9999),
    "bpfMapSizeConntrackCleanupQueue": (1, 2**31 - 1),
    "wireguardRoutingRulePriority": (0, 65535),
    **dict.fromkeys(
        (
            "ipv4ElevatedRoutePriority",
            "ipv4NormalRoutePriority",
            "ipv6ElevatedRoutePriority",
            "ipv6NormalRoutePriority",
        ),
        _PRIORITY,
    ),
}
_ADDRESSES = {"natOutgoingAddress": 4, "deviceRouteSourceAddress": 4, "deviceRouteSourceAddressIPv6": 6}
_REGION_BYTES = 46  # with what Calico puts before it, it is a label
_TABLES = 250  # the last routing table of `routeTableRange`; those behind it are Linux' own
_MAX_TABLES = 0xFFFF
_NODE_PORT_RANGES = 7
_INSTEAD = {
    "iptablesFilterDenyAction": "nftablesFilterDenyAction is the one that is read",
    "defaultEndpointToHostAction": "a policy of host endpoints decides",
}


def check(spec: Mapping[str, Any], report: Report) -> None:
    """Judge the fields of a spec, as it was written, that are set; those of a wrong type were told of."""
    known = fields(UnusedFelixFields)
    if spec.get("routeTableRange") and spec.get("routeTableRanges"):
        report.error(("spec", "routeTableRange"), "conflict", "routeTableRanges takes its place")
    for field, value in spec.items():
        if field not in known or value is None or value in ("", [], {}):
            continue
        path = ("spec", field)
        before = len(report.problems)
        _judge(field, value, path, report)
        if len(report.problems) == before:
            hint = _INSTEAD.get(field, "")
            report.warning(path, "not-implemented", f"{field} is taken, and has no effect here", hint)


def _judge(field: str, value: Any, path: Path, report: Report) -> None:
    if isinstance(value, str):
        _judge_text(field, value, path, report)
    elif isinstance(value, int) and not isinstance(value, bool):
        low, high = _RANGES.get(field, (0, 65535) if field.endswith(("Port", "PortV6")) else (value, value))
        report.between(path, value, low, high)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _judge_item(field, item, (*path, index), report)
        if field == "kubeNodePortRanges":
            report.at_most(path, value, _NODE_PORT_RANGES)
        if field == "routeTableRanges":
            _few_tables(value, path, report)
    elif field == "routeTableRange" and isinstance(value, dict):
        _tables(value, path, report, _TABLES)


def _judge_text(field: str, value: str, path: Path, report: Report) -> None:
    if field in _WORDS:
        report.one_of(path, value, _WORDS[field])
    elif field in _ANY_CASE:
        allowed = _ANY_CASE[field]
        report.one_of(path, {word.lower(): word for word in allowed}.get(value.lower(), value), allowed)
    elif field in _ADDRESSES:
        found = report.address(path, value)
        if found is not None and found.version != _ADDRESSES[field]:
            report.error(path, "bad-address", f"must be an IPv{_ADDRESSES[field]} address")
    elif field == "openstackRegion":
        if not is_label(value) or len(value) > _REGION_BYTES:
            report.error(path, "bad-value", f"must be a label of at most {_REGION_BYTES} characters")
    elif field in _PATTERNS and not _PATTERNS[field].fullmatch(value):
        hint = "e.g. 90s or 1m30s" if field in _TIMES else ""
        report.error(path, "bad-value", f"{value[:64]!r} is not what {field} may be", hint)


def _judge_item(field: str, item: Any, path: Path, report: Report) -> None:
    if field == "externalNodesList" and isinstance(item, str):
        found = report.network(path, item)
        if found is not None and found.version != 4:
            report.error(path, "bad-cidr", "must be of IPv4")
    elif field in ("bpfDSROptoutCIDRs", "bpfExcludeCIDRsFromNAT") and isinstance(item, str):
        report.network(path, item)
    elif field == "bpfForceTrackPacketsFromIfaces" and isinstance(item, str):
        if not _FILTER.fullmatch(item):
            report.error(path, "bad-value", f"{item[:64]!r} is no name of interfaces")
    elif field == "kubeNodePortRanges":
        _port_range(item, path, report)
    elif field == "routeTableRanges" and isinstance(item, dict):
        _tables(item, path, report, 2**32 - 1)
    elif field == "healthTimeoutOverrides" and isinstance(item, dict):
        if not re.fullmatch(r"[a-zA-Z0-9_-]+", str(item.get("name", ""))):
            report.error((*path, "name"), "bad-value", "must be of letters, digits, - and _")
        if not _TIME.fullmatch(str(item.get("timeout", ""))):
            report.error((*path, "timeout"), "bad-value", "must be a time", "e.g. 90s or 1m30s")


def _port_range(item: Any, path: Path, report: Report) -> None:
    first, _, last = str(item).partition(":")
    ends = (first, last or first)
    if not all(end.isascii() and end.isdecimal() and len(end) <= 5 for end in ends):
        report.error(path, "bad-port", f"{str(item)[:64]!r} is no port and no range of ports")
    elif not int(ends[0]) <= int(ends[1]) <= 65535:
        report.error(path, "bad-port", f"{item} is no range from 0 to 65535")


def _ends(tables: Mapping[str, Any]) -> tuple[int, int]:
    low, high = tables.get("min", 0), tables.get("max", 0)
    return (low, high) if isinstance(low, int) and isinstance(high, int) else (0, 0)


def _tables(tables: Mapping[str, Any], path: Path, report: Report, last: int) -> None:
    low, high = _ends(tables)
    if not 1 <= low <= high <= last:
        report.error(path, "out-of-range", f"must be 1 <= min <= max <= {last}")


def _few_tables(ranges: list[Any], path: Path, report: Report) -> None:
    ends = [_ends(one) for one in ranges if isinstance(one, dict)]
    count = sum(max(0, high - low + 1) for low, high in ends)
    if count > _MAX_TABLES:
        report.error(path, "too-many", f"{count} routing tables; at most {_MAX_TABLES} are allowed")
