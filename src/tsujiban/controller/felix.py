"""FelixConfiguration objects as what one node is told.

As in Calico, `node.NAME` goes before `default`, field by field, and what neither says is the
node's own default. Source: Calico's FelixConfiguration.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypedDict

from tsujiban.controller.world import FELIX_CONFIGURATIONS, Json, World
from tsujiban.resources import protocols

_INBOUND, _OUTBOUND = "failsafeInboundHostPorts", "failsafeOutboundHostPorts"
_DENIAL = "nftablesFilterDenyAction"

Ports = tuple[tuple[int, int, str], ...]


class Told(TypedDict):
    """Fields of a NodeConfig."""

    failsafe_inbound: Ports | None
    failsafe_outbound: Ports | None
    reject: bool


def told(world: World, node: str) -> Told:
    """What `node` is told."""
    found = (world.find(FELIX_CONFIGURATIONS, "", name) for name in (f"node.{node}", "default"))
    specs = [obj.get("spec") or {} for obj in found if obj is not None]
    return Told(
        failsafe_inbound=_ports(_first(specs, _INBOUND)),
        failsafe_outbound=_ports(_first(specs, _OUTBOUND)),
        reject=_first(specs, _DENIAL) == "Reject",
    )


def _first(specs: Iterable[Json], field: str) -> Any:
    """The first value of a field that is set; an empty list is set, an empty word is not."""
    return next((spec[field] for spec in specs if spec.get(field) not in (None, "")), None)


def _ports(given: Iterable[Json] | None) -> Ports | None:
    if given is None:
        return None
    return tuple(
        (protocols.number(port.get("protocol", "TCP")) or protocols.TCP, port["port"], port.get("net", ""))
        for port in given
    )
