"""Acts 7 and 8: the breached insider, and the outsider without encryption."""

from __future__ import annotations

import re

from tsujiban.local.demo.acts.hack import DATABASE, hack, read_body
from tsujiban.local.demo.hands import DENIED_PATIENCE, address
from tsujiban.local.demo.stage import Stage
from tsujiban.local.demo.world import OPENING_BALANCE, OUTSIDE, PUT, RANGE, World, balance

REQUEST_ID = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
SERVICES = (("customer", 8080, "/"), ("summary", 8080, "/accounts/1042"), ("database", 2379, "/version"))


async def insider(world: World, stage: Stage) -> None:
    """Code inside summary, with the right key and the right address, writes; then reads."""
    summary, database = await world.pod("summary"), await world.pod("database")
    said = await world.explain("default/summary", "default/database", port=2379, method="POST", path=PUT)
    rule = str(said["decided_by"][0])
    stage.step("inside summary: writing to the database")
    since = await world.mark()
    answer = await hack(world, "summary")
    stage.check("summary writes", expected="HTTP 403", observed=answer, ok=answer.status == 403)
    stage.check(
        "what the intruder is told",
        expected="a request id, not the rule",
        observed=answer.body.strip()[:120] or "nothing",
        ok=rule not in answer.body and bool(REQUEST_ID.search(answer.body)),
    )
    ends = {"source": address(summary), "destination": address(database), "path": PUT}
    flow = await world.decision(since, post="proxy", verdict="deny", **ends)
    stage.same("the proxy's record: rule", rule, flow["rule"], rule=flow["rule"], post="proxy")
    answer = await world.request(summary, "POST", DATABASE + RANGE, read_body())
    stage.check("summary reads", expected="HTTP 200", observed=answer, ok=answer.status == 200)
    stage.same("the balance", OPENING_BALANCE, balance(await world.page()))


async def plaintext(world: World, stage: Stage) -> None:
    """A pod outside the mesh calls every service of the bank in the clear."""
    thief = await world.named_pod("thief", OUTSIDE)
    for name, port, path in SERVICES:
        stage.step(f"plain HTTP to {name}")
        since = await world.mark()
        url = f"http://{name}.default:{port}{path}"
        answer = await world.request(thief, "GET", url, seconds=DENIED_PATIENCE)
        destination = address(await world.pod(name))
        flow = await world.decision(since, verdict="deny", source=address(thief), destination=destination)
        stage.check(
            f"plain HTTP to {name}",
            expected="refused",
            observed=answer,
            ok=not answer.status,
            rule=flow["rule"],
            post=flow["post"],
        )
    await world.delete("pod", OUTSIDE, "thief")
