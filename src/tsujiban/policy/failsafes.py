"""Failsafe ports: what stays open at a node's own interfaces, so that nobody is locked out.

They are open before any policy of a host endpoint is asked, whatever it says, and are about the
node's own traffic alone, not about what it forwards. Source: Calico's FelixConfiguration
(`failsafeInboundHostPorts`, `failsafeOutboundHostPorts`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from tsujiban.policy.addresses import contains
from tsujiban.policy.program import Direction
from tsujiban.resources import protocols
from tsujiban.resources.kinds.calico import FelixConfiguration, FelixConfigurationSpec, ProtoPort

RULE = "_kernel/failsafe"
"""The rule id of what a failsafe port lets pass."""

_NODE = "node."  # before the name of the node that a configuration is about


class Failsafe(NamedTuple):
    """A port that stays open; to or from `net` alone when that is set."""

    protocol: int
    port: int
    net: str = ""


@dataclass(frozen=True)
class Failsafes:
    """The defaults are Calico's: SSH, DHCP, BGP, etcd, Typha, the Kubernetes API; and DNS outbound."""

    inbound: tuple[Failsafe, ...] = (
        Failsafe(6, 22),
        Failsafe(17, 68),
        *(Failsafe(6, port) for port in (179, 2379, 2380, 5473, 6443, 6666, 6667)),
    )
    outbound: tuple[Failsafe, ...] = (
        Failsafe(17, 53),
        Failsafe(17, 67),
        *(Failsafe(6, port) for port in (179, 2379, 2380, 5473, 6443, 6666, 6667)),
    )

    def of(self, direction: Direction) -> tuple[Failsafe, ...]:
        """The ports of one direction."""
        return self.inbound if direction is Direction.INGRESS else self.outbound


NONE = Failsafes((), ())


@dataclass(frozen=True)
class NodeFailsafes:
    """The failsafe ports of every node."""

    usual: Failsafes = NONE
    special: dict[str, Failsafes] = field(default_factory=dict)  # of nodes with a configuration of their own

    def of(self, node: str) -> Failsafes:
        """The failsafe ports of one node."""
        return self.special.get(node, self.usual)

    def all(self) -> tuple[Failsafe, ...]:
        """Each of them."""
        return tuple(f for one in (self.usual, *self.special.values()) for f in (*one.inbound, *one.outbound))


CLOSED = NodeFailsafes()
"""No node has any."""


def is_open(ports: Iterable[Failsafe], protocol: int, port: int, peer: str) -> bool:
    """Whether a failsafe of `ports` keeps this open towards the address `peer`."""
    return any(
        failsafe[:2] == (protocol, port) and (not failsafe.net or contains(failsafe.net, peer))
        for failsafe in ports
    )


def configured(configurations: Iterable[FelixConfiguration]) -> NodeFailsafes:
    """What configurations say: `node.NAME` goes before `default`, field by field, and what neither
    says is Calico's default."""
    by_name = {one.metadata.name: one.spec for one in configurations}
    usual = _ports(Failsafes(), by_name.get("default"))
    return NodeFailsafes(
        usual,
        {
            name.removeprefix(_NODE): _ports(usual, spec)
            for name, spec in by_name.items()
            if name.startswith(_NODE)
        },
    )


def _ports(given: Failsafes, spec: FelixConfigurationSpec | None) -> Failsafes:
    if spec is None:
        return given
    inbound, outbound = spec.failsafe_inbound_host_ports, spec.failsafe_outbound_host_ports
    return Failsafes(
        given.inbound if inbound is None else tuple(map(_port, inbound)),
        given.outbound if outbound is None else tuple(map(_port, outbound)),
    )


def _port(port: ProtoPort) -> Failsafe:
    return Failsafe(protocols.number(port.protocol) or protocols.TCP, port.port, port.net)
