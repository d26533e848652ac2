import socket
import struct

import pytest

from tsujiban.kernel.netlink import ULOG, Message, attribute
from tsujiban.kernel.nflog import Owners, Record, event, record
from tsujiban.kernel.packets import Packet
from tsujiban.policy.program import Action, Direction

IP = (
    struct.pack("!BBHHHBBH", 0x45, 0, 0, 0, 0, 64, 6, 0)
    + socket.inet_aton("10.0.0.1")
    + socket.inet_aton("10.0.0.2")
)
PAYLOAD = IP + struct.pack("!HH", 40000, 80)
PACKET = Packet("10.0.0.1", "10.0.0.2", 6, 40000, 80)
NAMES = {3: "tsja", 4: "tsjb"}
OWNERS = Owners(
    {"tsja": "default/a", "tsjb": "default/b"},
    {"fd00::99": "default/z"},
    lambda address, interface: f"host/{address}@{interface}",
)


def message(*attributes: bytes, kind: int = 0, subsystem: int = ULOG) -> Message:
    return Message(kind, subsystem, 2, 5, b"".join(attributes))


def test_a_message_is_read() -> None:
    found = record(
        message(
            attribute(3, struct.pack("!QQ", 7, 5)),
            attribute(4, struct.pack("!I", 3)),
            attribute(5, struct.pack("!I", 4)),
            attribute(9, PAYLOAD),
            attribute(10, b"D|ingress|default/p/ingress/0\0"),
        )
    )
    assert found == Record(7_000_005_000, "D|ingress|default/p/ingress/0", 3, 4, PACKET)


@pytest.mark.parametrize(
    "other",
    [
        message(attribute(9, PAYLOAD)),
        message(attribute(9, b"x"), attribute(10, b"D|ingress|r\0")),
        message(attribute(9, PAYLOAD), attribute(10, b"D|ingress|r\0"), kind=1),
        message(attribute(9, PAYLOAD), attribute(10, b"D|ingress|r\0"), subsystem=1),
    ],
)
def test_other_messages_are_none(other: Message) -> None:
    assert record(other) is None


@pytest.mark.parametrize(
    ("prefix", "verdict", "staged", "endpoint"),
    [
        ("A|egress|r", Action.ALLOW, False, "default/a"),
        ("D|ingress|r", Action.DENY, False, "default/b"),
        ("L|ingress|r", Action.LOG, False, "default/b"),
        ("a|egress|r", Action.ALLOW, True, "default/a"),
        ("d|egress|r", Action.DENY, True, "default/a"),
    ],
)
def test_the_prefix_says_who_decided_what(prefix: str, verdict: Action, staged: bool, endpoint: str) -> None:
    found = event(Record(9, prefix, 3, 4, PACKET), lambda index: NAMES.get(index, ""), OWNERS, {})
    assert found is not None
    assert (found.time_ns, found.verdict, found.staged, found.rule) == (9, verdict, staged, "r")
    assert found.endpoint == endpoint
    assert found.packet == PACKET


def test_a_long_id_is_looked_up_and_a_gone_interface_is_empty() -> None:
    found = event(
        Record(0, "D|ingress|#12", 3, 9, PACKET), lambda index: NAMES.get(index, ""), OWNERS, {"#12": "x"}
    )
    assert found is not None
    assert (found.rule, found.interface, found.endpoint, found.direction) == ("x", "", "", Direction.INGRESS)
    assert found.time_ns > 0


@pytest.mark.parametrize("prefix", ["", "hello", "X|ingress|r", "D|sideways|r", "D|ingress|", "P|ingress|r"])
def test_foreign_prefixes_are_none(prefix: str) -> None:
    assert event(Record(0, prefix, 3, 4, PACKET), lambda _: "tsja", OWNERS, {}) is None


@pytest.mark.parametrize(
    ("where", "forwarded", "endpoint"),
    [
        ("host-ingress", False, f"host/{PACKET.destination}@tsja"),
        ("host-egress", False, f"host/{PACKET.source}@tsjb"),
        ("forward-ingress", True, f"host/{PACKET.destination}@tsja"),
        ("forward-egress", True, f"host/{PACKET.source}@tsjb"),
    ],
)
def test_a_host_endpoint_is_found_where_the_packet_met_it(where: str, forwarded: bool, endpoint: str) -> None:
    found = event(Record(0, f"A|{where}|r", 3, 4, PACKET), lambda index: NAMES.get(index, ""), OWNERS, {})
    assert found is not None
    assert (found.endpoint, found.forwarded, str(found.direction)) == (
        endpoint,
        forwarded,
        where.split("-")[1],
    )


def test_what_the_node_sends_to_a_pod_is_found_by_the_pods_address() -> None:
    packet = PACKET._replace(destination="fd00::99")
    found = event(Record(0, "A|ingress|r", 0, 9, packet), lambda index: "eth0", OWNERS, {})
    assert found is not None
    assert found.endpoint == "default/z"
