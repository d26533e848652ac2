"""The supervisor's asynchronous client, used by agents, by `tsujiban up` and by `status`.

One connection carries any number of concurrent requests; events come on a connection of their
own, so that a caller who is slow to read them holds up nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tsujiban.supervise.spec import ProcessSpec

LIMIT = 16 * 1024 * 1024


class SupervisorGone(ConnectionError):
    """The supervisor cannot be reached, or hung up."""


class Refused(RuntimeError):
    """The supervisor answered with an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStatus:
    """State of one process; times in UNIX seconds, memory in bytes, of its whole session."""

    name: str
    state: str  # running, backoff, exited, stopping
    pid: int  # 0 when it does not run
    start_ticks: int
    restarts: int
    started_at: float
    exited_at: float
    last_started_at: float = 0.0  # of the incarnation that has ended last
    last_exit: int | None  # exit status, negative for a signal
    last_oom: bool = False  # the kernel had killed in it for want of memory
    error: str
    rss_bytes: int
    private_bytes: int
    log: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessEvent:
    """Something that happened: started, exited, backoff, removed."""

    event: str
    name: str
    pid: int = 0
    restarts: int = 0
    last_exit: int | None = None
    time: float = 0.0
    delay: float = 0.0
    error: str = ""


class SupervisorClient:
    """`async with SupervisorClient(path) as supervisor: await supervisor.start(spec)`."""

    def __init__(self, socket_path: Path | str) -> None:
        self._path = str(socket_path)
        self._writer: asyncio.StreamWriter | None = None
        self._reader_task: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._next_id = 0
        self._connecting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def connect(self) -> None:
        """Open the connection; done by the first request if it was not. Raises SupervisorGone."""
        reader, self._writer = await self._open()
        self._reader_task = asyncio.get_running_loop().create_task(self._read(reader))

    async def close(self) -> None:
        """Hang up. Processes go on."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self._reader_task is not None:
            self._reader_task.cancel()
            await asyncio.gather(self._reader_task, return_exceptions=True)
            self._reader_task = None

    async def start(self, spec: ProcessSpec, *, replace: bool = False, later: bool = False) -> ProcessStatus:
        """Start; a no-op when it is there with this specification. Of one that is there with another,
        `replace` stops that first, and `later` leaves it alone up to its next start.

        Raises Refused, SupervisorGone."""
        return _status(await self._ask("start", spec=spec.to_json(), replace=replace, later=later))

    async def stop(self, name: str, *, forget_log: bool = False) -> None:
        """Stop and forget; returns when the process and its group are gone. Unknown names are fine.

        With `forget_log` the process's log is removed too.
        """
        await self._ask("stop", name=name, forget_log=forget_log)

    async def kill(self, name: str, signal: int) -> None:
        """Send a signal to the process's group; the restart policy applies."""
        await self._ask("kill", name=name, signal=int(signal))

    async def status(self, name: str) -> ProcessStatus:
        """State of one process. Raises Refused when the name is unknown."""
        return _status(await self._ask("status", name=name))

    async def specification(self, name: str) -> ProcessSpec:
        """How a process was started. Raises Refused when the name is unknown."""
        return ProcessSpec.from_json(await self._ask("spec", name=name))

    async def list(self, prefix: str = "") -> list[ProcessStatus]:
        """States of all processes whose name starts with `prefix`."""
        return [_status(entry) for entry in await self._ask("list", prefix=prefix)]

    async def shutdown(self) -> None:
        """Stop all processes and the supervisor; returns when all are gone."""
        await self._ask("shutdown")

    async def watch(self) -> AsyncIterator[ProcessEvent]:
        """Events from now on, until the caller stops or the supervisor is gone (SupervisorGone).

        The first item is an event `watching`, sent when the subscription is in force.
        """
        reader, writer = await self._open()
        known = {entry.name for entry in fields(ProcessEvent)}
        try:
            writer.write(b'{"id": 0, "op": "watch"}\n')
            async for line in reader:
                message = json.loads(line)
                if "event" in message:
                    yield ProcessEvent(**{key: value for key, value in message.items() if key in known})
                else:
                    yield ProcessEvent(event="watching", name="")
            raise SupervisorGone(f"the supervisor at {self._path} hung up")
        except SupervisorGone:
            raise
        except ConnectionError as error:  # it was killed before it had read what it was asked
            raise SupervisorGone(f"the supervisor at {self._path} hung up: {error}") from error
        finally:
            writer.close()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await asyncio.open_unix_connection(self._path, limit=LIMIT)
        except OSError as error:
            raise SupervisorGone(f"no supervisor answers at {self._path}: {error}") from error

    async def _ask(self, operation: str, **arguments: Any) -> Any:
        async with self._connecting:  # of several first requests one connects
            if self._writer is None or self._writer.is_closing():
                await self.close()
                await self.connect()
            writer = self._writer
        if writer is None:
            raise SupervisorGone(f"no connection to {self._path}")
        self._next_id += 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        identifier = self._next_id
        self._waiting[identifier] = future
        try:
            writer.write(json.dumps({"id": identifier, "op": operation, **arguments}).encode() + b"\n")
            return await future
        finally:
            self._waiting.pop(identifier, None)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            async for line in reader:
                message = json.loads(line)
                future = self._waiting.get(message["id"])
                if future is None or future.done():
                    continue
                if message["ok"]:
                    future.set_result(message["result"])
                else:
                    future.set_exception(Refused(message["error"]))
        except ConnectionError:
            pass
        finally:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(SupervisorGone(f"the supervisor at {self._path} hung up"))
            if self._writer is not None:
                self._writer.close()


def _status(data: dict[str, Any]) -> ProcessStatus:
    return ProcessStatus(**data)
