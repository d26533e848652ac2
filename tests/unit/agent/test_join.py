"""Joining through real TLS, with servers that are not who they say."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.pki import TRUST_DOMAIN, Pki, listener
from tests.support.wait import PATIENCE, until

from tsujiban.agent import join as agent_join
from tsujiban.agent.credentials import load
from tsujiban.agent.join import (
    Rejoining,
    ensure_joined,
    join,
    read_join_file,
)
from tsujiban.controller.join import JoinRefused, JoinService
from tsujiban.identity.files import write_private
from tsujiban.identity.keys import create_csr, new_key
from tsujiban.identity.tokens import FileTokenStore, new_token
from tsujiban.wire.join import BUNDLE_PATH, JOIN_PATH, JoinFile, JoinRequest, bundle_digest
from tsujiban.wire.pinned import ControllerUnreachable, JoinError


class Api:
    """The two routes of joining, on a real HTTPS server that can misbehave."""

    def __init__(self, directory: Path) -> None:
        self.pki = Pki(directory)
        self.tokens = FileTokenStore(directory / "tokens")
        self.service = JoinService(self.pki.ca, self.tokens)
        self.requests: list[tuple[str, bytes]] = []
        self.answers: dict[str, tuple[int, bytes]] = {}  # instead of the true ones
        self.port = 0

    def context(self, dns: str = "localhost", address: str = "127.0.0.1") -> ssl.SSLContext:
        key = new_key()
        chain_pem = self.pki.ca.sign_server(create_csr(key, []), [dns], [address])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pki.pem_file("api.pem", key, chain_pem))
        return context

    @asynccontextmanager
    async def serving(self, context: ssl.SSLContext | None = None) -> AsyncIterator[None]:
        sock = listener(self.port)
        self.port = sock.getsockname()[1]
        server = await asyncio.start_server(self._client, sock=sock, ssl=context or self.context())
        async with server:
            yield

    async def ticket(self, **changes: Any) -> JoinFile:
        token, record = new_token("node-1", time.time())
        await self.tokens.add(record)
        ticket = JoinFile(
            server=f"https://127.0.0.1:{self.port}",
            node="node-1",
            token=token,
            ca_sha256=bundle_digest(self.pki.ca.bundle_pem),
        )
        return msgspec.structs.replace(ticket, **changes)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = 0
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            path = head.split(b" ")[1].decode()
            body = await reader.readexactly(length)
            self.requests.append((path, body))
            status, answer = self.answers.get(path) or await self._answer(path, body)
            writer.write(
                f"HTTP/1.1 {status} X\r\nContent-Length: {len(answer)}\r\nConnection: close\r\n\r\n".encode()
                + answer
            )
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client went away, as some tests make it
        finally:
            writer.close()

    async def _answer(self, path: str, body: bytes) -> tuple[int, bytes]:
        if path == BUNDLE_PATH:
            return 200, self.service.bundle_pem.encode()
        try:
            return 200, msgspec.json.encode(
                await self.service.join(msgspec.json.decode(body, type=JoinRequest))
            )
        except JoinRefused as refusal:
            return 403, refusal.reason.encode()

    @property
    def tokens_seen(self) -> bool:
        """Whether a token was ever sent here."""
        return any(b"token" in body for _, body in self.requests)


def run(tmp_path: Path, scenario: Callable[[Api], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE):
            await scenario(Api(tmp_path))

    asyncio.run(main())


def test_joins(tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        async with api.serving():
            ticket = await api.ticket()
            credentials = await join(ticket, tmp_path / "node")
            assert credentials == load(tmp_path / "node", "node-1")
            assert credentials.trust == api.pki.trust
            assert [path for path, _ in api.requests] == [BUNDLE_PATH, JOIN_PATH]
            assert b"PRIVATE" not in api.requests[1][1]
            with pytest.raises(JoinError, match="not valid for this node"):
                await join(ticket, tmp_path / "again")
            assert not (tmp_path / "again").exists()

    run(tmp_path, scenario)


# ---------------------------------------------------------------- who gets the token


def test_server_of_another_cluster_gets_no_token(tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        async with api.serving():
            with pytest.raises(JoinError, match="the token was not sent"):
                await join(await api.ticket(ca_sha256="0" * 64), tmp_path / "node")
        assert not api.tokens_seen

    run(tmp_path, scenario)


def test_man_in_the_middle_who_relays_the_true_bundle_gets_no_token(tmp_path: Path) -> None:
    """The bundle is public: having it proves nothing. The token goes only to whom it vouches for."""

    async def scenario(api: Api) -> None:
        (tmp_path / "evil").mkdir()
        evil = Api(tmp_path / "evil")
        evil.answers[BUNDLE_PATH] = (200, api.service.bundle_pem.encode())
        async with evil.serving():
            ticket = await api.ticket(server=f"https://127.0.0.1:{evil.port}")
            with pytest.raises(ControllerUnreachable, match="certificate verify failed"):
                await join(ticket, tmp_path / "node")
        assert not evil.tokens_seen

    run(tmp_path, scenario)


@pytest.mark.parametrize("kind", ["workload", "node"])
def test_workload_or_node_of_the_cluster_gets_no_token(tmp_path: Path, kind: str) -> None:
    """Its certificate is of the right authority, but not for the server's name."""

    async def scenario(api: Api) -> None:
        credentials = api.pki.workload() if kind == "workload" else api.pki.node("node-9").path
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(credentials)
        async with api.serving(context):
            with pytest.raises(ControllerUnreachable, match="certificate verify failed"):
                await join(await api.ticket(), tmp_path / "node")
        assert not api.tokens_seen

    run(tmp_path, scenario)


def test_server_of_another_name_gets_no_token(tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        async with api.serving(api.context("other", "127.0.0.9")):
            with pytest.raises(ControllerUnreachable, match="certificate verify failed"):
                await join(await api.ticket(), tmp_path / "node")
        assert not api.tokens_seen

    run(tmp_path, scenario)


def test_bundle_with_a_root_added_gets_no_token(tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        (tmp_path / "evil").mkdir()
        both = api.service.bundle_pem + Pki(tmp_path / "evil").ca.bundle_pem
        api.answers[BUNDLE_PATH] = (200, both.encode())
        async with api.serving():
            with pytest.raises(JoinError, match="the token was not sent"):
                await join(await api.ticket(), tmp_path / "node")
        assert not api.tokens_seen

    run(tmp_path, scenario)


def test_root_that_is_added_where_the_digest_does_not_look_gets_no_token(tmp_path: Path) -> None:
    """OpenSSL reads certificates under more headings; the server's own is of the root that was added."""

    async def scenario(api: Api) -> None:
        (tmp_path / "evil").mkdir()
        evil = Pki(tmp_path / "evil")
        added = evil.ca.bundle_pem.replace("CERTIFICATE", "X509 CERTIFICATE")
        api.answers[BUNDLE_PATH] = (200, (api.service.bundle_pem + added).encode())
        own, api.pki = api.pki, evil
        context, api.pki = api.context(), own
        async with api.serving(context):
            with pytest.raises(ControllerUnreachable, match="certificate verify failed"):
                await join(await api.ticket(), tmp_path / "node")
        assert not api.tokens_seen

    run(tmp_path, scenario)


def test_redirect_is_not_followed(tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        api.answers[BUNDLE_PATH] = (302, b"")
        async with api.serving():
            with pytest.raises(ControllerUnreachable, match="answered 302"):
                await join(await api.ticket(), tmp_path / "node")
        assert not api.tokens_seen

    run(tmp_path, scenario)


def test_plain_http_is_refused(tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        async with api.serving():
            with pytest.raises(JoinError, match="https"):
                await join(await api.ticket(server=f"http://127.0.0.1:{api.port}"), tmp_path / "node")
        assert api.requests == []

    run(tmp_path, scenario)


# ---------------------------------------------------------------- odd answers


@pytest.mark.parametrize("body", [b"", b"garbage", b"\xff", b"x" * (300 * 1024)])
def test_odd_bundles(tmp_path: Path, body: bytes) -> None:
    async def scenario(api: Api) -> None:
        api.answers[BUNDLE_PATH] = (200, body)
        async with api.serving():
            with pytest.raises(JoinError, match=r"no trust bundle|more than"):
                await join(await api.ticket(), tmp_path / "node")

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"{}",
        b"[" * 10_000,
        json.dumps({"chain_pem": "", "bundle_pem": "", "trust_domain": TRUST_DOMAIN}).encode(),
    ],
)
def test_odd_answers(tmp_path: Path, answer: bytes) -> None:
    async def scenario(api: Api) -> None:
        api.answers[JOIN_PATH] = (200, answer)
        async with api.serving():
            with pytest.raises(JoinError, match="unusable certificate"):
                await join(await api.ticket(), tmp_path / "node")
        assert not (tmp_path / "node").exists()

    run(tmp_path, scenario)


@pytest.mark.parametrize("identity", ["node-2", "other key"])
def test_certificate_that_was_not_asked_for(tmp_path: Path, identity: str) -> None:
    async def scenario(api: Api) -> None:
        node = "node-2" if identity == "node-2" else "node-1"
        chain_pem = api.pki.ca.sign_node(create_csr(new_key(), []), node)
        answer = {"chain_pem": chain_pem, "bundle_pem": "", "trust_domain": TRUST_DOMAIN}
        api.answers[JOIN_PATH] = (200, json.dumps(answer).encode())
        async with api.serving():
            with pytest.raises(JoinError, match=r"not for node|another key"):
                await join(await api.ticket(), tmp_path / "node")
        assert not (tmp_path / "node").exists()

    run(tmp_path, scenario)


# ---------------------------------------------------------------- ensure_joined


def store(path: Path, ticket: JoinFile) -> Path:
    write_private(path, msgspec.json.encode(ticket))
    return path


def test_waits_for_the_controller_then_spends_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_join, "LAST_RETRY", 0.1)

    async def scenario(api: Api) -> None:
        async with api.serving():
            pass  # only to learn a free port
        path = store(tmp_path / "join.json", await api.ticket())
        joining = asyncio.create_task(ensure_joined(path, tmp_path / "node", "node-1"))
        await asyncio.sleep(0.05)
        assert not joining.done()
        api.answers[JOIN_PATH] = (503, b"starting")
        async with api.serving():
            await until(lambda: any(path == JOIN_PATH for path, _ in api.requests))
            del api.answers[JOIN_PATH]
            credentials = await joining
        assert not path.exists()
        assert await ensure_joined(path, tmp_path / "node", "node-1") == credentials  # nothing to do

    run(tmp_path, scenario)


def test_refused_is_final_and_keeps_the_file(tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        async with api.serving():
            ticket = await api.ticket(token="0" * 16 + "." + "0" * 64)
            path = store(tmp_path / "join.json", ticket)
            with pytest.raises(JoinError, match="403"):
                await ensure_joined(path, tmp_path / "node", "node-1")
        assert path.exists()

    run(tmp_path, scenario)


def test_join_file_of_another_node(tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        path = store(tmp_path / "join.json", await api.ticket(node="node-2"))
        with pytest.raises(JoinError, match="is for node 'node-2'"):
            await ensure_joined(path, tmp_path / "node", "node-1")

    run(tmp_path, scenario)


def test_unusable_join_files(tmp_path: Path) -> None:
    path = tmp_path / "join.json"
    with pytest.raises(JoinError, match="No such file"):
        read_join_file(path)
    write_private(path, b"{}")
    with pytest.raises(JoinError, match="make a new one"):
        read_join_file(path)
    path.chmod(0o644)
    with pytest.raises(JoinError, match="chmod 600"):
        read_join_file(path)


def test_a_new_join_file_replaces_a_certificate_that_is_not_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def scenario(api: Api) -> None:
        file, directory = tmp_path / "join.json", tmp_path / "node"
        again = Rejoining(file, directory, "node-1")
        async with api.serving():
            await join(await api.ticket(), directory)
            await again()  # there is no file
            assert len(api.requests) == 2

            store(file, await api.ticket())
            first = load(directory, "node-1").path.read_text()
            old = (directory / "node.pem").stat().st_mtime_ns
            os.utime(file, ns=(old, old))
            await again()  # it was there before the certificate
            assert file.exists()
            os.utime(file, ns=(old + 1, old + 1))
            await again()
            assert not file.exists()
            assert load(directory, "node-1").path.read_text() != first

            store(file, await api.ticket(token="0" * 16 + "." + "0" * 64))
            newer = (directory / "node.pem").stat().st_mtime_ns + 1
            os.utime(file, ns=(newer, newer))
            count = len(api.requests)
            for _ in range(3):  # one that is refused is tried once
                await again()
            assert len(api.requests) == count + 2
            await Rejoining(file, directory, "node-2")()
            assert len(api.requests) == count + 2
        os.utime(file, ns=(newer + 1, newer + 1))
        await again()
        assert file.exists()

    run(tmp_path, scenario)
    said = capsys.readouterr().out
    assert said.count("not joined again") == 2
    assert said.count("controller unreachable") == 1
