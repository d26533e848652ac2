"""Where questions come in: a private Unix socket, or TCP with mutual TLS. Never anything else.

Whoever may ask learns what policy says, so it is a trusted proxy only.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl

from grpclib.server import Server

from tsujiban.extauthz.service import Authorization
from tsujiban.supervise.netns import split_address

UNIX = "unix:"


class AddressError(ValueError):
    """An address on which nobody can listen; the text says what is wrong with it."""


def check(address: str, *, tls: bool) -> None:
    """Refuse an address that is none, and TCP without TLS. Raises AddressError."""
    if address.startswith(UNIX):
        if not address.removeprefix(UNIX).startswith("/"):
            raise AddressError(f"{address!r}: write unix:/an/absolute/path")
        return
    try:
        split_address(address)
    except ValueError as error:
        raise AddressError(f"{error}; or write unix:/path") from error
    if not tls:
        raise AddressError(f"{address}: questions over TCP need --credentials and --client-ca (mutual TLS)")


async def start(
    handler: Authorization, address: str, tls: ssl.SSLContext | None, mode: int = 0o600
) -> Server:
    """Serve on `unix:/path` (the socket has `mode`) or `HOST:PORT`. Raises OSError, AddressError."""
    check(address, tls=tls is not None)
    server = Server([handler])
    if address.startswith(UNIX):
        await server.start(sock=_bind(address.removeprefix(UNIX), mode))
    else:
        host, port = split_address(address)
        await server.start(host, port, ssl=tls)
    return server


def _bind(path: str, mode: int) -> socket.socket:
    """A listening socket in place of one that nobody answers any more. Raises OSError."""
    with socket.socket(socket.AF_UNIX) as other:
        try:
            other.connect(path)
        except FileNotFoundError:
            pass
        except ConnectionRefusedError:
            os.unlink(path)
        else:
            raise OSError(errno.EADDRINUSE, f"another process answers on {path}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    before = os.umask(0o777 & ~mode)
    try:
        listener.bind(path)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener
