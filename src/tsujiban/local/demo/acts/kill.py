"""Act 9: everything that manages the bank is killed, one after the other, and nothing moves."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

from tsujiban.agent import nodeproxy
from tsujiban.agent.containers import process_name
from tsujiban.agent.proxy_init import RENEW
from tsujiban.agent.sandbox import sandbox_pid
from tsujiban.local.client import ApiError
from tsujiban.local.cluster import NotRunning
from tsujiban.local.demo.acts.hack import DATABASE, read_body, write_body
from tsujiban.local.demo.hands import PATIENCE, SOON_SECONDS
from tsujiban.local.demo.sampling import Sampler
from tsujiban.local.demo.stage import Stage
from tsujiban.local.demo.world import PUT, RANGE, World
from tsujiban.local.unreachable import Unreachable
from tsujiban.wire.sessions import SIDECAR

SAMPLES_EACH = 3  # samples of each kind that every phase must hold
INTERVAL = 0.04
SILENCE = 0.3  # the kernel says no by silence


async def nothing_moves(world: World, stage: Stage) -> None:
    """Sample an allowed and a denied connection while each component is killed and comes back."""
    summary, customer = await world.pod("summary"), await world.pod("customer")
    database, visitor = await world.pod("database"), await world.pod("visitor")
    node = database["spec"]["nodeName"]
    victims = {
        "the controller": "controller",
        f"the agent of {node}": f"{node}/agent",
        f"BIRD of {node}": f"{node}/bird",
    }
    if world.mesh == "sidecar":
        own = process_name(visitor["spec"]["nodeName"], visitor["metadata"]["uid"], SIDECAR)
        victims["the visitor's sidecar"] = own
    write = write_body(world.account, 1)
    allowed = Sampler("keep", "POST", DATABASE + RANGE, read_body(), INTERVAL, PATIENCE)
    denied = Sampler("fresh", "POST", DATABASE + PUT, write, INTERVAL, SILENCE)
    async with allowed.running(world, summary), denied.running(world, customer):
        await _more(world, allowed, denied)
        for title, name in victims.items():
            await _kill(world, stage, title, name, allowed, denied)
    stage.check(
        "the long-lived connection",
        expected="one connection, every sample HTTP 200",
        observed=f"{len(allowed.samples)} samples, {len(allowed.good)} good, {len(allowed.ports)} connection",
        ok=len(allowed.good) == len(allowed.samples) > 0 and len(allowed.ports) == 1,
    )
    stage.check(
        "the denied connection",
        expected="denied at every sample",
        observed=f"{len(denied.samples)} samples, {len(denied.good)} got through",
        ok=len(denied.samples) > 0 and not denied.good,
    )
    if world.mesh == "node":
        again = Sampler("fresh", "POST", DATABASE + RANGE, read_body(), INTERVAL, PATIENCE)
        denied = Sampler("fresh", "POST", DATABASE + PUT, write, INTERVAL, SILENCE)
        async with again.running(world, summary), denied.running(world, customer):
            await _more(world, again, denied)
            await _take_over(world, stage, node, again, denied)
            await _kill_proxy(world, stage, node, again, denied)


async def _take_over(world: World, stage: Stage, node: str, allowed: Sampler, denied: Sampler) -> None:
    """A new Envoy takes the node's pods over, and no new connection notices. (HTTP connections that are open
    the old one ends after an answer that says so.)"""
    stage.step(f"a new Envoy takes over on {node}")
    name = nodeproxy.process_name(node)
    first = len(allowed.samples), len(denied.samples)
    keeper = await asyncio.to_thread(_keeper, world, name)
    before = children(keeper)
    os.kill(keeper, RENEW)

    async def both() -> bool | None:
        return True if len(children(keeper)) > len(before) else None

    await world.until(f"a second Envoy on {node}", SOON_SECONDS, both)
    await world.until("the cluster converged after the take-over", SOON_SECONDS, lambda: healthy(world))
    await _more(world, allowed, denied)
    good, bad = allowed.samples[first[0] :], denied.samples[first[1] :]
    lost = sum(sample["status"] != 200 for sample in good)
    leaked = sum(sample["status"] == 200 for sample in bad)
    stage.check(
        f"a new Envoy takes over on {node}",
        expected="nothing lost, nothing let through",
        observed=f"{lost} of {len(good)} allowed samples lost, "
        f"{leaked} of {len(bad)} denied ones let through",
        ok=lost == 0 and leaked == 0,
    )


async def _kill_proxy(world: World, stage: Stage, node: str, allowed: Sampler, denied: Sampler) -> None:
    """Its pods are closed until it is back, and never open."""
    name = nodeproxy.process_name(node)
    first = len(denied.samples)
    stage.step(f"kill -9 the Envoy of {node}")
    before = await asyncio.to_thread(world.cluster.process, name)
    os.kill(before.pid, signal.SIGKILL)
    died = time.time()

    async def back() -> int | None:
        now = await asyncio.to_thread(world.cluster.process, name)
        return now.pid if now.state == "running" and now.restarts > before.restarts else None

    pid = await world.until(f"the Envoy of {node} restarted", SOON_SECONDS, back)
    await world.until("the cluster converged after it", SOON_SECONDS, lambda: healthy(world))
    await world.open_page()
    opened = time.time()
    begun = len(allowed.samples)
    await _more(world, allowed, denied)
    good = [sample["status"] for sample in allowed.samples[begun + 1 :]]  # the first may have begun before
    leaked = sum(sample["status"] == 200 for sample in denied.samples[first:])
    stage.check(
        f"kill -9 the Envoy of {node} (pid {before.pid})",
        expected="comes back, and serves its pods again; nothing let through",
        observed=f"back as pid {pid}, the page answers after {opened - died:.1f} s; "
        f"{good.count(200)} of {len(good)} allowed samples answered then, "
        f"{leaked} of {len(denied.samples) - first} denied ones let through",
        ok=bool(good) and good.count(200) == len(good) and leaked == 0,
    )


def _keeper(world: World, name: str) -> int:
    """The first process of an Envoy's sandbox, which starts another Envoy when it is told to."""
    return sandbox_pid(world.cluster.process(name).pid, world.sandbox_user(name))


def children(pid: int) -> list[int]:
    """Processes of a process, now."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def _kill(world: World, stage: Stage, title: str, name: str, allowed: Sampler, denied: Sampler) -> None:
    stage.step(f"kill -9 {title}")
    before = await asyncio.to_thread(world.cluster.process, name)
    first = len(allowed.samples), len(denied.samples)
    victim = await asyncio.to_thread(target, world, name, before.pid)
    died = time.time()
    os.kill(victim, signal.SIGKILL)

    async def sampled() -> bool | None:
        return True if any(sample["time"] > died for sample in allowed.samples[first[0] :]) else None

    async def back() -> int | None:
        try:
            now = await asyncio.to_thread(world.cluster.process, name)
        except NotRunning:
            return None
        return now.pid if now.state == "running" and now.restarts > before.restarts else None

    await world.until("a sample", SOON_SECONDS, sampled)  # before anybody looks whether it is back
    pid = await world.until(f"{title} restarted", SOON_SECONDS, back)
    rose = time.time()
    await world.until(f"the cluster converged after {title}", SOON_SECONDS, lambda: healthy(world))
    converged = time.time()
    await _more(world, allowed, denied)
    good, bad = allowed.samples[first[0] :], denied.samples[first[1] :]
    lost = sum(sample["status"] != 200 for sample in good)
    leaked = sum(sample["status"] == 200 for sample in bad)
    meanwhile = sum(died < sample["time"] < rose for sample in good)
    stage.check(
        f"kill -9 {title} (pid {victim})",
        expected="comes back and converges; nothing lost, nothing let through",
        observed=f"back as pid {pid} after {rose - died:.1f} s, converged after {converged - died:.1f} s; "
        f"{lost} of {len(good)} allowed samples lost ({meanwhile} taken before it was seen again), "
        f"{leaked} of {len(bad)} denied ones let through",
        ok=lost == 0 and leaked == 0 and meanwhile > 0,
    )


def target(world: World, name: str, pid: int) -> int:
    """Which process to kill: of a sandbox, the program in it rather than the one that built it."""
    if not name.endswith("/sidecar"):
        return pid
    return sandbox_pid(pid, world.sandbox_user(name))


async def healthy(world: World) -> bool | None:
    """True when every component says that it is well."""
    try:
        status = await asyncio.to_thread(world.client.status)
    except (Unreachable, ApiError):
        return None
    return True if status["healthy"] else None


async def _more(world: World, *samplers: Sampler) -> None:
    """Wait for a few more samples of each."""
    wanted = [len(sampler.samples) + SAMPLES_EACH for sampler in samplers]

    async def enough() -> bool | None:
        done = all(len(sampler.samples) >= count for sampler, count in zip(samplers, wanted, strict=True))
        return True if done else None

    await world.until("samples", SOON_SECONDS, enough)
