"""Two real BIRDs on a fabric: what they tell each other, and what a killed one leaves in place."""

import asyncio
import signal
from pathlib import Path

import pytest
from tests.support import machine
from tests.support.machine import until_async
from tests.support.wait import PATIENCE, until

from tsujiban.local.fabric import Fabric
from tsujiban.network import bird, birdc, links, namespaces
from tsujiban.resources.names import pod_namespace
from tsujiban.supervise.client import SupervisorClient
from tsujiban.supervise.netns import call_in, namespace_path

pytestmark = pytest.mark.system
BLOCKS = {1: ("10.244.0.0/26", "fd00::/122"), 2: ("10.244.0.64/26", "fd00::40/122")}


def _config(fabric: Fabric, number: int) -> str:
    own = fabric.node(f"node-{number}", number)
    peer = fabric.node(f"node-{3 - number}", 3 - number)
    return bird.render(
        bird.BgpNode(
            router_id=own.address,
            addresses=(own.address, own.address6),
            blocks=BLOCKS[number],
            pools=("10.244.0.0/16", "fd00::/64"),
            peers=(bird.BgpPeer(peer.node, peer.address), bird.BgpPeer(peer.node, peer.address6)),
        )
    )


async def _start(fabric: Fabric, supervisor: SupervisorClient, run_dir: Path) -> None:
    for number in (1, 2):
        node = fabric.node(f"node-{number}", number)
        config = run_dir / f"{number}.conf"
        await asyncio.to_thread(config.write_text, _config(fabric, number))
        await supervisor.start(
            bird.process(
                f"{node.node}/bird", str(config), f"{run_dir}/{number}.ctl", namespace_path(node.namespace)
            )
        )
    await until_async(lambda: _established(run_dir / "1.ctl"), PATIENCE)


async def _established(control: Path) -> bool:
    try:
        sessions = [state for state in await birdc.show_protocols(control) if state.kind == "BGP"]
    except birdc.BirdcError:
        return False
    return len(sessions) == 2 and all(state.established for state in sessions)


def _routes(fabric: Fabric, number: int) -> str:
    namespace = fabric.node(f"node-{number}", number).namespace
    return machine.ip(namespace, "route") + machine.ip(namespace, "-6", "route")


def _add_pod(fabric: Fabric, number: int, uid: str, *addresses: str) -> links.PodLink:
    name = pod_namespace(fabric.cluster, uid)
    namespaces.create(name)
    link = links.PodLink(uid=uid, namespace=name, addresses=addresses)
    call_in(namespace_path(fabric.node(f"node-{number}", number).namespace), lambda: links.add(link))
    return link


def test_blocks_and_borrowed_addresses_are_exchanged_and_nothing_else() -> None:
    async def body(fabric: Fabric, socket: Path, run_dir: Path) -> None:
        async with SupervisorClient(socket) as supervisor:
            await _start(fabric, supervisor, run_dir)
            namespace = fabric.node("node-2", 2).namespace
            machine.ip(namespace, "route", "add", "198.51.100.0/24", "via", "172.31.255.1")
            _add_pod(fabric, 2, "own", "10.244.0.70", "fd00::46")
            _add_pod(fabric, 2, "borrowed", "10.244.9.9")
            _add_pod(fabric, 2, "foreign", "192.0.2.1")
            wanted = ("10.244.0.64/26 via 172.31.255.12", "10.244.9.9 via 172.31.255.12", "fd00::40/122 via")
            await until(lambda: all(route in _routes(fabric, 1) for route in wanted))
            routes = _routes(fabric, 1)
            assert "blackhole 10.244.0.0/26" in routes
            assert "blackhole fd00::/122" in routes
            for absent in ("10.244.0.70", "192.0.2.1", "198.51.100.0"):
                assert absent not in routes
            call_in(namespace_path(namespace), lambda: links.delete("borrowed"))
            await until(lambda: "10.244.9.9" not in _routes(fabric, 1))

    with machine.fabric(2) as fabric, machine.supervisor() as (socket, run_dir):
        asyncio.run(body(fabric, socket, run_dir))


def test_routes_stay_while_a_killed_bird_is_away() -> None:
    async def body(fabric: Fabric, socket: Path, run_dir: Path) -> None:
        async with SupervisorClient(socket) as supervisor:
            await _start(fabric, supervisor, run_dir)
            wanted = "10.244.0.64/26 via 172.31.255.12"
            await until(lambda: wanted in _routes(fabric, 1))
            await until(lambda: "10.244.0.0/26 via 172.31.255.11" in _routes(fabric, 2))
            old = (await supervisor.status("node-2/bird")).pid
            await supervisor.kill("node-2/bird", signal.SIGKILL)
            back = 0
            async with asyncio.timeout(PATIENCE):
                while back < 5:
                    assert wanted in _routes(fabric, 1)
                    assert "10.244.0.0/26 via 172.31.255.11" in _routes(fabric, 2)
                    state = await supervisor.status("node-2/bird")
                    up = state.pid not in (0, old) and await _established(run_dir / "2.ctl")
                    back += up
                    await asyncio.sleep(0.05)

    with machine.fabric(2) as fabric, machine.supervisor() as (socket, run_dir):
        asyncio.run(body(fabric, socket, run_dir))


def test_a_new_configuration_is_taken_and_a_bad_one_refused() -> None:
    async def body(fabric: Fabric, socket: Path, run_dir: Path) -> None:
        async with SupervisorClient(socket) as supervisor:
            await _start(fabric, supervisor, run_dir)
            text = _config(fabric, 2).replace("route 10.244.0.64/26", "route 10.244.1.0/26")
            await asyncio.to_thread((run_dir / "2.conf").write_text, text)
            await birdc.configure(run_dir / "2.ctl")
            await until(lambda: "10.244.1.0/26" in _routes(fabric, 1))
            assert await _established(run_dir / "1.ctl")
            await asyncio.to_thread((run_dir / "2.conf").write_text, "nonsense;")
            with pytest.raises(birdc.BirdcError, match="syntax error"):
                await birdc.configure(run_dir / "2.ctl")
            assert await _established(run_dir / "1.ctl")

    with machine.fabric(2) as fabric, machine.supervisor() as (socket, run_dir):
        asyncio.run(body(fabric, socket, run_dir))
