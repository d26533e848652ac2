from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from tests.support.fakenode import FakeNode, FakeStream
from tests.support.wait import PATIENCE, until

from tsujiban.controller import sessions as module
from tsujiban.controller.sessions import PodRef, Sessions, SessionUnavailable
from tsujiban.wire.messages import OpenSession
from tsujiban.wire.sessions import STDOUT, Begin, Data, Exit, ForwardAsk
from tsujiban.wire.transport import StreamLost, StreamRefused

pytestmark = pytest.mark.anyio

POD = PodRef("n1", "default/a", "uid-1")
ASK = ForwardAsk(port=80)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def echo(_message: OpenSession, stream: FakeStream) -> None:
    frame = await stream.next()
    assert isinstance(frame, Data)
    await stream.tell(Data(channel=STDOUT, data=frame.data))
    await stream.tell(Exit())


async def test_a_session_from_beginning_to_end() -> None:
    node = FakeNode(echo)
    async with node.sessions.open(POD, ASK) as session:
        await session.send(Data(channel=0, data=b"x"))
        assert await session.receive() == Data(channel=STDOUT, data=b"x")
        assert await session.receive() == Exit()
    (asked,) = node.asked
    assert (asked.pod, asked.uid, asked.ask) == ("default/a", "uid-1", ASK)
    assert len(asked.session) >= 32


async def test_names_of_sessions_cannot_be_guessed() -> None:
    node = FakeNode(echo)
    for _ in range(20):
        async with node.sessions.open(POD, ASK):
            pass
    assert len({message.session for message in node.asked}) == 20


async def begun(sessions: Sessions, node: str, first: Any) -> None:
    stream: Any = FakeStream()
    await stream.tell(first)
    await sessions.serve(node, stream)


async def asked_by(sessions: Sessions) -> tuple[asyncio.Task[None], OpenSession]:
    """Somebody who opens a session, and what the node is asked."""
    asked: asyncio.Future[OpenSession] = asyncio.get_running_loop().create_future()

    async def deliver(_node: str, message: Any) -> bool:
        asked.set_result(message)
        return True

    async def use() -> None:
        async with sessions.open(POD, ASK):
            pass

    sessions._deliver = deliver
    return asyncio.create_task(use()), await asked


async def nobody(_node: str, _message: Any) -> bool:
    return False


async def test_another_node_cannot_answer() -> None:
    sessions = Sessions(nobody)
    opening, message = await asked_by(sessions)
    with pytest.raises(StreamRefused):
        await begun(sessions, "n2", Begin(session=message.session))
    with pytest.raises(StreamRefused):
        await begun(sessions, "n1", Begin(session="guessed"))
    with pytest.raises(StreamRefused):
        await begun(sessions, "n1", Exit())
    assert not opening.done()
    await begun(sessions, "n1", Begin(session=message.session))
    await opening
    with pytest.raises(StreamRefused):  # it is over
        await begun(sessions, "n1", Begin(session=message.session))


async def test_a_node_that_does_not_call_back_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.05)

    async def deliver(_node: str, _message: Any) -> bool:
        return True

    with pytest.raises(SessionUnavailable, match="did not answer"):
        async with Sessions(deliver).open(POD, ASK):
            pass


async def test_sessions_of_a_node_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PER_NODE", 1)
    node = FakeNode(echo)
    async with node.sessions.open(POD, ASK):
        with pytest.raises(SessionUnavailable, match="already"):
            async with node.sessions.open(POD, ASK):
                pass
    async with node.sessions.open(POD, ASK):
        pass


async def test_a_lost_node_ends_what_waits_for_it() -> None:
    async def lose(_message: OpenSession, stream: FakeStream) -> None:
        stream.lost.set()

    node = FakeNode(lose)
    async with node.sessions.open(POD, ASK) as session:
        with pytest.raises(StreamLost):
            await session.receive()


async def test_who_leaves_in_the_moment_in_which_the_node_calls_back_leaves_no_session_behind() -> None:
    sessions = Sessions(nobody)
    opening, message = await asked_by(sessions)

    class Leaving(FakeStream):
        def watch(self) -> Coroutine[Any, Any, None]:
            assert opening.cancel()  # it has been given the session, and has not had its turn since
            return super().watch()

    stream: Any = Leaving()
    await stream.tell(Begin(session=message.session))
    async with asyncio.timeout(PATIENCE):
        await sessions.serve("n1", stream)
    with pytest.raises(asyncio.CancelledError):
        await opening


async def test_a_node_is_told_of_an_end_that_is_not_the_clients() -> None:
    node = FakeNode(echo)
    async with node.sessions.open(POD, ASK):
        pass
    async with node.sessions.open(POD, ASK) as session:
        session.abandon()
    await until(lambda: len(node.over) == 2)
    assert node.refused == ["the controller ends"]
