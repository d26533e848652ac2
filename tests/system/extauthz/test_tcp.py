"""The command over TCP: who has no certificate of the roots it was given is not answered."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from envoy.service.auth.v3 import external_auth_pb2
from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.exceptions import StreamTerminatedError
from tests.support.authzworld import ask, manifests
from tests.support.pki import Pki
from tests.support.proxybed import until
from tests.support.wait import PATIENCE

from tsujiban.extauthz.service import METHOD
from tsujiban.identity.keys import create_csr, new_key

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def port(pki: Pki) -> Iterator[int]:
    """Where the command listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        number: int = free.getsockname()[1]
    key = new_key()
    own = pki.pem_file("server.pem", key, pki.ca.sign_server(create_csr(key, []), ["localhost"], []))
    roots, manifest = pki.directory / "roots.pem", pki.directory / "policy.yaml"
    roots.write_text(pki.ca.bundle_pem)
    manifest.write_text(manifests())
    command = [sys.executable, "-m", "tsujiban", "authz-server", "--listen", f"127.0.0.1:{number}"]
    command += ["-f", str(manifest), "--credentials", str(own), "--client-ca", str(roots)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        until("it listens", lambda: _listens(number), PATIENCE)
        yield number
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def context(pki: Pki, client: Path | None) -> ssl.SSLContext:
    made = ssl.create_default_context(cadata=pki.ca.bundle_pem)
    made.set_alpn_protocols(["h2"])
    if client is not None:
        made.load_cert_chain(client)
    return made


def check(pki: Pki, port: int, client: Path | None) -> int:
    """Code of the answer to a request that policy denies. Raises when there is none."""

    async def work() -> int:
        async with Channel("localhost", port, ssl=context(pki, client)) as channel:
            kinds = (external_auth_pb2.CheckRequest, external_auth_pb2.CheckResponse)
            answer = await UnaryUnaryMethod(channel, METHOD, *kinds)(ask(method="PUT"), timeout=PATIENCE)
            return int(answer.status.code)

    return asyncio.run(work())


def test_a_client_of_the_roots_is_answered(pki: Pki, port: int) -> None:
    assert check(pki, port, pki.workload()) == 7


def test_a_client_without_a_certificate_or_with_another_authority_s_is_not(
    pki: Pki, port: int, tmp_path: Path
) -> None:
    for client in (None, Pki(tmp_path / "namesake", pki.trust_domain).workload()):
        with pytest.raises((ssl.SSLError, OSError, StreamTerminatedError)):
            check(pki, port, client)


def test_a_client_without_tls_is_not(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as plain:
        plain.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
        answer = plain.recv(100)
    assert answer == b"" or answer[0] == 21  # closed, or an alert of TLS
