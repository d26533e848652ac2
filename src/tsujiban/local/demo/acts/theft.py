"""Act 6: the right key from the wrong address, and the right address without the key."""

from __future__ import annotations

import json
import re

from tsujiban.local.demo import manifests
from tsujiban.local.demo.forgery import self_signed
from tsujiban.local.demo.hands import NAMESPACE, PATIENCE, SOON_SECONDS, Json, address
from tsujiban.local.demo.loot import Loot
from tsujiban.local.demo.stage import Stage
from tsujiban.local.demo.steal import steal
from tsujiban.local.demo.world import OUTSIDE, World
from tsujiban.proxy.names import ALPN
from tsujiban.proxy.site import PROXY_MARK
from tsujiban.wire.sessions import SIDECAR

SILENCE = 2.0  # seconds after which no word is one: the kernel's no, or that a server waits for us to speak
ALERT = re.compile(r"\[SSL: \w*?ALERT_(\w+)\]")  # as Python's ssl names an alert that it received


async def stolen_keys(world: World, stage: Stage) -> None:
    """Steal summary's key out of its own Envoy's hands and carry it to the other node."""
    summary, database = await world.pod("summary"), await world.pod("database")
    elsewhere = next(node for node in world.nodes if node != summary["spec"]["nodeName"])
    stage.step(f"a pod without sidecar on {elsewhere}")
    await world.apply(manifests.on_node(manifests.objects("attack/thief.yaml"), elsewhere))
    thief = await world.named_pod("thief", OUTSIDE)

    whose = "its sidecar's" if world.mesh == "sidecar" else "its node's Envoy's"
    stage.step(f"root reads summary's key from {whose} socket")
    loot = await steal(world.cluster, summary, world.mesh)
    stage.same("whose certificate was stolen", world.identity("summary"), loot.owner)

    own = await speak(world, summary, database, loot, silence=SILENCE, as_proxy=True)
    stage.check(
        "the key, from summary's own address",
        expected="good: the handshake is accepted",
        observed=describe(own),
        ok=accepted(own),
    )
    said = await world.explain(f"{OUTSIDE}/thief", "default/database", port=2379)
    rule = str(said["decided_by"][0])
    since = await world.mark()
    result = await speak(world, thief, database, loot, seconds=SILENCE)
    stage.check(
        "the same key, from the thief's address",
        expected="no connection at all",
        observed=describe(result),
        ok=result["stage"] == "connect",
    )
    ends = {"destination": address(database), "destination_port": 2379}
    flow = await world.decision(since, post="kernel", verdict="deny", source=address(thief), **ends)
    stage.same("the kernel's record: rule", rule, flow["rule"], rule=flow["rule"], post="kernel")

    await _forged_label(world, stage, database, ends)


async def _forged_label(world: World, stage: Stage, database: Json, ends: Json) -> None:
    stage.step("a pod with summary's label and account, and no key")
    await world.apply(manifests.objects("attack/forger.yaml"))
    forger = await world.named_pod("forger", NAMESPACE)
    since = await world.mark()
    identity = world.identity("summary")

    async def admitted() -> Json | None:
        found = await speak(world, forger, database, None)
        return found if found["stage"] != "connect" else None

    without = await world.until("the kernel admits the forged pod", SOON_SECONDS, admitted)
    wanted = {"post": "kernel", "verdict": "allow", "direction": "ingress", "source": address(forger)}
    flow = await world.decision(since, **wanted, **ends)
    stage.check(
        "the kernel, for the forged label",
        expected="admits the address",
        observed="admitted",
        ok=flow["rule"] == "default/database-read-only/ingress/0",
        rule=flow["rule"],
        post="kernel",
    )
    stage.check(
        "TLS without a certificate",
        expected="refused by TLS",
        observed=describe(without),
        ok=refused(without),
    )
    forged = await speak(world, forger, database, self_signed(identity))
    stage.check(
        "TLS with a self-made certificate for summary's identity",
        expected="refused by TLS",
        observed=describe(forged),
        ok=refused(forged),
    )
    await world.delete("pod", NAMESPACE, "forger")


async def speak(
    world: World,
    pod: Json,
    database: Json,
    loot: Loot | None,
    *,
    seconds: float = PATIENCE,
    silence: float = PATIENCE,
    as_proxy: bool = False,
) -> Json:
    """Speak TLS to the database from inside a pod, if asked for as its Envoy does, whom no redirect leads
    back to itself; how far it got. It waits `seconds` for a connection, and `silence` for the first word."""
    given = {
        "address": address(database),
        "port": 2379,
        "seconds": seconds,
        "silence": silence,
        "alpn": [ALPN],
        "send": "",
        "certificate": loot.chain if loot else "",
        "key": loot.key if loot else "",
        "mark": PROXY_MARK if as_proxy and world.mesh == "node" else 0,
    }
    stdin = json.dumps(given).encode()
    if as_proxy and world.mesh == "node":
        return await world.script_as_root(pod, "tls", stdin=stdin)
    return await world.script(pod, "tls", stdin=stdin, container=SIDECAR if as_proxy else "")


def accepted(result: Json) -> bool:
    """Whether the server took the client's certificate: it answered, or waits for us to speak."""
    return result["stage"] == "answered" or (
        result["stage"] == "answer" and "TimeoutError" in result["error"]
    )


def refused(result: Json) -> bool:
    """Whether TLS itself refused: a TLS alert, after the connection was there."""
    return result["stage"] in ("handshake", "answer") and bool(ALERT.search(result["error"]))


def describe(result: Json) -> str:
    """A result in words."""
    if accepted(result):
        return f"{result['version']}, accepted"
    if alert := ALERT.search(result["error"]):
        return f"refused, TLS alert: {alert[1].replace('_', ' ').lower()}"
    words = {"connect": "no connection", "handshake": "handshake failed", "answer": "handshake done"}
    text = words.get(result["stage"], f"{result['version']}, {result['stage']}")
    return f"{text} ({result['error']})" if result["error"] else text
