"""The API server by its four goals, and etcd itself for the same operations, on the same disk in one run.

The server is the real controller process, over TLS, with its audit log, access rules and control loop; this
process plays the clients. Each measure is taken several times, for the machine may be doing something else:
the table has the best and the median.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.inside.https import Connection
from bench.store import key, spread, value
from tests.support.etcdbed import EtcdBed, single
from tests.support.machine import supervisor
from tests.support.pki import Pki

from tsujiban.controller.config import ControllerConfig
from tsujiban.identity.files import make_private_directory, write_private
from tsujiban.identity.keys import create_csr, new_key
from tsujiban.identity.tls import client_context
from tsujiban.store.config import connect
from tsujiban.store.etcd import messages
from tsujiban.store.protocol import Key
from tsujiban.store.sqlite import SqliteStore
from tsujiban.supervise.client import SupervisorClient
from tsujiban.supervise.spec import Listener, ProcessSpec

LIST_GOAL, FANOUT_GOAL, WATCH_GOAL, WRITES_GOAL = 300.0, 250.0, 40.0, 1500.0
LIST = "/api/v1/configmaps"
WATCHED = "/api/v1/namespaces/default/secrets"  # another kind, of which there is nothing else
ROUNDS = 7
READY_SECONDS = 30.0


class Server:
    """The controller under test: its port, its process, and how to reach it."""

    def __init__(self, port: int, pid: int, context: Any) -> None:
        self.port = port
        self.pid = pid
        self._context = context

    async def connect(self) -> Connection:
        return await Connection.open(self.port, self._context)


def resident(pid: int) -> float:
    """Resident memory of a process, KiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


async def fill(path: Path, count: int) -> None:
    """The objects that the list is of, and the namespaces that they are in."""
    store = await SqliteStore.open(path)
    for number in range(20):
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"ns{number}"}}
        await store.create(Key("", "namespaces", "", f"ns{number}"), msgspec.json.encode(body))
    await spread(count, 64, lambda number: store.create(key(number), value(number)))
    await store.close()


@asynccontextmanager
async def serving(folder: Path, count: int) -> AsyncIterator[Server]:
    """A controller on SQLite with `count` objects."""
    pki = Pki(folder)
    own = new_key()
    admin = pki.pem_file("admin.pem", own, pki.ca.sign_admin(create_csr(own, []), "admin"))
    make_private_directory(folder / "state")
    await fill(folder / "state" / "store.db", count)
    (folder / "ca").rename(folder / "state" / "ca")
    config = ControllerConfig(cluster="bench", state_dir=str(folder / "state"), trust_domain=pki.trust_domain)
    write_private(folder / "config.json", msgspec.json.encode(config))
    ports = [free_port(), free_port()]
    spec = ProcessSpec(
        name="controller",
        argv=(sys.executable, "-I", "-m", "tsujiban.controller", "--config", str(folder / "config.json")),
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        listen=tuple(Listener(address=f"127.0.0.1:{port}", name=str(port)) for port in ports),
    )
    with supervisor() as (path, _):
        async with SupervisorClient(path) as client:
            started = await client.start(spec)
            server = Server(ports[0], started.pid, client_context(admin, pki.ca.bundle_pem))
            async with asyncio.timeout(READY_SECONDS):
                connection = await server.connect()
                await connection.ask("GET", "/readyz")  # the socket is there before the process is
            connection.close()
            yield server


def free_port() -> int:

    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def timed(work: Callable[[], Any]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    await work()
    return (time.perf_counter() - began) * 1000


async def of_server(server: Server, watches: int, writes: int, clients: int) -> dict[str, list[float]]:
    """Each goal's measures."""
    return {
        "list": await lists(server),
        **await fanout(server, watches),
        "writes": await durable_writes(server, writes, clients),
    }


async def lists(server: Server) -> list[float]:
    connection = await server.connect()
    found = [await timed(lambda: connection.ask("GET", LIST)) for _ in range(ROUNDS)]
    connection.close()
    return found


async def fanout(server: Server, watches: int) -> dict[str, list[float]]:
    """What a watch holds, and how long a change takes to reach the last of them."""
    await fan(server, 20)  # what the first watch costs only once
    before = resident(server.pid)
    waits, after = await fan(server, watches)
    return {"watch": [(after - before) / watches], "fanout": waits}


async def fan(server: Server, watches: int) -> tuple[list[float], float]:
    found = []
    for _ in range(watches):
        found.append(await server.connect())
        await found[-1].begin(f"{WATCHED}?watch=true&resourceVersion=0")
    await asyncio.sleep(1)
    after = resident(server.pid)
    other = await server.connect()  # not before: on a busy machine it would be closed meanwhile, being idle
    waits = []
    for number in range(ROUNDS):
        heard = [asyncio.create_task(connection.event()) for connection in found]
        await asyncio.sleep(0.2)  # so that the clients' own preparations do not count
        name = f"of-{watches}-{number}"
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name},
            "stringData": {"k": "x" * 700},
        }

        async def change(body: Any = body, heard: Any = heard) -> None:
            await other.ask("POST", WATCHED, msgspec.json.encode(body))
            await asyncio.gather(*heard)

        waits.append(await timed(change))
    for connection in (*found, other):
        connection.close()
    return waits, after


async def durable_writes(server: Server, count: int, clients: int) -> list[float]:
    """Creations a second, by `clients` connections."""
    found = [await server.connect() for _ in range(clients)]
    rates = []
    for turn in range(ROUNDS):
        free = list(found)

        async def write(number: int, turn: int = turn, free: list[Connection] = free) -> None:
            connection = free.pop()
            at = key(number)
            body = value(number).replace(at.name.encode(), f"new-{turn}-{number}".encode(), 1)
            await connection.ask("POST", f"/api/v1/namespaces/{at.namespace}/configmaps", body)
            free.append(connection)

        rates.append(await spread(count, clients, write))
    for connection in found:
        connection.close()
    return rates


# ---------------------------------------------------------------- etcd itself


async def of_etcd(
    etcd: EtcdBed, objects: int, watches: int, writes: int, clients: int
) -> dict[str, list[float]]:
    """The same of etcd itself, asked by our gRPC client."""
    client = connect(etcd.config)

    async def put(name: bytes, number: int) -> None:
        change = messages.RequestOp(request_put={"key": name, "value": value(number)})
        await client.write(messages.TxnRequest(success=[change]), 60)

    await spread(objects, clients, lambda number: put(b"/bare/%06d" % number, number))
    listing = [await timed(lambda: client.range(key=b"/bare/", range_end=b"/bare0")) for _ in range(ROUNDS)]
    fresh = itertools.count()
    rates = [
        await spread(writes, clients, lambda number: put(b"/new/%09d" % next(fresh), number))
        for _ in range(ROUNDS)
    ]
    before = resident(etcd.pid(0))
    async with contextlib.AsyncExitStack() as stack:
        heard = [
            await stack.enter_async_context(client.watch(key=b"/watched/", range_end=b"/watched0"))
            for _ in range(watches)
        ]
        for responses in heard:
            await anext(responses)  # that it has begun
        await asyncio.sleep(1)
        held = (resident(etcd.pid(0)) - before) / watches
        waits = []
        for number in range(ROUNDS):
            tasks = [asyncio.ensure_future(anext(responses)) for responses in heard]
            await asyncio.sleep(0.2)

            async def change(number: int = number, tasks: Sequence[Any] = tasks) -> None:
                await put(b"/watched/%d" % number, number)
                await asyncio.gather(*tasks)

            waits.append(await timed(change))
    client.close()
    return {"list": listing, "watch": [held], "fanout": waits, "writes": rates}


ROWS = (
    ("list", "list of all objects, ms", LIST_GOAL, min),
    ("fanout", "one change to all watches, ms", FANOUT_GOAL, min),
    ("watch", "memory of an idle watch, KiB", WATCH_GOAL, min),
    ("writes", "durable writes a second", WRITES_GOAL, max),
)


def main() -> int:
    """Print the table; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--watches", type=int, default=1000)
    parser.add_argument("--writes", type=int, default=2000, help="in each round")
    parser.add_argument("--clients", type=int, default=128)
    parser.add_argument("--folder", help="where the data lies, e.g. on the disk that is to be measured")
    asked = parser.parse_args()

    async def measure(folder: Path) -> dict[str, list[float]]:
        async with serving(folder, asked.objects) as server:
            return await of_server(server, asked.watches, asked.writes, asked.clients)

    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        ours = asyncio.run(measure(Path(folder)))
    with single(asked.folder) as etcd:
        theirs = asyncio.run(of_etcd(etcd, asked.objects, asked.watches, asked.writes, asked.clients))
    size = f"{asked.objects} objects of {len(value(0))} bytes"
    print(f"{size}, {asked.watches} watches, {asked.clients} clients\n")
    print("| best (median) | goal | API server on SQLite | etcd itself | ratio of the best |")
    print("|---|---|---|---|---|")
    missed = 0
    for name, title, goal, best in ROWS:
        own, other = best(ours[name]), best(theirs[name])
        met = own > goal if best is max else own < goal
        missed += not met
        middle = [statistics.median(found[name]) for found in (ours, theirs)]
        sign = ">" if best is max else "<"
        print(
            f"| {title} | {sign} {goal:.0f} | {own:.0f} ({middle[0]:.0f}) | {other:.0f} ({middle[1]:.0f})"
            f" | {own / other:.2f} |"
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
