"""`python -m tsujiban.network.dnsserver --zone FILE --listen ADDRESS`: the node's DNS server.

A process of its own that reads nothing but the zone file: it goes on answering when the agent
is down. It binds as root, then becomes an unprivileged user for good; it keeps a descriptor of
the zone's directory, and looks at the file again when questions come.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import os
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import cast

import dns.asyncbackend
import dns.asyncquery
import dns.exception
import dns.message
import dns.rcode
import dns.rdtypes.ANY.PTR
import dns.rdtypes.ANY.SOA
import dns.rdtypes.IN.A
import dns.rdtypes.IN.AAAA
import dns.rdtypes.IN.SRV
import msgspec

from tsujiban.network import dns as names
from tsujiban.network import zone as zones
from tsujiban.supervise.spec import ProcessSpec

PORT = 53
STAT_EVERY = 0.005  # seconds; how old the knowledge of the zone file may be
TCP_IDLE = 10.0  # seconds without a question
TCP_CLIENTS, TCP_CLIENTS_EACH = 256, 16  # connections; of one address
UPSTREAM_TIMEOUT = 2.0  # seconds
UPSTREAM_PENDING, UPSTREAM_PENDING_EACH = 512, 64  # questions waiting for the upstream; of one address
PR_SET_NO_NEW_PRIVS = 38
NOBODY = 65534


class ZoneFile:
    """The zone file, read again when it has changed. A file that cannot be read leaves the zone
    that was there before."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = path.name
        self._directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._clock = clock
        self._looked = -1.0
        self._seen: tuple[int, int, int] | None = None
        self._index: names.Index | None = None

    def close(self) -> None:
        """Let go of the directory."""
        os.close(self._directory)

    def index(self) -> names.Index | None:
        """The zone now; None as long as there never was one."""
        now = self._clock()
        if self._looked < 0 or now - self._looked >= STAT_EVERY:
            self._looked = now
            self._refresh()
        return self._index

    def _refresh(self) -> None:
        try:
            descriptor = os.open(self._name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._directory)
        except OSError:
            return
        with os.fdopen(descriptor, "rb") as file:
            state = os.fstat(descriptor)
            seen = (state.st_ino, state.st_mtime_ns, state.st_size)
            if seen == self._seen:
                return
            self._seen = seen
            try:
                self._index = names.Index(zones.parse(file.read()))
            except (msgspec.MsgspecError, ValueError) as error:
                print(f"zone file {self._name}: {error}; the old zone stays", file=sys.stderr, flush=True)


class Shares:
    """Places of which all clients have `total`, and one of them at most `each`: no pod keeps others out."""

    def __init__(self, total: int, each: int) -> None:
        self._total = total
        self._each = each
        self._taken: Counter[str] = Counter()

    @contextmanager
    def place(self, client: str) -> Iterator[bool]:
        """A place for as long as the context is open; whether there was one."""
        free = self._taken.total() < self._total and self._taken[client] < self._each
        self._taken[client] += free
        try:
            yield free
        finally:
            self._taken[client] -= free
            self._taken += Counter()  # forgets whom it counts nothing of


class Resolver:
    """Answers datagrams: from the zone, or from an upstream server if there is one."""

    def __init__(self, zone: ZoneFile, upstream: str = "") -> None:
        self._zone = zone
        self._upstream = upstream
        self._pending = Shares(UPSTREAM_PENDING, UPSTREAM_PENDING_EACH)

    async def respond(self, data: bytes, udp: bool, client: str) -> bytes | None:
        """The answer to one message of the address `client`; None when it deserves none."""
        query = names.parse(data)
        if query is None or isinstance(query, bytes):
            return query
        index = self._zone.index()
        if index is None:
            return names.to_wire(names.refuse(query, dns.rcode.SERVFAIL), query, udp)
        response = names.answer(index, query)
        if response is None:
            response = await self._forward(query, client) if self._upstream else names.refuse(query)
        return names.to_wire(response, query, udp)

    async def _forward(self, query: dns.message.Message, client: str) -> dns.message.Message:
        with self._pending.place(client) as free:
            if not free:
                return names.refuse(query, dns.rcode.SERVFAIL)
            try:
                asked = dns.message.make_query(query.question[0].name, query.question[0].rdtype, use_edns=0)
                found, _ = await dns.asyncquery.udp_with_fallback(asked, self._upstream, UPSTREAM_TIMEOUT)
            except (dns.exception.DNSException, OSError, EOFError):
                return names.refuse(query, dns.rcode.SERVFAIL)
        response = names.refuse(query, found.rcode())
        response.answer, response.authority = found.answer, found.authority
        return response


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._transport: asyncio.DatagramTransport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # not an instance of it in Python 3.11

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(data, addr))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, data: bytes, addr: tuple[str, int]) -> None:
        response = await self._resolver.respond(data, udp=True, client=addr[0])
        if response is not None and self._transport is not None:
            self._transport.sendto(response, addr)


class _Streams:
    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._clients = Shares(TCP_CLIENTS, TCP_CLIENTS_EACH)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = str(writer.get_extra_info("peername", ("",))[0])
        with closing(writer), self._clients.place(client) as free:
            if free:
                await self._answer(reader, writer, client)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client: str) -> None:
        try:
            while True:
                async with asyncio.timeout(TCP_IDLE):
                    (length,) = struct.unpack("!H", await reader.readexactly(2))
                    data = await reader.readexactly(length)
                response = await self._resolver.respond(data, udp=False, client=client)
                if response is None:
                    break
                writer.write(struct.pack("!H", len(response)) + response)
                async with asyncio.timeout(TCP_IDLE):
                    await writer.drain()
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
            pass


def bind(address: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket at `address`. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    datagrams = socket.socket(family, socket.SOCK_DGRAM)
    try:
        datagrams.bind((address, port))
        port = datagrams.getsockname()[1]
        streams = socket.create_server((address, port), family=family, backlog=128)
    except OSError:
        datagrams.close()
        raise
    datagrams.setblocking(False)
    return datagrams, streams


async def serve(resolver: Resolver, sockets: list[tuple[socket.socket, socket.socket]]) -> None:
    """Answer on the sockets until cancelled."""
    loop = asyncio.get_running_loop()
    streams = _Streams(resolver)
    async with asyncio.TaskGroup() as tasks:
        for udp, tcp in sockets:
            await loop.create_datagram_endpoint(lambda: _Datagrams(resolver), sock=udp)
            server = await asyncio.start_server(streams.serve, sock=tcp)
            tasks.create_task(server.serve_forever())
        print("ready", flush=True)


def become(uid: int) -> None:
    """Give up root for good: user, groups, capabilities. Raises OSError."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)  # clears all capabilities
    ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def process(name: str, zone: str, address: str, netns: str, upstream: str = "") -> ProcessSpec:
    """The DNS server as a supervised process, with the few capabilities it needs to give up root."""
    argv = [sys.executable, "-I", "-m", "tsujiban.network.dnsserver", "--zone", zone, "--listen", address]
    if upstream:
        argv += ["--upstream", upstream]
    return ProcessSpec(
        name=name,
        argv=tuple(argv),
        netns=netns,
        bounding=("net_bind_service", "setgid", "setuid"),
        backoff_max=2.0,
        order=3,
    )


def main() -> int:
    """Run until killed; 1 when it cannot begin."""
    parser = argparse.ArgumentParser(prog="python -m tsujiban.network.dnsserver")
    parser.add_argument("--zone", type=Path, required=True, help="the zone file; its directory must exist")
    parser.add_argument("--listen", action="append", required=True, help="address (repeatable)")
    parser.add_argument("--port", type=int, default=PORT, help="default 53")
    parser.add_argument("--upstream", default="", help="address of the server for all other names")
    parser.add_argument("--uid", type=int, default=NOBODY, help="user to become (default 65534, nobody)")
    options = parser.parse_args()
    try:
        zone = ZoneFile(options.zone)
        sockets = [bind(address, options.port) for address in options.listen]
    except OSError as error:
        print(f"cannot serve {options.zone} on {', '.join(options.listen)}: {error}", file=sys.stderr)
        return 1
    dns.asyncbackend.set_default_backend("asyncio")  # imports its module while that can still be read
    if os.geteuid() == 0:
        become(options.uid)
    asyncio.run(serve(Resolver(zone, options.upstream), sockets))
    return 0


if __name__ == "__main__":
    sys.exit(main())
