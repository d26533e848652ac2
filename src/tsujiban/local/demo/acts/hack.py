"""Acts 3, 4 and 5: the hack without policy, the policy, the same hack."""

from __future__ import annotations

import base64
import json
import re

from tsujiban.local.demo import doors
from tsujiban.local.demo.hands import DENIED_PATIENCE, PATIENCE, SOON_SECONDS, WAIT, Answer, Json, address
from tsujiban.local.demo.stage import Stage
from tsujiban.local.demo.world import KEY, OPENING_BALANCE, PUT, RANGE, World, balance, example, money

DATABASE = "http://database:2379"
STOLEN_BALANCE = 1300  # what the attacker leaves


def write_body(account: Json, minor: int) -> str:
    """etcd's put, which sets the balance."""
    value = base64.b64encode(json.dumps({**account, "balance": minor}, ensure_ascii=False).encode())
    return json.dumps({"key": KEY, "value": value.decode()})


def read_body() -> str:
    """etcd's range, which reads the account."""
    return json.dumps({"key": KEY})


async def hack(world: World, app: str = "customer", seconds: float = PATIENCE) -> Answer:
    """What code inside a pod does to the database."""
    body = write_body(world.account, STOLEN_BALANCE)
    return await world.request(await world.pod(app), "POST", DATABASE + PUT, body, seconds)


async def undefended(world: World, stage: Stage) -> None:
    """Change a balance from inside customer; look at the page; put it right again."""
    stage.step("inside customer: reading, then writing the database")
    pod = await world.pod("customer")
    answer = await world.request(pod, "POST", DATABASE + RANGE, read_body())
    world.account = json.loads(base64.b64decode(json.loads(answer.body)["kvs"][0]["value"]))
    answer = await hack(world)
    stage.check(
        "customer writes to the database",
        expected="HTTP 200: it works",
        observed=answer,
        ok=answer.status == 200,
    )
    stage.same("the balance on the page", money(STOLEN_BALANCE), balance(await world.page()))
    await world.restore()
    stage.same("the balance, restored", OPENING_BALANCE, balance(await world.page()))


async def policy_on(world: World, stage: Stage) -> None:
    """Apply the policy and wait until it is enforced."""
    stage.step("tsujiban apply -f policy.yaml --wait")
    said = await world.tsujiban("apply", "-f", example("policy.yaml"), *WAIT)
    found = re.search(r"enforced on (\d+)/(\d+) nodes in (\d+) ms", said)
    everywhere = found is not None and found[1] == found[2] == str(len(world.nodes))
    stage.check(
        "apply --wait",
        expected=f"enforced on {len(world.nodes)}/{len(world.nodes)} nodes, and how long that took",
        observed=found[0] if found else said.strip(),
        ok=everywhere,
    )


async def defended(world: World, stage: Stage) -> None:
    """The hack again: refused by the kernel; and, with the kernel opened by hand, by the proxy."""
    customer, database = await world.pod("customer"), await world.pod("database")
    ends = {
        "source": address(customer),
        "destination": address(database),
        "destination_port": 2379,
        "direction": "ingress",
    }
    rule = await _explained(world, stage)

    stage.step("the same hack")
    await _refused(world, stage, "customer writes to the database", "kernel", rule, ends)

    stage.step("root on the node opens the kernel for customer by hand")
    with doors.opened(world.cluster.layout.cluster, database, await world.pod("summary"), customer) as door:
        title = f"the same, with {', '.join(door.push())} forged in the kernel"
        await _refused(world, stage, title, "proxy", rule, ends, door)
    stage.same("the balance", OPENING_BALANCE, balance(await world.page()))


async def _refused(
    world: World, stage: Stage, title: str, post: str, rule: str, ends: Json, door: doors.Door | None = None
) -> None:
    """Hack until a post's record of the refusal is there; no attempt may succeed. `door` is pushed open
    for each.

    One attempt need not make a record of its own: the sidecar may send it over a connection that it
    still holds from before, or is still opening. An attacker tries again, too.
    """
    since = await world.mark()
    answers: list[Answer] = []

    async def attempt() -> Json | None:
        if door is not None:
            door.push()
        answers.append(await hack(world, seconds=DENIED_PATIENCE))
        if answers[-1].status == 200:
            return {}
        return await world.find_decision(since, post=post, verdict="deny", **ends)

    flow = await world.until(f"the {post}'s record of the hack", SOON_SECONDS, attempt)
    attempts = f"{len(answers)} attempts" if len(answers) > 1 else "1 attempt"
    stage.check(title, expected="refused", observed=f"{answers[-1]}; {attempts}", ok=bool(flow))
    if flow:
        stage.same(f"the {post}'s record: rule", rule, flow["rule"], rule=flow["rule"], post=post)


async def _explained(world: World, stage: Stage) -> str:
    said = await world.explain("default/customer", "default/database", port=2379, method="POST", path=PUT)
    rule = str(said["decided_by"][0])
    stage.check(
        "tsujiban explain customer database",
        expected="deny",
        observed=said["verdict"],
        ok=said["verdict"] == "deny",
        rule=rule,
    )
    return rule
