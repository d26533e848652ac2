"""Netfilter's netlink messages: the few that libnftables does not speak.

Encoding and decoding are pure; `Conversation` sends one request and reads the answer. pyroute2
could do some of it, at 200 ms of import and 0.3 ms an operation, on the path of every change.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

CONNTRACK, ULOG, NFTABLES = 1, 4, 10  # NFNL_SUBSYS_*

REQUEST, ACK, DUMP = 0x1, 0x4, 0x300  # NLM_F_*
_DUMP_INTERRUPTED = 0x10
_ERROR, _DONE = 2, 3
_NETFILTER = 12
_HEADER = struct.Struct("=IHHII")
_GENERIC = struct.Struct("!BBH")  # family, version, resource
_ATTRIBUTE = struct.Struct("=HH")
_NESTED = 0x8000
_TYPE_MASK = 0x3FFF
_RECEIVE = 1 << 17


class Message(NamedTuple):
    """One netfilter message: what it is and its attributes."""

    type: int  # within its subsystem
    subsystem: int
    family: int
    resource: int
    payload: bytes


class InterruptedDumpError(Exception):
    """The kernel's table changed while it was read: read again."""


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded."""
    return _padded(_ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value)


def nested(kind: int, *values: bytes) -> bytes:
    """An attribute made of attributes."""
    return attribute(kind | _NESTED, b"".join(values))


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes in `data` by number; of equal ones the last. Raises ValueError when malformed."""
    found = {}
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size or offset + length > len(data):
            raise ValueError("a netlink attribute is longer than its message")
        found[kind & _TYPE_MASK] = data[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3
    return found


def request(
    subsystem: int,
    kind: int,
    flags: int,
    payload: bytes = b"",
    *,
    family: int = 0,
    resource: int = 0,
    sequence: int = 0,
) -> bytes:
    """One request message."""
    body = _GENERIC.pack(family, 0, resource) + payload
    return _HEADER.pack(_HEADER.size + len(body), subsystem << 8 | kind, REQUEST | flags, sequence, 0) + body


def messages(data: bytes) -> Iterator[Message | int]:
    """The messages in a datagram; an int is the end of an answer: 0, or an errno.

    Raises InterruptedDumpError, and ValueError for what is malformed.
    """
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, _, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            raise ValueError("a netlink message is longer than its datagram")
        body = data[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3
        if flags & _DUMP_INTERRUPTED:
            raise InterruptedDumpError
        if kind in (_ERROR, _DONE):
            yield -struct.unpack_from("=i", body)[0] if len(body) >= 4 else 0
        elif len(body) >= _GENERIC.size:
            family, _, resource = _GENERIC.unpack_from(body)
            yield Message(kind & 0xFF, kind >> 8, family, resource, body[_GENERIC.size :])


def open_socket() -> socket.socket:
    """A netfilter netlink socket of the calling thread's network namespace. Raises OSError."""
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER)
    made.bind((0, 0))
    return made


class Conversation:
    """Requests and their answers over one socket. Blocking, not thread-safe."""

    def __init__(self, on: socket.socket | None = None) -> None:
        self._socket = on or open_socket()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def ask(self, message: bytes) -> list[Message]:
        """Send a request that ends with an acknowledgement or the end of a dump; return the answers.

        Raises OSError for what the kernel refuses, InterruptedDumpError, ValueError.
        """
        self._socket.send(message)
        answers: list[Message] = []
        while True:
            for answer in messages(self._socket.recv(_RECEIVE)):
                if isinstance(answer, Message):
                    answers.append(answer)
                elif answer:
                    raise OSError(answer, os.strerror(answer))
                else:
                    return answers
