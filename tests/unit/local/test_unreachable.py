"""What real TLS and TCP say, and what a person is told of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.apibed import ApiBed, api_bed

from tsujiban.identity.ca import CertificateAuthority
from tsujiban.identity.keys import create_csr, key_to_pem, new_key
from tsujiban.local.client import Client
from tsujiban.local.kubeconfig import Access
from tsujiban.local.unreachable import Unreachable, about_certificate, unreachable
from tsujiban.resources.registry import resolve

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[ApiBed]:
    async with api_bed(tmp_path / "bed") as found:
        yield found


async def asked(access: Access) -> Unreachable:
    def ask() -> None:
        with Client(access) as client:
            client.list(resolve("pods"))

    with pytest.raises(Unreachable) as caught:
        await asyncio.to_thread(ask)
    return caught.value


def certified(ca: CertificateAuthority, lifetime: float = 3600) -> tuple[bytes, bytes]:
    key = new_key()
    chain = ca.sign_admin(create_csr(key, []), "eve", lifetime=lifetime)
    return chain.encode(), key_to_pem(key).encode()


async def test_a_server_that_is_gone() -> None:
    error = await asked(Access("https://127.0.0.1:1", None))
    assert "does not answer" in str(error)
    assert "tsujiban up" in error.hint


@pytest.mark.parametrize(
    ("code", "text", "meaning"),
    [
        (socket.EAI_NONAME, "Name or service not known", "its name is not known"),
        (socket.EAI_AGAIN, "Temporary failure in name resolution", "cannot be found"),
    ],
)
async def test_a_name_that_is_unknown(
    monkeypatch: pytest.MonkeyPatch, code: int, text: str, meaning: str
) -> None:
    def resolve_nothing(*_: object, **__: object) -> None:
        raise socket.gaierror(code, text)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_nothing)  # no question leaves this machine
    error = await asked(Access("https://no.such.host.invalid:1", None))
    assert meaning in str(error)
    assert "Check `server`" in error.hint


async def test_a_server_of_another_cluster(bed: ApiBed, tmp_path: Path) -> None:
    other = CertificateAuthority.create(tmp_path / "other", "cluster.local")
    error = await asked(Access(bed.url, other.bundle_pem.encode()))
    assert "not one that your kubeconfig trusts" in str(error)
    error = await asked(Access(bed.url, bed.ca_file, *certified(other)))
    assert "not of this cluster's CA" in str(error)
    assert "tsujiban kubeconfig" in error.hint


async def test_a_client_certificate_that_has_expired(bed: ApiBed) -> None:
    pair = certified(bed.ca, lifetime=1)
    await asyncio.sleep(2.1)  # certificates count whole seconds
    error = await asked(Access(bed.url, bed.ca_file, *pair))
    assert "your client certificate has expired" in str(error)
    assert "tsujiban up" in error.hint


async def test_something_that_speaks_no_tls() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    error = await asked(Access(f"https://127.0.0.1:{port}", None))
    server.close()
    assert "does not speak TLS" in str(error)


def test_silence_is_told_as_such() -> None:
    assert "it took too long" in str(unreachable(Access("https://x", None), TimeoutError()))


def test_nothing_is_said_of_a_certificate_that_is_good_or_unreadable(tmp_path: Path) -> None:
    ca = CertificateAuthority.create(tmp_path / "ca", "cluster.local")
    assert about_certificate(Access("https://x", ca.bundle_pem.encode(), *certified(ca))) == ""
    assert about_certificate(Access("https://x", b"none", b"none", b"none")) == ""
    assert about_certificate(Access("https://x", tmp_path / "missing", tmp_path / "missing")) == ""
