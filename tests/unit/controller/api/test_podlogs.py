from __future__ import annotations

import asyncio
import time

import httpx
import pytest
from tests.support.apibed import ApiBed
from tests.support.fakenode import FakeStream
from tests.support.wait import until
from tests.unit.controller.api.test_streams import make_pod

from tsujiban.controller.api.errors import ApiError
from tsujiban.controller.api.podlogs import ask
from tsujiban.wire.messages import OpenSession
from tsujiban.wire.sessions import STDOUT, Begin, Data, End, Exit, LogAsk

PATH = "/api/v1/namespaces/default/pods/a/log"


def test_what_the_parameters_ask_for() -> None:
    given = {"tailLines": "2", "follow": "true", "timestamps": "1", "limitBytes": "9", "previous": "true"}
    assert ask(given, "c") == LogAsk(
        container="c", tail_lines=2, follow=True, timestamps=True, limit_bytes=9, previous=True
    )
    before = time.time()
    since = ask({"sinceSeconds": "10"}, "c").since
    assert before - 10 <= since <= time.time() - 10
    assert ask({"sinceTime": "2026-01-01T00:00:00Z"}, "c").since == 1767225600


@pytest.mark.parametrize(
    "given",
    [
        {"tailLines": "-1"},
        {"limitBytes": "0"},
        {"sinceSeconds": "1", "sinceTime": "2026-01-01T00:00:00Z"},
        {"sinceTime": "yesterday"},
        {"sinceTime": "2026-01-01T00:00:00"},
        {"follow": "perhaps"},
    ],
)
def test_what_cannot_be_asked(given: dict[str, str]) -> None:
    with pytest.raises(ApiError) as refused:
        ask(given, "c")
    assert refused.value.code == 400


async def two_lines(_message: OpenSession, stream: FakeStream) -> None:
    for line in (b"one\n", b"two\n"):
        await stream.tell(Data(channel=STDOUT, data=line))
    await stream.tell(End(channel=STDOUT))
    await stream.tell(Exit())


@pytest.mark.anyio
async def test_logs(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    await make_pod(bed)
    bed.streaming.script = two_lines
    answer = await admin.get(PATH, params={"tailLines": "2", "follow": "true"})
    assert answer.text == "one\ntwo\n"
    assert answer.headers["content-type"].startswith("text/plain")
    assert bed.streaming.asked[0].ask == LogAsk(container="web", tail_lines=2, follow=True)
    assert (await admin.get(PATH, params={"container": "sidecar"})).status_code == 200
    assert (await admin.get(PATH, params={"container": "nope"})).status_code == 400
    assert (await admin.get("/api/v1/namespaces/default/pods/b/log")).status_code == 404
    assert (await admin.post(PATH)).status_code == 405
    await until(lambda: len(bed.streaming.over) == 2)


@pytest.mark.anyio
async def test_a_log_that_is_not_there(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    await make_pod(bed)
    bed.streaming.begin = lambda message: Begin(session=message.session, error="no previous", missing=True)
    answer = await admin.get(PATH, params={"previous": "true"})
    assert (answer.status_code, answer.json()["message"]) == (400, "no previous")
    bed.streaming.connected = False
    answer = await admin.get(PATH)
    assert (answer.status_code, answer.json()["reason"]) == (503, "ServiceUnavailable")


@pytest.mark.anyio
async def test_a_pod_without_a_node_has_an_empty_log(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    await make_pod(bed, node="", phase="Pending")
    assert (await admin.get(PATH)).text == ""
    assert (await admin.get(PATH, params={"follow": "true"})).status_code == 400


@pytest.mark.anyio
async def test_a_follower_that_leaves_ends_the_session(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    async def drip(_message: OpenSession, stream: FakeStream) -> None:
        while True:
            await stream.tell(Data(channel=STDOUT, data=b"."))
            await asyncio.sleep(0.05)

    await make_pod(bed)
    bed.streaming.script = drip
    async with admin.stream("GET", PATH, params={"follow": "true"}) as answer:
        assert await anext(answer.aiter_bytes()) == b"."
    await until(lambda: bed.streaming.over == ["default/a"])


@pytest.mark.anyio
async def test_a_node_that_is_lost_is_told_at_the_end(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    async def lose(_message: OpenSession, stream: FakeStream) -> None:
        await stream.tell(Data(channel=STDOUT, data=b"so far"))
        await asyncio.sleep(0.05)
        stream.lost.set()

    await make_pod(bed)
    bed.streaming.script = lose
    assert "so far\n(the log ends here: " in (await admin.get(PATH)).text
