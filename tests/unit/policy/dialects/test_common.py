from __future__ import annotations

from textwrap import dedent

import pytest

from tsujiban.policy.dialects.common import NOWHERE, Place, port_range, protocol_number
from tsujiban.policy.program import Origin, PortRange
from tsujiban.resources.load import read

POLICY = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: np}
spec:
  podSelector: {}
  ingress:
  - {}
  - ports: [{port: 80}]
"""


def test_an_origin_is_a_file_and_a_line() -> None:
    (loaded,) = read([("policies/np.yaml", dedent(POLICY).encode())]).objects
    place = Place(loaded)
    assert place.origin().file == "policies/np.yaml"
    assert place.origin("spec.ingress[0]") == Origin(file="policies/np.yaml", line=7)
    assert place.origin("spec.ingress[1]") == Origin(file="policies/np.yaml", line=8)


def test_what_was_not_written_in_a_file_has_no_origin() -> None:
    assert NOWHERE.origin("spec") == Origin()


@pytest.mark.parametrize(
    ("protocol", "number"),
    [
        ("TCP", 6),
        ("udp", 17),
        ("SCTP", 132),
        ("ICMP", 1),
        ("ICMPv6", 58),
        ("UDPLite", 136),
        (47, 47),
        ("50", 50),
    ],
)
def test_protocols_by_name_and_number(protocol: int | str, number: int) -> None:
    assert protocol_number(protocol) == number


@pytest.mark.parametrize("protocol", ["", "TCPX", 0, 256, "-1"])
def test_what_is_no_protocol_is_refused(protocol: int | str) -> None:
    with pytest.raises(ValueError, match="unknown protocol"):
        protocol_number(protocol)


def test_one_port_is_a_range_of_one() -> None:
    assert port_range(80) == PortRange(first=80, last=80)
    assert port_range(80, 90) == PortRange(first=80, last=90)
    assert port_range(0, 0) == PortRange(first=0, last=0)
