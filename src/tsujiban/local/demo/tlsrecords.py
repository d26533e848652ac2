"""Whether a stream of bytes is TLS 1.3 and nothing else, judged from outside. Pure.

Source: RFC 8446, sections 4.1.3 (ServerHello), 4.2.1 (supported_versions), 5.1 and 5.2 (records).
"""

from __future__ import annotations

from typing import NamedTuple

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = 20, 21, 22, 23
CONTENT_TYPES = (CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA)
LEGACY_VERSION = 0x0303
CLIENT_HELLO_VERSION = 0x0301  # allowed in a record that holds the first ClientHello
TLS13 = 0x0304
MAX_LENGTH = (1 << 14) + 256
SERVER_HELLO = 2
SUPPORTED_VERSIONS = 43
HEADER = 5


class NotTls(ValueError):
    """The bytes are not TLS; the text says where and why."""


class Record(NamedTuple):
    """One record. The last of a stream may be cut off: its body is then shorter than its length."""

    content_type: int
    version: int
    length: int
    body: bytes


def records(stream: bytes) -> list[Record]:
    """Split a stream, from its first byte, into records. Raises NotTls."""
    found: list[Record] = []
    position = 0
    while position + HEADER <= len(stream):
        content_type = stream[position]
        version = int.from_bytes(stream[position + 1 : position + 3])
        length = int.from_bytes(stream[position + 3 : position + HEADER])
        if content_type not in CONTENT_TYPES:
            raise NotTls(f"byte {position}: {content_type} is no TLS content type")
        if version != LEGACY_VERSION and not (position == 0 and version == CLIENT_HELLO_VERSION):
            raise NotTls(f"byte {position}: record version {version:#06x}")
        if not 0 < length <= MAX_LENGTH:
            raise NotTls(f"byte {position}: record length {length}")
        if not found and content_type not in (HANDSHAKE, ALERT):
            raise NotTls("the stream does not begin with a handshake")
        body = stream[position + HEADER : position + HEADER + length]
        found.append(Record(content_type, version, length, body))
        position += HEADER + length
    return found


def negotiated_version(server_stream: bytes) -> int:
    """The version that the ServerHello at the start of a server's stream chose. Raises NotTls."""
    first = next(iter(records(server_stream)), None)
    if first is None or first.content_type != HANDSHAKE or first.body[:1] != bytes([SERVER_HELLO]):
        raise NotTls("the server's first record is not a ServerHello")
    hello = first.body[4:]
    session = hello[34]
    position = 35 + session + 3  # cipher suite, compression method
    end = position + 2 + int.from_bytes(hello[position : position + 2])
    position += 2
    while position + 4 <= min(end, len(hello)):
        kind = int.from_bytes(hello[position : position + 2])
        length = int.from_bytes(hello[position + 2 : position + 4])
        if kind == SUPPORTED_VERSIONS and length == 2:
            return int.from_bytes(hello[position + 4 : position + 6])
        position += 4 + length
    return int.from_bytes(hello[:2])


def check_tls13(client_stream: bytes, server_stream: bytes) -> int:
    """Check both directions of a connection; the number of records. Raises NotTls.

    After its ServerHello everything a TLS 1.3 server sends is encrypted, so no further handshake
    record may be seen from it.
    """
    from_client, from_server = records(client_stream), records(server_stream)
    version = negotiated_version(server_stream)
    if version != TLS13:
        raise NotTls(f"version {version:#06x} was negotiated, not TLS 1.3")
    hellos = 2 if _is_retry(from_server[0]) else 1
    for found in (from_client, from_server):
        if sum(record.content_type == HANDSHAKE for record in found) > hellos:
            raise NotTls("a handshake message in the clear after the hellos")
    return len(from_client) + len(from_server)


HELLO_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


def _is_retry(record: Record) -> bool:
    """Whether a ServerHello is a HelloRetryRequest (section 4.1.3: its random is this value)."""
    return record.body[6:38] == HELLO_RETRY
