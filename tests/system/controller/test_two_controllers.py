"""Two real controllers on one etcd: one leads; when it is paused the other takes over, and when it wakes up
again it does no harm."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from tests.support.etcdbed import EtcdBed, single
from tests.support.machine import supervisor
from tests.support.nodestream import hello
from tests.support.pki import Pki
from tests.support.wait import PATIENCE

from tsujiban.agent.link import ControllerLink
from tsujiban.controller.config import ControllerConfig
from tsujiban.controller.leadership import LEASE
from tsujiban.identity.files import make_private_directory, write_private
from tsujiban.identity.keys import create_csr, new_key
from tsujiban.identity.tls import client_context
from tsujiban.store.config import open_store
from tsujiban.store.protocol import EventType, Store
from tsujiban.supervise.client import SupervisorClient
from tsujiban.supervise.spec import Listener, ProcessSpec
from tsujiban.wire.messages import CONTROLLER_NAME

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

NAMES = ("one", "two")


class Bed:
    """Two controllers, an administrator, and the store as nobody's friend sees it."""

    def __init__(self, client: SupervisorClient, store: Store, pki: Pki, admin: Path) -> None:
        self.supervisor = client
        self.store = store
        self.pki = pki
        self.ports = {name: (_free_port(), _free_port()) for name in NAMES}  # API, nodes
        context = client_context(admin, pki.ca.bundle_pem)
        self.api = {
            name: httpx.AsyncClient(
                base_url=f"https://127.0.0.1:{ports[0]}", verify=context, trust_env=False, timeout=PATIENCE
            )
            for name, ports in self.ports.items()
        }

    async def start(self, name: str, etcd: EtcdBed) -> None:
        state = self.pki.directory / name
        make_private_directory(state)
        shutil.copytree(self.pki.directory / "ca", state / "ca")
        config = ControllerConfig(
            cluster="pair",
            state_dir=str(state),
            trust_domain=self.pki.trust_domain,
            store=etcd.config,
        )
        write_private(state / "config.json", msgspec.json.encode(config))
        listen = tuple(Listener(address=f"127.0.0.1:{port}", name=str(port)) for port in self.ports[name])
        argv = (sys.executable, "-I", "-m", "tsujiban.controller", "--config", str(state / "config.json"))
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        await self.supervisor.start(ProcessSpec(name=name, argv=argv, env=env, listen=listen))

    async def role(self, name: str) -> str:
        try:
            answer = await self.api[name].get("/tsujiban/v1/status")
        except httpx.TransportError:
            return ""
        return str(answer.json()["components"][0]["detail"]) if answer.status_code == 200 else ""

    async def stands_by(self, name: str) -> None:
        """Wait until it does; it may have to begin first."""
        async with asyncio.timeout(PATIENCE):
            while not (await self.role(name)).startswith("stands by for "):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.2)

    async def leader(self, *among: str) -> str:
        async with asyncio.timeout(PATIENCE):
            while True:
                for name in among:
                    if (await self.role(name)).startswith("leads; "):
                        return name
                await asyncio.sleep(0.2)

    async def deploy(self, through: str, name: str, replicas: int) -> None:
        answer = await self.api[through].post(
            "/apis/apps/v1/namespaces/default/deployments", json=deployment(name, replicas)
        )
        assert answer.status_code == 201, answer.text

    async def pods(self, name: str, count: int) -> set[str]:
        """The pods of a deployment, when there are `count`."""
        async with asyncio.timeout(PATIENCE):
            while True:
                items = [json.loads(item.value) for item in (await self.store.list("", "pods")).items]
                found = {pod["metadata"]["uid"] for pod in items if pod["metadata"]["labels"]["app"] == name}
                if len(found) == count:
                    return found
                await asyncio.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def deployment(name: str, replicas: int) -> dict[str, Any]:
    labels = {"app": name}
    pod = {"containers": [{"name": "c", "image": "i", "command": ["/bin/true"]}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Bed]:
    with single() as etcd, supervisor() as (socket_path, _):
        pki = Pki(directory)
        key = new_key()
        admin = pki.pem_file("admin.pem", key, pki.ca.sign_admin(create_csr(key, []), "admin"))
        store = await open_store(etcd.config, directory, "pair")
        try:
            async with SupervisorClient(socket_path) as client:
                bed = Bed(client, store, pki, admin)
                for name in NAMES:
                    await bed.start(name, etcd)
                try:
                    yield bed
                except BaseException as error:
                    for name in NAMES:  # when the report is written, they are gone
                        state = await client.status(name)
                        error.add_note(f"{name}: {state.state}, {state.restarts} restarts")
                        error.add_note(text_of(state.log)[-3000:])
                    raise
                for api in bed.api.values():
                    await api.aclose()
        finally:
            await store.close()


@asynccontextmanager
async def node(bed: Bed) -> AsyncIterator[ControllerLink]:
    """The link of a node that knows both controllers."""
    bed.pki.node("node-1")
    link = ControllerLink(
        [("127.0.0.1", ports[1]) for ports in bed.ports.values()],
        "node-1",
        bed.pki.directory / "node-1",
        lambda: hello("node-1"),
        server_name=CONTROLLER_NAME,
    )
    tasks = [asyncio.create_task(link.run()), asyncio.create_task(_swallow(link))]
    try:
        yield link
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _swallow(link: ControllerLink) -> None:
    async for _ in link.messages():
        pass


async def holder(bed: Bed) -> str:
    return str(json.loads((await bed.store.get(LEASE)).value)["spec"]["holderIdentity"])


def test_a_paused_leader_is_replaced_and_does_no_harm_when_it_wakes(tmp_path: Path) -> None:
    async def main() -> None:
        make_private_directory(tmp_path / "bed")
        async with running(tmp_path / "bed") as bed, node(bed):
            old = await bed.leader(*NAMES)
            new = next(name for name in NAMES if name != old)
            await bed.stands_by(new)
            await bed.deploy(new, "before", 2)  # every controller serves the API
            before = await bed.pods("before", 2)
            first_holder = await holder(bed)

            await bed.supervisor.kill(old, signal.SIGSTOP)
            assert await bed.leader(new) == new
            second_holder = await holder(bed)
            assert second_holder != first_holder
            await bed.deploy(new, "after", 3)  # the paused one will find this undone in its memory
            after = await bed.pods("after", 3)
            await bound(bed, after)
            watch = await bed.store.watch(await bed.store.revision())

            await bed.supervisor.kill(old, signal.SIGCONT)
            async with asyncio.timeout(PATIENCE):
                while (await bed.supervisor.status(old)).restarts == 0:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.1)
            await bed.stands_by(old)
            log = text_of((await bed.supervisor.status(old)).log)
            assert "starting anew" in log
            assert "Traceback" not in log
            assert await holder(bed) == second_holder
            assert await bed.pods("before", 2) == before
            assert await bed.pods("after", 3) == after
            # a node that has come back says so in a lease and in events
            beside = ("events", "leases")
            told = [event for event in await watch.next(0.5) if event.stored.key.resource not in beside]
            changed = [event for event in told if event.type is not EventType.MODIFIED]
            assert changed == [], "the one that woke up made or removed something"
            watch.close()

    asyncio.run(main())


def text_of(path: str) -> str:
    return Path(path).read_text()


async def bound(bed: Bed, pods: set[str]) -> None:
    """The pods have their node and each an address of its own: the new leader goes on where the old was."""
    async with asyncio.timeout(PATIENCE):
        while True:
            items = [json.loads(item.value) for item in (await bed.store.list("", "pods")).items]
            addresses = [pod.get("status", {}).get("podIP") for pod in items]
            if all(addresses):
                assert len(set(addresses)) == len(addresses)
                assert pods < {pod["metadata"]["uid"] for pod in items if pod["spec"]["nodeName"] == "node-1"}
                return
            await asyncio.sleep(0.1)
