"""`tsujiban up`: a whole cluster on this machine, or nothing at all.

Every step can be repeated; when one fails, what the earlier ones made is taken down again, so
that a person can mend the cause and simply try once more.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tsujiban.agent.config import AgentConfig
from tsujiban.controller.api.cells import items, words
from tsujiban.controller.config import ControllerConfig
from tsujiban.identity.files import make_private_directory, write_private
from tsujiban.local import credentials, preflight, remembered, routes, specs
from tsujiban.local.client import ApiError
from tsujiban.local.cluster import LocalCluster, Record, open_cluster
from tsujiban.local.down import down
from tsujiban.local.fabric import Fabric
from tsujiban.local.layout import API_PORT, CONTROLLER_ADDRESS, NODE_STREAM_PORT, Layout, node_names
from tsujiban.local.remembered import Remembered
from tsujiban.local.silence import last_words
from tsujiban.local.unreachable import Unreachable
from tsujiban.local.waiting import until
from tsujiban.resources.names import node_namespace
from tsujiban.resources.registry import resolve
from tsujiban.store.config import EtcdConfig, StoreConfig, open_store
from tsujiban.supervise.client import SupervisorClient

READY_SECONDS = 60.0
TOO_OFTEN = 4  # times that a controller has ended: it will not start this time either
Progress = Callable[[str], None]


class UpError(Exception):
    """The cluster could not be started; nothing is left of it."""


def up(
    name: str,
    nodes: int | None,
    progress: Progress,
    trust_domain: str | None = None,
    *,
    svid_lifetime: int = 3600,
    store: StoreConfig | None = None,
) -> LocalCluster:
    """Start a cluster and wait until its nodes are ready. `svid_lifetime` in seconds; `store` is where its
    objects live. What is None is as it was before, see `local.remembered`.

    Raises UpError, ValueError (a bad name or number; something that cannot be changed), PreflightError
    (missing tool or right), StoreError (etcd cannot be used).
    """
    layout = Layout(name)
    before = remembered.recall(layout)
    chosen = remembered.choose(layout, nodes, trust_domain, store)
    members = node_names(chosen.nodes)
    progress("checking this machine")
    preflight.check()
    preflight.check_free(name)
    if isinstance(chosen.store, EtcdConfig):
        progress("asking etcd")
        asyncio.run(_reach(layout, chosen.store))
    had_state = any((layout.controller_state / part).exists() for part in ("store.db", "ca"))  # not ours
    try:
        return _start(layout, members, chosen, svid_lifetime, progress)
    except BaseException:
        progress("taking down what was made")
        down(name, keep_state=had_state)
        if had_state and before is not None:
            remembered.remember(layout, before)  # what did not work is nothing to go on with
        raise


def _start(
    layout: Layout,
    nodes: list[str],
    chosen: Remembered,
    svid_lifetime: int,
    progress: Progress,
) -> LocalCluster:
    for root in (layout.run.parent, layout.state.parent):
        root.mkdir(mode=0o755, parents=True, exist_ok=True)
    make_private_directory(layout.run)
    make_private_directory(layout.state)
    remembered.remember(layout, chosen)
    port = _free_port()
    progress(f"laying the fabric: {len(nodes)} nodes")
    fabric = Fabric(layout.cluster)
    fabric.create()
    addresses = {node: fabric.add_node(node, number).address for number, node in enumerate(nodes, 1)}
    progress("making the certification authority and the nodes' tokens")
    credentials.make(layout, chosen.trust_domain, nodes, port)
    _configure(layout, addresses, chosen, svid_lifetime)
    record = Record(cluster=layout.cluster, nodes=tuple(nodes), api_port=port)
    write_private(layout.record, msgspec.json.encode(record))
    progress("starting the supervisor, the controller and the agents")
    _supervise(layout)
    asyncio.run(_launch(layout, nodes, port))
    cluster = open_cluster(layout.cluster)
    progress("waiting for the nodes")
    _wait_ready(cluster, nodes)
    progress("waiting for the routes between them")
    gaps = _wait_routes(cluster, nodes)
    if gaps:
        progress(f"going on without some: {'; '.join(gaps)}")
    return cluster


async def _reach(layout: Layout, store: EtcdConfig) -> None:
    """Find out now, and not by a controller that does not start, that etcd cannot be used."""
    opened = await open_store(store, layout.controller_state, layout.cluster)
    await opened.close()


def _free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _configure(layout: Layout, addresses: dict[str, str], chosen: Remembered, svid_lifetime: int) -> None:
    controller = ControllerConfig(
        cluster=layout.cluster,
        state_dir=str(layout.controller_state),
        trust_domain=chosen.trust_domain,
        api_names=("127.0.0.1", "localhost", CONTROLLER_ADDRESS),
        api_endpoints=(f"{CONTROLLER_ADDRESS}:{API_PORT}",),
        api_sockets=2,
        svid_lifetime=svid_lifetime,
        store=chosen.store,
    )
    write_private(layout.controller_config, msgspec.json.encode(controller))
    for node, address in addresses.items():
        make_private_directory(layout.node_run(node))
        agent = AgentConfig(
            cluster=layout.cluster,
            node=node,
            address=address,
            run_dir=str(layout.node_run(node)),
            state_dir=str(layout.node_state(node)),
            supervisor_socket=str(layout.supervisor_socket),
            join_file=str(layout.join_file(node)),
            controller_host=CONTROLLER_ADDRESS,
            controller_port=NODE_STREAM_PORT,
        )
        write_private(layout.agent_config(node), msgspec.json.encode(agent))


def _supervise(layout: Layout) -> None:
    """Start the supervisor, detached, and wait for its word that it answers."""
    argv = [sys.executable, "-I", "-m", "tsujiban.supervise"]
    argv += ["--socket", str(layout.supervisor_socket), "--run-dir", str(layout.run)]
    log = Path(layout.run, "supervisor.log").open("ab")  # noqa: SIM115  # the child keeps it
    child = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        cwd="/",
        start_new_session=True,
    )
    log.close()
    with child.stdout as answer:  # type: ignore[union-attr]  # it is a pipe
        said = answer.readline()
    if said != b"ready\n":
        raise UpError(f"the supervisor did not start: see {layout.run}/supervisor.log")


async def _launch(layout: Layout, nodes: list[str], port: int) -> None:
    async with SupervisorClient(layout.supervisor_socket) as supervisor:
        await supervisor.start(specs.controller(layout, port))
        for node in nodes:
            await supervisor.start(specs.agent(layout, node))


def _listed(cluster: LocalCluster) -> list[dict[str, Any]]:
    """The cluster's nodes; none while nobody answers."""
    try:
        with cluster.client() as client:
            found: list[dict[str, Any]] = client.list(resolve("nodes"))["items"]
    except (Unreachable, ApiError):
        return []
    return found


def _wait_ready(cluster: LocalCluster, nodes: list[str]) -> None:
    def ready() -> bool:
        up = {
            item["metadata"]["name"]
            for item in _listed(cluster)
            for c in items(item, "status.conditions")
            if c.get("type") == "Ready" and c.get("status") == "True"
        }
        return set(nodes) <= up

    def hopeless() -> bool:
        return cluster.process(specs.CONTROLLER).restarts >= TOO_OFTEN

    if not until(lambda: ready() or hopeless(), READY_SECONDS) or not ready():
        raise UpError(f"the cluster did not start: {_troubles(cluster)}")


def _wait_routes(cluster: LocalCluster, nodes: list[str]) -> list[str]:
    """Wait until every node has a route to the pods of every other; which are still missing."""
    gaps: list[str] = []

    def complete() -> bool:
        blocks = {item["metadata"]["name"]: words(item, "spec.podCIDRs") for item in _listed(cluster)}
        if not blocks:
            gaps[:] = ["the API does not answer"]
            return False
        known = {node: routes.known(node_namespace(cluster.layout.cluster, node)) for node in nodes}
        gaps[:] = routes.missing({node: blocks.get(node, []) for node in nodes}, known)
        return not gaps

    until(complete, READY_SECONDS)
    return gaps


def wait_well(cluster: LocalCluster, seconds: float = READY_SECONDS) -> str:
    """Wait until every component of the cluster says that it is well; what is not, or "".

    BIRD's sessions, for one, are up a moment after the nodes are ready."""
    ailing = ""

    def well() -> bool:
        nonlocal ailing
        try:
            with cluster.client() as client:
                found = client.status()
        except (Unreachable, ApiError) as error:
            ailing = str(error)
            return False
        sick = [one for one in found["components"] if not one["healthy"]]
        ailing = "; ".join(f"{one['node'] or 'cluster'} {one['name']}: {one['detail']}" for one in sick)
        return bool(found["healthy"])

    return "" if until(well, seconds) else ailing or "some component"


def _troubles(cluster: LocalCluster) -> str:
    """The last line of the log of each process that does not run well, for the error."""
    found = []
    for process in cluster.processes():
        if process.restarts or process.state != "running":
            found.append(f"{process.name}: {last_words(process)}")
    return "; ".join(found) or f"no process failed, and nodes are not ready after {READY_SECONDS:.0f} s"
