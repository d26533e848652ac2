"""Records go out in batches and in order; what cannot be kept is counted."""

from __future__ import annotations

import asyncio
import threading

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
