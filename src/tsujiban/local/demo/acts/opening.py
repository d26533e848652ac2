"""Acts 1 and 10: the bank is open, before the attacks and after them."""

from __future__ import annotations

from tsujiban.local.demo import manifests
from tsujiban.local.demo.hands import NAMESPACE, WAIT, Json, address
from tsujiban.local.demo.stage import Stage
from tsujiban.local.demo.world import HOLDER, OPENING_BALANCE, World, balance, example

# the connections that one look at the page makes
HOPS = (("visitor", "customer", 8080), ("customer", "summary", 8080), ("summary", "database", 2379))


async def open_for_business(world: World, stage: Stage) -> None:
    """Deploy the bank; look at the page; read in the access log who spoke to whom."""
    if world.mesh == "node":
        stage.step(f"label namespace {NAMESPACE}: one Envoy for all pods of a node")
        await world.apply([manifests.served_by_nodes(NAMESPACE)])
    stage.step("tsujiban apply -f apps.yaml -f bank.yaml --wait")
    await world.tsujiban("apply", "-f", example("apps.yaml"), "-f", example("bank.yaml"), *WAIT)
    stage.step("waiting for the page to answer")
    await world.open_page()
    since = await world.mark()
    await _look(world, stage)
    for source, destination, port in HOPS:
        wanted = {"post": "proxy", "verdict": "allow", "direction": "ingress", "destination_port": port}
        wanted |= {"destination": address(await world.pod(destination))}
        flow: Json = await world.decision(since, **wanted)
        expected = world.identity(source)
        secure = flow.get("tls", "") in ("TLSv1.3", "1.3") and flow.get("peer") == expected
        stage.check(
            f"{source} → {destination}",
            expected=f"TLS 1.3, peer {expected}",
            observed=f"{flow.get('tls') or 'no TLS'}, peer {flow.get('peer') or 'unknown'}",
            ok=secure,
            rule=flow.get("rule", ""),
            post="proxy",
        )


async def still_open(world: World, stage: Stage) -> None:
    """Look at the page once more."""
    await _look(world, stage)


async def _look(world: World, stage: Stage) -> None:
    answer = await world.page()
    shown = HOLDER in answer.body
    stage.check(
        "the page",
        expected=f"HTTP 200, the account of {HOLDER}",
        observed=f"{answer}, the account {'is' if shown else 'is not'} shown",
        ok=answer.status == 200 and shown,
    )
    stage.same("the balance", OPENING_BALANCE, balance(answer))
