"""Connections that go on while an Envoy hands over to the next, and who would like to come between them."""

from __future__ import annotations

import http.client
import json
import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.support.clusterapps import POLICY, SECONDS, pods

from tsujiban.agent import sandbox_init
from tsujiban.agent.sandbox import sandbox_pid
from tsujiban.local.cluster import LocalCluster
from tsujiban.local.enforced import wait_for
from tsujiban.local.waiting import until
from tsujiban.resources.registry import resolve
from tsujiban.supervise.client import ProcessStatus

ECHO_PORT, HTTP_PORT = 9000, 8080
BIG = 20_000_000  # more than finds room on the way to somebody who does not read

ECHO = """
import asyncio
async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()
async def main():
    await (await asyncio.start_server(echo, '', 9000)).serve_forever()
"""
TALKER = (
    ECHO
    + f"""
import http.server, threading
class Talks(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        size = {BIG} if self.path == '/big' else 6
        self.send_response(200)
        self.send_header('Content-Length', str(size))
        self.end_headers()
        self.wfile.write(b'x' * size)
server = http.server.ThreadingHTTPServer(('', {HTTP_PORT}), Talks)
threading.Thread(target=server.serve_forever, daemon=True).start()
asyncio.run(main())
"""
)

# An application that takes the places where Envoys meet by default, and looks what else it can reach.
SQUATTER = """
import socket, sys
held = []
for role in ('parent', 'child', 'udp_parent', 'udp_child'):
    for epoch in range(3):
        one = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        name = b'\\0envoy_domain_socket_%s_%d' % (role.encode(), epoch)
        one.bind(name.ljust(108, b'\\0'))
        one.setblocking(False)
        held.append(one)
reached = []
for line in open('/proc/net/unix').read().splitlines()[1:]:
    name = (*line.split(None, 7), '')[7]
    if not name or name.startswith('@envoy_domain_socket'):
        continue
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
        try:
            socket.socket(socket.AF_UNIX, kind).connect(name.replace('@', chr(0)))
        except OSError:
            continue
        reached.append(name)
print(reached, flush=True)
for _ in sys.stdin:
    heard = []
    for one in held:
        try:
            heard.append(one.recv(65536))
        except BlockingIOError:
            pass
    print(heard, flush=True)
"""


class Squatter:
    """An application of a pod that does that."""

    def __init__(self, cluster: LocalCluster, app: str) -> None:
        name = pods(cluster, app)[0]["metadata"]["name"]
        command = cluster.exec_command("default", name, "main", ("python3", "-c", SQUATTER))
        self._process = subprocess.Popen(
            command.argv, env=command.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.reached = self._line()  # names of sockets

    def _line(self) -> object:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline().replace("'", '"'))

    def heard(self) -> object:
        """What Envoys have said to it."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._line()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


class Download:
    """Begins to read a long answer, and reads on when it is told to."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        connection.settimeout(SECONDS)
        connection.sendall(b"GET /big HTTP/1.1\r\nHost: talker\r\n\r\n")
        self._answer = http.client.HTTPResponse(connection)
        self._answer.begin()
        self._got = len(self._answer.read(1000))

    def finish(self) -> str:
        """How much came, or what went wrong."""
        try:
            return f"{self._got + len(self._answer.read())} bytes"
        except (OSError, http.client.HTTPException) as error:
            return repr(error)

    def close(self) -> None:
        self._answer.close()
        self._connection.close()


class Asking:
    """New connections to an echo all the time. `failures` are of those that got no answer."""

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self.failures: list[str] = []
        self._connect = connect
        self._count = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self._connect() as connection:
                    connection.settimeout(SECONDS)
                    if not answers_again(connection):
                        self.failures.append("closed")
            except OSError as error:
                self.failures.append(repr(error))
            self._count += 1

    def more(self, count: int = 20) -> None:
        """Wait for that many more."""
        before = self._count
        assert until(lambda: self._count > before + count, SECONDS)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


def answers_again(connection: socket.socket) -> bool:
    """Whether an echo answers on it."""
    connection.sendall(b"ping")
    return connection.recv(100) == b"ping"


def answers_anew(connect: Callable[[], socket.socket]) -> bool:
    """Whether an echo answers on a connection of its own."""
    try:
        with connect() as connection:
            return answers_again(connection)
    except OSError:
        return False


def asked_again(connection: socket.socket) -> int:
    """Status of one more request on a connection."""
    connection.sendall(b"GET / HTTP/1.1\r\nHost: talker\r\n\r\n")
    with http.client.HTTPResponse(connection) as answer:
        answer.begin()
        answer.read()
        return answer.status


def end_by_policy(cluster: LocalCluster, app: str, *connections: socket.socket) -> None:
    """Let nobody in, for a moment. Raises AssertionError when one of the connections goes on."""
    closed = {**POLICY, "spec": {"selector": f"app == '{app}'", "types": ["Ingress"]}}
    with cluster.client() as client:
        client.apply([closed])
        assert wait_for(client, [closed], SECONDS).where == "2/2 nodes"
    try:
        assert _ended(*connections)
    finally:
        with cluster.client() as client:
            client.delete(resolve("networkpolicies.projectcalico.org"), "default", "web")


def _ended(*connections: socket.socket) -> bool:
    """Whether no answer comes any more on any of these: they are closed, or the kernel drops what is said."""
    for one in connections:
        with suppress(OSError):
            one.sendall(b"ping")
    silent = time.monotonic() + 3
    waiting = list(connections)
    while waiting and (left := silent - time.monotonic()) > 0:
        for one in select.select(waiting, [], [], left)[0]:
            waiting.remove(one)
            with suppress(OSError):
                if one.recv(100):
                    return False
    return True


def room_of(cluster: LocalCluster, process: ProcessStatus) -> int:
    """The first process of an Envoy's sandbox. Raises LookupError while it is still being built."""
    environment = cluster.specification(process.name).env
    return sandbox_pid(process.pid, json.loads(environment[sandbox_init.VARIABLE])["uid"])


def children(pid: int) -> list[int]:
    """Processes of a process, the oldest first."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
