"""The controllers of a cluster, as they tell nodes of each other.

An address gives no rights: whoever is met there must prove, by a certificate of the cluster's authority, that
it is the very controller that is said to be there. What is told is bounded and looked at all the same, by who
publishes it, by who tells it and by who is told. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tsujiban.resources import nets
from tsujiban.wire.messages import CONTROLLER_NAME, ControllerAddress

MAX_KNOWN = 16  # addresses that a node is told of, at most
IDENTITY = re.compile(r"[0-9a-f]{32}")


def name_of(identity: str) -> str:
    """The DNS name, in its certificate, of the controller of this identity alone."""
    return f"{identity}.{CONTROLLER_NAME}"


def identity_among(names: Iterable[str]) -> str:
    """The identity that the DNS names of a certificate prove; "" for none (an older controller)."""
    for name in names:
        identity, dot, rest = name.partition(".")
        if dot and rest == CONTROLLER_NAME and IDENTITY.fullmatch(identity):
            return identity
    return ""


def problem(one: ControllerAddress) -> str:
    """Why nobody is to connect there; "" when there is no reason."""
    if not IDENTITY.fullmatch(one.controller):
        return f"{one.controller[:64]!r} is not the identity of a controller"
    if not 0 < one.port < 65536:
        return f"{one.port} is not a port"
    try:
        address = nets.address(one.address)
    except ValueError as error:
        return str(error)
    useless = address.is_multicast or address.is_unspecified or address.is_loopback or address.is_link_local
    if useless or str(address) != one.address:
        return f"{one.address!r} is not an address by which another machine is reached"
    return ""


def usable(known: Iterable[ControllerAddress]) -> tuple[ControllerAddress, ...]:
    """Those that may be, each once, in their order; at most `MAX_KNOWN`."""
    return tuple(dict.fromkeys(one for one in known if not problem(one)))[:MAX_KNOWN]
