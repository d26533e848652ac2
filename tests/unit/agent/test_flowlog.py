"""Records go out in batches and in order; what cannot be kept is counted."""

from __future__ import annotations

import asyncio
import threading

import msgspec
from tests.support.wait import until

from tsujiban.agent import flowlog
from tsujiban.agent.flowlog import FlowLog
from tsujiban.wire.messages import Flow, Flows


def flow(number: int) -> Flow:
    return Flow(
        time_ns=number,
        node="n",
        post="kernel",
        direction="ingress",
        endpoint="e",
        verdict="allow",
        rule="r",
        source="10.0.0.1",
        source_port=1,
        destination="10.0.0.2",
        destination_port=2,
        protocol=6,
    )


def test_batches_keep_order_and_lose_nothing() -> None:
    sent: list[Flows] = []
    log = FlowLog(sent.append)
    log.add(flow(n) for n in range(flowlog.BATCH_SIZE + 5))
    log.flush()
    assert [len(batch.flows) for batch in sent] == [flowlog.BATCH_SIZE, 5]
    assert [f.time_ns for batch in sent for f in batch.flows] == list(range(flowlog.BATCH_SIZE + 5))
    log.flush()
    assert len(sent) == 2


def test_what_is_too_much_is_dropped_and_counted() -> None:
    sent: list[Flows] = []
    log = FlowLog(sent.append)
    log.add(flow(n) for n in range(flowlog.LIMIT + 3))
    assert log.dropped == 3
    log.flush()
    assert sum(len(batch.flows) for batch in sent) == flowlog.LIMIT


def test_what_the_controller_does_not_take_waits_and_one_pods_flood_drops_its_own() -> None:
    sent: list[Flows] = []
    room = [False]
    log = FlowLog(sent.append, lambda: room[0] and len(sent) < 2)
    log.share_out(["10.0.0.0/8"])
    few = [msgspec.structs.replace(flow(n), source="10.0.0.9") for n in range(10)]
    log.add(few)
    log.add(flow(n) for n in range(flowlog.LIMIT + 90))
    log.flush()
    assert (sent, log.dropped) == ([], 100)
    room[0] = True
    log.flush()
    assert [len(batch.flows) for batch in sent] == [flowlog.BATCH_SIZE] * 2
    assert list(sent[0].flows[:11]) == [*few, flow(100)]


def test_records_come_from_other_threads_and_are_sent_soon() -> None:
    async def story() -> None:
        sent: list[Flows] = []
        log = FlowLog(sent.append)
        task = asyncio.create_task(log.run())
        thread = threading.Thread(target=lambda: log.add([flow(1)]))
        thread.start()
        thread.join()
        await until(lambda: sent != [])
        task.cancel()

    asyncio.run(story())
