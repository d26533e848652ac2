"""The server on loopback, on any free port; no root needed."""

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NoReturn

import dns.asyncquery
import dns.exception
import dns.message
import dns.rcode
import pytest
from tests.support.wait import PATIENCE

from tsujiban.network import dnsserver, zone
from tsujiban.network.zone import Records, Zone

NAME = "web.shop.svc.cluster.local"


def _zone(*addresses: str) -> Zone:
    return Zone(domain="cluster.local", names={NAME: Records(addresses=list(addresses))})


def _serving(path: Path, body: Callable[[int], Awaitable[None]], upstream: str = "") -> None:
    async def main() -> None:
        file = dnsserver.ZoneFile(path)
        sockets = dnsserver.bind("127.0.0.1", 0)
        port = sockets[0].getsockname()[1]
        task = asyncio.create_task(dnsserver.serve(dnsserver.Resolver(file, upstream), [sockets]))
        try:
            async with asyncio.timeout(PATIENCE):
                await body(port)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            sockets[0].close()
            file.close()

    asyncio.run(main())


def _addresses(response: dns.message.Message) -> list[str]:
    return [rdata.to_text() for rrset in response.answer for rdata in rrset]


def test_udp_and_tcp(tmp_path: Path) -> None:
    zone.write(tmp_path / "z", _zone("10.0.0.1"))

    async def body(port: int) -> None:
        query = dns.message.make_query(NAME, "A")
        assert _addresses(await dns.asyncquery.udp(query, "127.0.0.1", PATIENCE, port)) == ["10.0.0.1"]
        assert _addresses(await dns.asyncquery.tcp(query, "127.0.0.1", PATIENCE, port)) == ["10.0.0.1"]

    _serving(tmp_path / "z", body)


def test_several_questions_on_one_connection_and_garbage_ends_it(tmp_path: Path) -> None:
    zone.write(tmp_path / "z", _zone("10.0.0.1"))

    async def body(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        wire = dns.message.make_query(NAME, "A").to_wire()
        for _ in range(2):
            writer.write(struct.pack("!H", len(wire)) + wire)
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            assert _addresses(dns.message.from_wire(await reader.readexactly(length))) == ["10.0.0.1"]
        writer.write(b"\0\3abc")
        assert await reader.read() == b""
        writer.close()

    _serving(tmp_path / "z", body)


def test_before_there_is_a_zone_and_after_it_changed(tmp_path: Path) -> None:
    async def body(port: int) -> None:
        async def ask() -> dns.message.Message:
            return await dns.asyncquery.udp(dns.message.make_query(NAME, "A"), "127.0.0.1", PATIENCE, port)

        assert (await ask()).rcode() == dns.rcode.SERVFAIL
        for addresses in (["10.0.0.1"], ["10.0.0.2"]):
            await asyncio.to_thread(zone.write, tmp_path / "z", _zone(*addresses))
            while _addresses(await ask()) != addresses:
                pass
        (tmp_path / "z").write_text("{")
        await asyncio.sleep(2 * dnsserver.STAT_EVERY)
        assert _addresses(await ask()) == ["10.0.0.2"]
        (tmp_path / "z").unlink()
        await asyncio.sleep(2 * dnsserver.STAT_EVERY)
        assert _addresses(await ask()) == ["10.0.0.2"]

    _serving(tmp_path / "z", body)


def test_the_file_is_looked_at_only_now_and_then(tmp_path: Path) -> None:
    now = 100.0
    file = dnsserver.ZoneFile(tmp_path / "z", clock=lambda: now)
    assert file.index() is None
    zone.write(tmp_path / "z", _zone("10.0.0.1"))
    assert file.index() is None
    now += 2 * dnsserver.STAT_EVERY
    assert file.index() is not None
    file.close()


def test_other_names_are_refused_or_handed_on(tmp_path: Path) -> None:
    zone.write(tmp_path / "z", _zone("10.0.0.1"))

    async def refused(port: int) -> None:
        query = dns.message.make_query("example.com", "A")
        assert (await dns.asyncquery.udp(query, "127.0.0.1", PATIENCE, port)).rcode() == dns.rcode.REFUSED

    _serving(tmp_path / "z", refused)

    async def failed(port: int) -> None:
        query = dns.message.make_query("example.com", "A")
        assert (await dns.asyncquery.udp(query, "127.0.0.1", PATIENCE, port)).rcode() == dns.rcode.SERVFAIL

    _serving(tmp_path / "z", failed, upstream="127.0.0.53")  # nobody answers there: refused at once


def test_places_are_for_all_and_one_takes_no_more_than_its_own() -> None:
    shares = dnsserver.Shares(3, 2)
    with contextlib.ExitStack() as stack:
        had = [stack.enter_context(shares.place(client)) for client in ("a", "a", "a", "b", "b")]
    assert had == [True, True, False, True, False]
    with shares.place("a") as one, shares.place("a") as two:
        assert (one, two) == (True, True)


def test_a_pod_that_holds_all_its_connections_keeps_no_other_out(tmp_path: Path) -> None:
    zone.write(tmp_path / "z", _zone("10.0.0.1"))

    async def body(port: int) -> None:
        idle = [
            await asyncio.open_connection("127.0.0.1", port) for _ in range(2 * dnsserver.TCP_CLIENTS_EACH)
        ]
        assert await idle[-1][0].read() == b""  # the end: no question is taken
        query = dns.message.make_query(NAME, "A")
        answer = await dns.asyncquery.tcp(query, "127.0.0.1", PATIENCE, port, source="127.0.0.2")
        assert _addresses(answer) == ["10.0.0.1"]
        for _, writer in idle:
            writer.close()

    _serving(tmp_path / "z", body)


def test_a_pod_whose_questions_wait_for_the_upstream_keeps_no_other_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upstream answers nobody before the other one has asked."""
    zone.write(tmp_path / "z", _zone("10.0.0.1"))

    async def body() -> None:
        waiting = asyncio.Event()

        async def silent(*_: object, **__: object) -> NoReturn:
            await waiting.wait()
            raise dns.exception.Timeout

        monkeypatch.setattr(dns.asyncquery, "udp_with_fallback", silent)
        file = dnsserver.ZoneFile(tmp_path / "z")
        resolver = dnsserver.Resolver(file, "192.0.2.1")
        wire = dns.message.make_query("example.com", "A").to_wire()
        each = dnsserver.UPSTREAM_PENDING_EACH
        asked = [
            asyncio.create_task(resolver.respond(wire, udp=True, client="10.0.0.1")) for _ in range(each)
        ]
        await asyncio.sleep(0)
        refused = await resolver.respond(wire, udp=True, client="10.0.0.1")
        assert refused is not None
        assert dns.message.from_wire(refused).rcode() == dns.rcode.SERVFAIL
        other = asyncio.create_task(resolver.respond(wire, udp=True, client="10.0.0.2"))
        await asyncio.sleep(0)
        assert not other.done()
        waiting.set()
        await asyncio.gather(*asked, other)
        file.close()

    asyncio.run(body())


def test_an_address_that_is_taken() -> None:
    first = dnsserver.bind("127.0.0.1", 0)
    try:
        with pytest.raises(OSError, match="in use"):
            dnsserver.bind("127.0.0.1", first[0].getsockname()[1])
    finally:
        for entry in first:
            entry.close()


def test_the_process_may_only_bind_and_change_its_user() -> None:
    spec = dnsserver.process("n/dns", "/z", "10.96.0.10", "/run/netns/n", upstream="192.0.2.1")
    assert spec.bounding == ("net_bind_service", "setgid", "setuid")
    assert spec.argv[-2:] == ("--upstream", "192.0.2.1")
