"""What a controller believes of what nodes send: their name is their certificate's, and what no honest node
says ends the stream. Pure.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

import msgspec
from cryptography import x509

from tsujiban.identity.certificates import validity_of
from tsujiban.identity.verify import VerificationError, leaf_identity
from tsujiban.resources.names import node_identity
from tsujiban.wire.messages import (
    CAPACITY,
    PROTOCOL_VERSION,
    SYSTEM,
    Flow,
    Flows,
    Hello,
    PodStatus,
    ToController,
)
from tsujiban.wire.transport import StreamRefused

MAX_ADDRESSES = 16
MAX_POD_STATUS = 256 * 1024  # bytes of what a node says of one pod, which is stored
MAX_PROBLEMS = 16  # of those that a node tells of, that are remembered
MAX_PROBLEM = 256  # characters of one: they are in the status of every policy
CAPACITY_FORM = re.compile(r"[1-9][0-9]{0,14}(Ki)?", re.ASCII)
MAX_SYSTEM_TEXT = 200  # characters of one thing that a node says of its machine
MAX_FLOW_TEXT = 16 * 1024  # characters of one flow record; many are kept


def identify(der: bytes, trust_domain: str, now: float) -> tuple[str, x509.Certificate]:
    """Name of the node whose certificate this is, and the certificate.

    Raises:
        StreamRefused: it is no node's, or has expired.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        identity = leaf_identity(certificate, trust_domain)
    except (ValueError, VerificationError, x509.InvalidVersion) as error:
        raise StreamRefused(f"certificate is not a node's: {error}") from error
    node = identity.path.rpartition("/")[2]
    if str(identity) != node_identity(trust_domain, node):
        raise StreamRefused(f"{identity} is not a node")
    if validity_of(certificate).not_after <= now:
        raise StreamRefused("the certificate has expired")
    return node, certificate


def check_hello(node: str, hello: ToController | None) -> Hello:
    """The first message of `node`'s stream. Raises StreamRefused."""
    if not isinstance(hello, Hello):
        raise StreamRefused("the first message must be Hello")
    if hello.node != node:
        raise StreamRefused(f"Hello says node {hello.node[:100]!r}, the certificate {node!r}")
    if hello.protocol != PROTOCOL_VERSION:
        raise StreamRefused(f"protocol {hello.protocol} is not {PROTOCOL_VERSION}; upgrade the older side")
    _check_addresses(hello.addresses)
    _check_system(hello.system, hello.version)
    _check_capacity(hello.capacity)
    return hello


def _check_capacity(capacity: dict[str, str]) -> None:
    for name, amount in capacity.items():
        if name not in CAPACITY or not CAPACITY_FORM.fullmatch(amount):
            raise StreamRefused(f"Hello says that the machine has {amount[:40]!r} of {name[:40]!r}")


def _check_system(system: dict[str, str], version: str) -> None:
    """What a node says of its machine is shown to people, beside what is nobody's to say but ours."""
    strange = sorted(system.keys() - set(SYSTEM))
    if strange:
        raise StreamRefused(f"Hello tells {strange[0][:100]!r} of its machine, which is none of its to tell")
    if any(len(value) > MAX_SYSTEM_TEXT or not value.isprintable() for value in (*system.values(), version)):
        raise StreamRefused(
            f"Hello describes its machine in more than {MAX_SYSTEM_TEXT} printable characters"
        )


def _check_addresses(addresses: tuple[str, ...]) -> None:
    """Addresses of a node become configuration of other nodes, so they must be nothing else."""
    if len(addresses) > MAX_ADDRESSES:
        raise StreamRefused(f"Hello names more than {MAX_ADDRESSES} addresses")
    for address in addresses:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError as error:
            raise StreamRefused(f"Hello names {address[:100]!r}, which is not an address") from error
        scoped = "%" in address  # Python takes any text as an IPv6 scope, line breaks included
        useless = parsed.is_multicast or parsed.is_unspecified or parsed.is_loopback
        if scoped or useless or str(parsed) != address:
            raise StreamRefused(f"Hello names {address[:100]!r}, which is not the address of a node")


def check(node: str, message: ToController) -> None:
    """Raises StreamRefused for what no honest node says."""
    if isinstance(message, Flows) and any(flow.node != node for flow in message.flows):
        raise StreamRefused("a flow record in the name of another node")
    if isinstance(message, Flows) and any(_text(flow) > MAX_FLOW_TEXT for flow in message.flows):
        raise StreamRefused(f"a flow record of more than {MAX_FLOW_TEXT} characters")
    if isinstance(message, PodStatus):
        try:
            msgspec.json.decode(message.status, type=dict[str, object])
        except (msgspec.MsgspecError, RecursionError) as error:
            raise StreamRefused("a pod status that is not a JSON object") from error
        if len(message.status) > MAX_POD_STATUS:
            raise StreamRefused(f"a pod status of more than {MAX_POD_STATUS} bytes")


def shown(problems: Sequence[str]) -> tuple[str, ...]:
    """What a node could not enforce, as it may be stored and shown to people."""
    return tuple(
        "".join(character if character.isprintable() else " " for character in problem[:MAX_PROBLEM])
        for problem in problems[:MAX_PROBLEMS]
    )


def _text(flow: Flow) -> int:
    return sum(len(value) for value in msgspec.structs.astuple(flow) if isinstance(value, str))
