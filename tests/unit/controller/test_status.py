"""The report says of every component what was last heard, and of a silent node that it is silent."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tsujiban.controller.config import ControllerConfig
from tsujiban.controller.distribution import Progress
from tsujiban.controller.plane import Plane
from tsujiban.controller.status import STALE_SECONDS, StatusReport
from tsujiban.controller.world import NODES, Json, Ref
from tsujiban.store.protocol import Key
from tsujiban.store.sqlite import SqliteStore
from tsujiban.wire.messages import Component, NodeStatus

AGENT = NodeStatus(components=(Component(name="agent", healthy=True, detail="fine"),))


def report(
    tmp_path: Path,
    *,
    connected: bool,
    heard: float | None,
    synced: bool = True,
    role: str = "",
    streams: frozenset[str] = frozenset(),
    stored: tuple[str, ...] = (),
    trouble: str = "",
) -> Json:
    async def run() -> Json:
        store = await SqliteStore.open(tmp_path / "store.db")
        try:
            plane = Plane(ControllerConfig(cluster="t", state_dir=str(tmp_path)), store, "pem")
            plane.loop.world.put(Ref(*NODES, "", "n1"), {"metadata": {"name": "n1"}})
            plane.distributor.nodes["n1"] = Progress(connected=connected)
            if heard is not None:
                plane.components["n1"] = (heard, AGENT)
            for name in stored:
                await store.create(
                    Key("", "nodes", "", name), b'{"metadata": {"name": "%s"}}' % name.encode()
                )
            if synced:
                plane.loop.synced.set()
            return await StatusReport(plane, 1234.0, store, lambda: role, lambda: streams, lambda: trouble)()
        finally:
            await store.close()

    return asyncio.run(run())


def rows(found: Json) -> list[tuple[str, str, bool]]:
    return [(row["node"], row["name"], row["healthy"]) for row in found["components"]]


def test_all_is_well(tmp_path: Path) -> None:
    found = report(tmp_path, connected=True, heard=time.time())
    assert found["healthy"]
    assert rows(found) == [("", "controller", True), ("", "store", True), ("n1", "agent", True)]
    controller = found["components"][0]
    assert controller["certificate_expires"] == 1234.0
    assert controller["rss_bytes"] > 1_000_000
    assert controller["detail"].endswith("1/1 nodes")


def test_a_node_that_is_away_or_silent_is_not_healthy(tmp_path: Path) -> None:
    for connected, heard in ((False, time.time()), (True, None), (True, time.time() - STALE_SECONDS - 1)):
        found = report(tmp_path, connected=connected, heard=heard)
        assert not found["healthy"]
        assert ("n1", "agent", False) in rows(found)


def test_a_controller_that_has_not_read_its_store_is_not_healthy(tmp_path: Path) -> None:
    assert not report(tmp_path, connected=True, heard=time.time(), synced=False)["healthy"]


def test_a_controller_that_stands_by_is_healthy_and_says_so(tmp_path: Path) -> None:
    found = report(tmp_path, connected=True, heard=time.time(), synced=False, role="stands by for two")
    assert found["components"][0]["healthy"]
    assert found["components"][0]["detail"] == "stands by for two"
    found = report(tmp_path, connected=True, heard=time.time(), role="leads")
    assert found["components"][0]["detail"].startswith("leads; revision")


def test_a_controller_that_stands_by_tells_of_the_nodes_that_have_a_stream_to_it(tmp_path: Path) -> None:
    asked = {"connected": False, "synced": False, "role": "stands by for two", "stored": ("n1", "n2")}
    found = report(tmp_path / "a", heard=time.time(), streams=frozenset({"n1"}), **asked)  # type: ignore[arg-type]
    assert rows(found)[2:] == [("n1", "agent", True), ("n2", "agent", False)]
    found = report(tmp_path / "b", heard=time.time(), **asked)  # type: ignore[arg-type]
    assert rows(found)[2:] == [("n1", "agent", False), ("n2", "agent", False)]


def test_a_list_of_revoked_certificates_that_says_nothing_is_a_problem(tmp_path: Path) -> None:
    found = report(tmp_path, connected=True, heard=time.time(), trouble="line 2: nonsense")
    assert not found["healthy"]
    assert ("", "revocations", False) in rows(found)
