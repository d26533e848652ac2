"""A node that serves sessions in this process, as a test says: the controller's side is real."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tsujiban.controller.sessions import Sessions
from tsujiban.wire.messages import OpenSession, ToNode
from tsujiban.wire.sessions import Begin, FromSession, ToSession
from tsujiban.wire.transport import StreamLost, StreamRefused


class FakeStream:
    """Both ends of one session: the controller's `receive` and `send`, the node's `next` and `tell`."""

    peer_certificate = b""

    def __init__(self) -> None:
        self.from_node: asyncio.Queue[FromSession | None] = asyncio.Queue(4)
        self.to_node: asyncio.Queue[ToSession] = asyncio.Queue(4)
        self.lost = asyncio.Event()

    async def receive(self) -> FromSession | None:
        return await self.from_node.get()

    async def send(self, frame: ToSession) -> None:
        await self.to_node.put(frame)

    async def watch(self) -> None:
        await self.lost.wait()
        raise StreamLost("gone")

    async def next(self) -> ToSession:
        return await self.to_node.get()

    async def tell(self, frame: FromSession) -> None:
        await self.from_node.put(frame)


Script = Callable[[OpenSession, FakeStream], Awaitable[None]]


class FakeNode:
    """`script` plays the node after `Begin`; `begin` changes what it begins with."""

    def __init__(self, script: Script, name: str = "n1") -> None:
        self.script = script
        self.name = name
        self.connected = True
        self.asked: list[OpenSession] = []
        self.refused: list[str] = []
        self.over: list[str] = []  # pods whose session the controller has ended
        self.begin: Callable[[OpenSession], Begin] = lambda message: Begin(session=message.session)
        self.sessions = Sessions(self.deliver)
        self._tasks: set[asyncio.Task[None]] = set()

    async def deliver(self, node: str, message: ToNode) -> bool:
        if not self.connected or node != self.name or not isinstance(message, OpenSession):
            return False
        self.asked.append(message)
        task = asyncio.create_task(self._serve(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _serve(self, message: OpenSession) -> None:
        stream = FakeStream()
        typed: Any = stream
        serving = asyncio.create_task(self.sessions.serve(self.name, typed))
        await stream.tell(self.begin(message))
        playing = asyncio.create_task(self._play(message, stream))
        try:
            await serving
        except StreamRefused as error:
            self.refused.append(str(error))
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)
            self.over.append(message.pod)

    async def _play(self, message: OpenSession, stream: FakeStream) -> None:
        await self.script(message, stream)
