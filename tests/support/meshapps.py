"""Applications for pods, and a client that speaks the mesh's wire without being one of its proxies."""

from __future__ import annotations

import http.client
import socket
import ssl
import tempfile
import threading
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
from tests.support.proxybed import Bed, Pod
from tests.support.wait import PATIENCE

from tsujiban.identity.svid import Svid
from tsujiban.policy.program import (
    Action,
    AddressSet,
    Http,
    Member,
    PathMatch,
    PolicyProgram,
    PortRange,
    Ports,
    Rule,
    Side,
)
from tsujiban.proxy import names


def echo_http(connection: socket.socket) -> None:
    """A small HTTP/1.1 server: answers with the request line and the body."""
    reader = connection.makefile("rb")
    while line := reader.readline():
        headers: dict[bytes, bytes] = {}
        while (header := reader.readline().strip()) != b"":
            name, _, value = header.partition(b":")
            headers[name.lower()] = value.strip()
        body = b""
        if headers.get(b"transfer-encoding") == b"chunked":
            while size := int(reader.readline(), 16):
                body += reader.read(size)
                reader.readline()
            reader.readline()
        elif b"content-length" in headers:
            body = reader.read(int(headers[b"content-length"]))
        answer = line.strip() + b" " + body
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)


class Greeter:
    """A server that speaks first, as MySQL and SMTP do, then echoes; counts its visitors."""

    def __init__(self) -> None:
        self.visitors = 0

    def __call__(self, connection: socket.socket) -> None:
        self.visitors += 1
        connection.sendall(b"220 welcome\r\n")
        while data := connection.recv(65536):
            connection.sendall(data)
        connection.sendall(b"bye")


def web_client(pod: Pod, address: str, port: int) -> http.client.HTTPConnection:
    """One keep-alive HTTP connection of a pod's application."""
    connection = http.client.HTTPConnection(address, port)
    connection.auto_open = 0  # a second connection would not be in the pod
    connection.sock = pod.connect(address, port)
    return connection


def ask(connection: http.client.HTTPConnection, method: str, path: str, **more: Any) -> tuple[int, bytes]:
    """Status and body of one request."""
    connection.request(method, path, **more)
    response = connection.getresponse()
    return response.status, response.read()


def reads(pod: Pod, address: str, port: int, path: str = "/v1/x") -> int:
    """Status of one GET on a connection of its own; 0 when there was no answer."""
    try:
        return ask(web_client(pod, address, port), "GET", path)[0]
    except (OSError, http.client.HTTPException):
        return 0


def members(*pods: Pod) -> AddressSet:
    """The set `s:clients`."""
    return AddressSet(
        id="s:clients",
        members=frozenset(Member(net=pod.address, identity=pod.identity) for pod in pods),
    )


def allow(*clients: Pod, ports: tuple[int, ...] = (80,), http: Http | None = None) -> dict[str, Any]:
    """Changes: the policy `default/web` allows these clients on these ports."""
    rule = Rule(
        id="default/web/ingress/0",
        action=Action.ALLOW,
        protocols=(6,),
        src=Side(sets=("s:clients",)),
        dst=Side(ports=Ports(ranges=tuple(PortRange(first=port, last=port) for port in ports))),
        http=http,
    )
    return {
        "policies": {"default/web": PolicyProgram(id="default/web", ingress=(rule,))},
        "sets": {"s:clients": members(*clients)},
    }


READS = Http(methods=("GET",), paths=(PathMatch(prefix="/v1"),))


def tls_socket(
    bed: Bed, pod: Pod, svid: Svid | None, address: str, port: int, name: str | None = None
) -> ssl.SSLSocket:
    """TLS 1.3 from a pod's own program, with any certificate or none, asking for the server `name`.
    Raises OSError."""
    context = tls_client(bed, svid)  # before it connects: a proxy waits for those only who speak soon
    return context.wrap_socket(pod.connect(address, port), server_hostname=name)


def tls_client(bed: Bed, svid: Svid | None) -> ssl.SSLContext:
    """Shows a certificate, or none, and takes any."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the thief does not care who answers
    context.set_alpn_protocols([names.ALPN])
    if svid is not None:
        with tempfile.NamedTemporaryFile("w", dir=bed.directory, suffix=".pem") as file:
            file.write(svid.key_pem + svid.chain_pem)
            file.flush()
            context.load_cert_chain(Path(file.name))
    return context


def tunnel_status(secure: ssl.SSLSocket, authority: str) -> int:
    """Ask for a tunnel; the status of the answer, 0 if there is none. Raises OSError."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    connection.initiate_connection()
    connection.send_headers(1, [(":method", "CONNECT"), (":authority", authority)])
    secure.sendall(connection.data_to_send())
    while data := secure.recv(65536):
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                return int(dict(event.headers)[b":status"])
        secure.sendall(connection.data_to_send())
    return 0


def first(connection: socket.socket) -> bytes:
    """What arrives first; b"" when the peer closes without a word."""
    connection.settimeout(PATIENCE)
    try:
        return connection.recv(65536)
    except ConnectionError:
        return b""


def drain(connection: socket.socket, timeout: float) -> bytes:
    """What arrives until the peer closes or nothing comes for `timeout` seconds."""
    return _received(connection, timeout)[0]


def rest(connection: socket.socket, timeout: float = PATIENCE) -> bytes:
    """What arrives until the peer closes. Raises AssertionError when it does not close."""
    got, silent = _received(connection, timeout)
    assert not silent, f"open still after {timeout} s, and has said {got!r}"
    return got


def _received(connection: socket.socket, timeout: float) -> tuple[bytes, bool]:
    """What arrives, and whether it was silence that ended it and not the peer."""
    connection.settimeout(timeout)
    got = b""
    try:
        while data := connection.recv(65536):
            got += data
    except OSError as error:
        return got, isinstance(error, TimeoutError)
    return got, False


class Pinger:
    """A connection that is used all the time, and tells whether it ever broke."""

    def __init__(self, connection: socket.socket) -> None:
        self.count = 0
        self.broken = ""
        self._stop = threading.Event()
        self._connection = connection
        connection.settimeout(PATIENCE)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            try:
                self._connection.sendall(b"ping")
                if self._connection.recv(65536) != b"ping":
                    self.broken = "closed, or garbled"
                    return
            except OSError as error:
                self.broken = str(error)
                return
            self.count += 1

    def beyond(self, count: int) -> bool:
        """Whether it has answered more often than that, or never will."""
        return self.count > count or self.broken != ""

    def stop(self) -> str:
        """End it; why it broke, if it did."""
        self._stop.set()
        self._thread.join()
        self._connection.close()
        return self.broken
