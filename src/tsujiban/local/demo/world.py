"""The bank as the acts know it: its page, its identities, what its posts decided."""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import NamedTuple

from tsujiban.controller.config import load
from tsujiban.local.client import Client
from tsujiban.local.cluster import LocalCluster
from tsujiban.local.demo import manifests
from tsujiban.local.demo.capture import Capture
from tsujiban.local.demo.hands import NAMESPACE, SOON_SECONDS, SYSTEM_PYTHON, Answer, Hands, Json
from tsujiban.resources.names import workload_identity

OUTSIDE = "outside"
MESH_OFF = "mesh-off"
RANGE = "/v3/kv/range"
PUT = "/v3/kv/put"
KEY = "YWNjb3VudHMvMTA0Mg=="  # accounts/1042 in base64, as etcd's gateway takes keys
HOLDER = "Aoi Tanaka"
OPENING_BALANCE = "EUR 12,847.56"


class Mark(NamedTuple):
    """A moment between flow records."""

    sequence: int  # of the newest record then
    time_ns: int


class World(Hands):
    """One running bank, and a tap on its wire."""

    def __init__(
        self, cluster: LocalCluster, client: Client, capture: Capture, mesh: str = "sidecar"
    ) -> None:
        super().__init__(cluster, client)
        self.mesh = mesh  # how the bank takes part: `sidecar`, or `node`
        self.capture = capture
        self.nodes = cluster.record.nodes
        self.trust_domain = load(cluster.layout.controller_config).trust_domain
        self.account: Json = {}  # as the database holds it, once an act has read it

    def identity(self, account: str) -> str:
        """SPIFFE ID of a service account of the bank."""
        return workload_identity(self.trust_domain, NAMESPACE, account)

    # ------------------------------------------------------------------ the bank

    async def page(self, namespace: str = NAMESPACE) -> Answer:
        """The page, as the visitor's browser gets it."""
        return await self.request(await self.pod("visitor", namespace), "GET", "http://customer:8080/")

    async def open_page(self, namespace: str = NAMESPACE) -> Answer:
        """The page, once it answers with an account."""

        async def look() -> Answer | None:
            answer = await self.page(namespace)
            return answer if answer.status == 200 else None

        return await self.until("the page of the bank", SOON_SECONDS, look)

    async def restore(self) -> None:
        """Have the teller write the opening balance again."""
        await self.inside(
            await self.pod("database"), [SYSTEM_PYTHON, "/apps/teller.py", "restore"], container="teller"
        )

    # ------------------------------------------------------------------ decisions

    async def mark(self) -> Mark:
        """This moment, for `decision`."""
        newest = await self._flows(limit="1")
        return Mark(newest[-1]["sequence"] if newest else 0, time.time_ns())

    async def _flows(self, **parameters: str) -> list[Json]:
        return await asyncio.to_thread(lambda: list(self.client.flows(parameters=parameters)))

    async def find_decision(self, since: Mark, **wanted: object) -> Json | None:
        """The first flow record of a decision after `since` whose fields are as wanted, if it is there."""
        for flow in await self._flows(since=str(since.sequence)):
            late = flow["time_ns"] >= since.time_ns  # records come in batches, some time later
            if late and all(flow.get(key, "") == value for key, value in wanted.items()):
                return flow
        return None

    async def decision(self, since: Mark, **wanted: object) -> Json:
        """As `find_decision`; waits for it."""
        what = ", ".join(f"{key} {value}" for key, value in wanted.items())
        return await self.until(
            f"a flow record with {what}", SOON_SECONDS, lambda: self.find_decision(since, **wanted)
        )

    async def explain(
        self, source: str, destination: str, *, port: int, method: str = "", path: str = ""
    ) -> Json:
        """What `tsujiban explain` says of a flow."""
        words = ["explain", source, destination, "--port", str(port), "-o", "json"]
        words += ["--method", method, "--path", path] if method else []
        found: Json = json.loads(await self.tsujiban(*words))
        return found


def balance(answer: Answer) -> str:
    """The balance that a page shows, as `money` writes it."""
    found = re.search(r'id="balance" data-minor="(-?\d+)"', answer.body)
    return money(int(found[1])) if found else "no balance is shown"


def money(minor: int) -> str:
    """An amount in minor units, in words."""
    return f"EUR {minor / 100:,.2f}"


def example(name: str) -> str:
    """Path of one of the bank's files."""
    return str(manifests.folder() / name)
