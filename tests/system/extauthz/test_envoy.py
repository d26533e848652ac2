"""The configuration of docs/authz-server.md, with a real Envoy and the command as a user starts it."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.authzworld import manifests
from tests.support.meshapps import echo_http
from tests.support.pki import Pki
from tests.support.wait import PATIENCE

from tsujiban.identity.keys import create_csr, key_to_pem, new_key
from tsujiban.proxy import binary

pytestmark = pytest.mark.system

WEB, SHOP, OTHER = "127.0.0.2", "127.0.0.3", "127.0.0.4"
DOCS = Path(__file__).parents[3] / "docs" / "authz-server.md"


class Bed:
    """Envoy, the server, and an application behind them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.pki = Pki(directory / "pki")
        self.sockets: list[socket.socket] = []
        self.processes: list[subprocess.Popen[bytes]] = []
        self.socket_path = directory / "authz.sock"
        self.manifest = directory / "policy.yaml"
        self.manifest.write_text(manifests(WEB, SHOP))
        self.log = directory / "envoy.log"
        self.server_log = directory / "server.log"

    def identity(self, name: str) -> str:
        return f"spiffe://{self.pki.trust_domain}/ns/default/sa/{name}"

    def credentials(self, name: str) -> tuple[Path, Path]:
        """Files of a chain and a key."""
        key = new_key()
        chain, private = self.directory / f"{name}-chain.pem", self.directory / f"{name}-key.pem"
        chain.write_text(self.pki.ca.sign_workload(create_csr(key, []), self.identity(name)))
        private.write_text(key_to_pem(key))
        return chain, private

    def start_application(self) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        self.sockets.append(listener)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=echo_http, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        port: int = listener.getsockname()[1]
        return port

    def start_server(self) -> None:
        command = [sys.executable, "-m", "tsujiban", "authz-server", "--listen", f"unix:{self.socket_path}"]
        command += ["-f", str(self.manifest), "--trust-domain", self.pki.trust_domain]
        with self.server_log.open("ab") as log:
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=log))
        wait_for(self.socket_path.is_socket)

    def start_envoy(self) -> None:
        found = re.search(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)
        assert found is not None
        text = found[1]
        chain, key = self.credentials("web")
        roots = self.directory / "roots.pem"
        roots.write_text(self.pki.ca.bundle_pem)
        for old, new in (
            ("/etc/proxy/chain.pem", str(chain)),
            ("/etc/proxy/key.pem", str(key)),
            ("/etc/proxy/roots.pem", str(roots)),
            ("/run/authz/authz.sock", str(self.socket_path)),
            ("9080", str(self.start_application())),
            ("bank.local", self.pki.trust_domain),
        ):
            assert old in text
            text = text.replace(old, new)
        config = self.directory / "envoy.yaml"
        config.write_text(text)
        command = [str(binary.locate()), "-c", str(config), "--concurrency", "1", "--log-level", "warning"]
        with self.log.open("ab") as log:
            self.processes.append(
                subprocess.Popen([*command, "--disable-hot-restart"], stdout=log, stderr=log)
            )
        wait_for(self._listens)

    @staticmethod
    def _listens() -> bool:
        with socket.socket() as one:
            return one.connect_ex((WEB, 8080)) == 0

    def request(self, method: str, path: str, *, name: str = "shop", source: str = SHOP) -> tuple[int, str]:
        """Status and body of a request with a client's certificate, from an address."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.load_cert_chain(*self.credentials(name))
        plain = socket.create_connection((WEB, 8080), PATIENCE, source_address=(source, 0))
        with context.wrap_socket(plain) as secure:
            secure.sendall(f"{method} {path} HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while data := secure.recv(65536):
                answer += data
        head, _, body = answer.decode().partition("\r\n\r\n")
        return int(head.split()[1]), body

    def judged(self, method: str, path: str, *, name: str = "shop", source: str = SHOP) -> tuple[int, str]:
        """As `request`, by the server: when it takes longer than the half second that it is given, Envoy
        denies without a word, and is asked again."""
        answers: list[tuple[int, str]] = []

        def spoken() -> bool:
            answers.append(self.request(method, path, name=name, source=source))
            return answers[-1] != (403, "")

        wait_for(spoken)
        return answers[-1]

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        for one in self.sockets:
            one.shutdown(socket.SHUT_RDWR)  # who waits there would wait on
            one.close()


def wait_for(condition: object) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    with tempfile.TemporaryDirectory(prefix="tsujiban-authz-") as directory:
        made = Bed(Path(directory))
        try:
            made.start_server()
            made.start_envoy()
            yield made
        finally:
            made.close()


def test_what_policy_allows_passes_and_envoys_log_names_the_rule(bed: Bed) -> None:
    status, body = bed.judged("GET", "/v1/x")
    assert (status, body) == (200, "GET /v1/x HTTP/1.1 ")
    wait_for(lambda: "200" in bed.log.read_text() and "default/authz:web/0" in bed.log.read_text())


@pytest.mark.parametrize(
    ("method", "path", "name", "source"),
    [
        ("POST", "/v1/x", "shop", SHOP),
        ("GET", "/admin", "shop", SHOP),
        ("GET", "/v1/%2e%2e/admin", "shop", SHOP),
        ("GET", "/v1/x", "web", SHOP),
        ("GET", "/v1/x", "shop", OTHER),
        ("GET", "/v1/x", "stranger", SHOP),
    ],
)
def test_everything_else_is_403_with_an_id_and_no_more(
    bed: Bed, method: str, path: str, name: str, source: str
) -> None:
    status, body = bed.judged(method, path, name=name, source=source)
    assert status == 403
    found = re.fullmatch(r"request denied by policy, id (\S+)\n", body)
    assert found is not None
    wait_for(lambda: found[1] in bed.server_log.read_text())


def test_the_log_has_what_the_client_is_not_told(bed: Bed) -> None:
    bed.judged("GET", "/v1/x", name="web", source=SHOP)
    wait_for(lambda: "does not own the address 127.0.0.3" in bed.server_log.read_text())
    bed.judged("POST", "/v1/x")
    wait_for(lambda: "_authz/no-allow" in bed.server_log.read_text())


def test_without_a_server_nothing_passes(bed: Bed) -> None:
    bed.processes[0].kill()
    bed.processes[0].wait()
    assert bed.request("GET", "/v1/x")[0] == 403
