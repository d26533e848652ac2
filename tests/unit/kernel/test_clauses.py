"""What the kernel makes of these matches is tested in tests/system/kernel/test_equality.py."""

from collections.abc import Iterable
from typing import Any

import pytest

from tsujiban.kernel.clauses import matches
from tsujiban.policy.program import Action, Icmp, PortRange, Ports, Rule, Side


class Sets:
    """Names that say what was asked for."""

    def addresses(self, set_id: str, version: int) -> str | None:
        return None if set_id == "missing" else f"{set_id}{version}"

    def services(self, set_id: str, version: int) -> str | None:
        return None if set_id == "missing" else f"{set_id}{version}"

    def networks(self, nets: Iterable[str], version: int) -> str:
        return f"nets{version}"

    def ports(self, ranges: Iterable[PortRange]) -> str:
        return "ranges"

    def protocols(self, numbers: Iterable[int]) -> str:
        return "p" + "-".join(map(str, sorted(numbers)))


def found(rule: Rule) -> list[str]:
    missing: list[str] = []
    return [*matches(rule, Sets(), lambda _, name: missing.append(name))]


def ports(*ranges: tuple[int, int], named: tuple[str, ...] = ()) -> Ports:
    return Ports(ranges=tuple(PortRange(first=a, last=b) for a, b in ranges), named=named)


def rule(clauses: dict[str, Any], action: Action = Action.ALLOW) -> Rule:
    return Rule(id="r", action=action, **clauses)


PORTED = "meta l4proto @p6-17-33-132-136"


@pytest.mark.parametrize(
    ("clauses", "expected"),
    [
        ({}, [""]),
        ({"ip_version": 6}, ["meta nfproto ipv6"]),
        ({"protocols": (6,)}, ["meta l4proto 6"]),
        ({"protocols": (17, 6)}, ["meta l4proto @p6-17"]),
        ({"not_protocols": (6,)}, ["meta l4proto != 6"]),
        ({"not_protocols": (6, 17)}, ["meta l4proto != @p6-17"]),
        ({"protocols": (6,), "not_protocols": (6,)}, []),
        ({"protocols": (6,), "dst": Side(ports=ports((80, 80)))}, ["meta l4proto 6 th dport 80"]),
        ({"dst": Side(ports=ports((80, 90)))}, [f"{PORTED} th dport 80-90"]),
        ({"src": Side(ports=ports((1, 2), (5, 6)))}, [f"{PORTED} th sport @ranges"]),
        ({"protocols": (1,), "dst": Side(ports=ports((80, 80)))}, []),
        (
            {"dst": Side(not_ports=ports((80, 80)))},
            [f"{PORTED} th dport != 80", "meta l4proto != @p6-17-33-132-136"],
        ),
        ({"protocols": (6,), "dst": Side(not_ports=ports((80, 80)))}, ["meta l4proto 6 th dport != 80"]),
        ({"src": Side(nets=())}, []),
        ({"src": Side(nets=("10.0.0.0/8",))}, ["meta nfproto ipv4 ip saddr 10.0.0.0/8"]),
        ({"src": Side(nets=("10.0.0.0/8",)), "ip_version": 6}, []),
        (
            {"src": Side(not_nets=("10.0.0.0/8",))},
            ["meta nfproto ipv4 ip saddr != 10.0.0.0/8", "meta nfproto ipv6"],
        ),
        (
            {"dst": Side(nets=("10.0.0.0/8", "11.0.0.0/8", "fd00::/8"))},
            ["meta nfproto ipv4 ip daddr @nets4", "meta nfproto ipv6 ip6 daddr fd00::/8"],
        ),
        (
            {"src": Side(sets=("a", "b"), not_sets=("c",)), "ip_version": 4},
            ["meta nfproto ipv4 ip saddr @a4 ip saddr @b4 ip saddr != @c4"],
        ),
        (
            {"protocols": (6,), "ip_version": 4, "dst": Side(ports=ports((80, 80), named=("n", "m")))},
            [
                "meta nfproto ipv4 meta l4proto 6 th dport 80",
                "meta nfproto ipv4 meta l4proto 6 ip daddr . meta l4proto . th dport @n4",
                "meta nfproto ipv4 meta l4proto 6 ip daddr . meta l4proto . th dport @m4",
            ],
        ),
        (
            {"protocols": (6,), "ip_version": 6, "dst": Side(not_ports=ports((80, 80), named=("n",)))},
            ["meta nfproto ipv6 meta l4proto 6 th dport != 80 ip6 daddr . meta l4proto . th dport != @n6"],
        ),
        (
            {"ip_version": 4, "dst": Side(services=("s",))},
            [f"meta nfproto ipv4 {PORTED} ip daddr . meta l4proto . th dport @s4"],
        ),
        ({"icmp": Icmp(type=8)}, ["meta l4proto @p1-58 @th,0,8 8"]),
        ({"icmp": Icmp(type=8, code=0), "protocols": (1,)}, ["meta l4proto 1 @th,0,8 8 @th,8,8 0"]),
        ({"icmp": Icmp(type=8), "protocols": (6,)}, []),
        (
            {"not_icmp": Icmp(type=8, code=0), "protocols": (1,)},
            ["meta l4proto 1 @th,0,8 != 8", "meta l4proto 1 @th,0,8 8 @th,8,8 != 0"],
        ),
        ({"not_icmp": Icmp(type=8), "protocols": (6,)}, ["meta l4proto 6"]),
    ],
)
def test_matches(clauses: dict[str, Any], expected: list[str]) -> None:
    assert found(rule(clauses)) == expected


V4 = {"ip_version": 4, "protocols": (6,)}


def test_a_missing_service_in_a_deny_stands_for_every_protocol() -> None:
    texts = matches(
        rule({"ip_version": 4, "dst": Side(services=("missing",))}, Action.DENY), Sets(), lambda *_: None
    )
    assert texts == ("meta nfproto ipv4",)


@pytest.mark.parametrize(
    ("side", "opening", "closing"),
    [
        (Side(sets=("missing",)), [], [""]),
        (Side(not_sets=("missing",)), [], [""]),
        (Side(services=("missing",)), [], [""]),
        (Side(ports=ports(named=("missing",))), [], [""]),
        (Side(ports=ports((80, 80), named=("missing",))), [" th dport 80"], [" th dport 80", ""]),
        (Side(not_ports=ports(named=("missing",))), [], [""]),
        (Side(not_ports=ports((80, 80), named=("missing",))), [], [" th dport != 80"]),
    ],
)
def test_a_missing_set_fails_closed(side: Side, opening: list[str], closing: list[str]) -> None:
    missing: list[str] = []
    for action, expected in ((Action.ALLOW, opening), (Action.PASS, opening), (Action.DENY, closing)):
        texts = matches(rule({**V4, "dst": side}, action), Sets(), lambda _, name: missing.append(name))
        assert [*texts] == ["meta nfproto ipv4 meta l4proto 6" + text for text in expected]
    assert missing == ["missing"] * 3
