"""The supervisor's door: a Unix socket, JSON lines, for root only.

Request `{"id": 1, "op": "start", "spec": {...}}`; answer `{"id": 1, "ok": true, "result": ...}`
or `{"id": 1, "ok": false, "error": "..."}`. After `watch` the events follow on the same
connection as `{"event": ...}` lines. The mode of the socket (0600) and the peer's credentials
(SO_PEERCRED: the supervisor's own user, root) both keep others out.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tsujiban.supervise.spec import ProcessSpec, SpecError
from tsujiban.supervise.supervisor import Event, Supervisor, SupervisorError

MAX_LINE = 4 * 1024 * 1024  # bytes of one request
MAX_BACKLOG = 1024 * 1024  # bytes of events that a slow watcher may leave unread; then it is dropped


def peer_uid(connection: socket.socket) -> int:
    """User id of the process at the other end of a Unix socket (unix(7), SO_PEERCRED)."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])


OPERATIONS = ("start", "stop", "kill", "status", "spec", "list", "watch", "shutdown")


class Server:
    """Serves one supervisor on one socket until `stopping` is set."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self.stopping = asyncio.Event()
        self._clients: dict[asyncio.StreamWriter, asyncio.Task[Any] | None] = {}

    async def listen(self, path: Path) -> asyncio.Server:
        """Bind the socket (mode 0600; nothing may be at `path`) and begin to answer."""
        before = os.umask(0o177)
        try:
            return await asyncio.start_unix_server(self._serve, path, limit=MAX_LINE)
        finally:
            os.umask(before)

    async def close(self) -> None:
        """Hang up on all clients, once their last answers are sent."""
        tasks = [task for task in self._clients.values() if task is not None]
        for writer in self._clients:
            writer.close()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if peer_uid(writer.get_extra_info("socket")) != os.geteuid():
            writer.close()
            return
        self._clients[writer] = asyncio.current_task()
        connection = _Connection(self._supervisor, writer, self.stopping)
        try:
            async for line in reader:
                connection.request(line)
        except (ConnectionError, ValueError):  # gone, or a line over MAX_LINE
            pass
        finally:
            connection.close()
            self._clients.pop(writer, None)
            writer.close()


class _Connection:
    """One client. Requests run concurrently: a slow stop holds up nothing else."""

    def __init__(self, supervisor: Supervisor, writer: asyncio.StreamWriter, stopping: asyncio.Event) -> None:
        self._supervisor = supervisor
        self._writer = writer
        self._stopping = stopping
        self._tasks: set[asyncio.Task[None]] = set()
        self._unwatch: Callable[[], None] | None = None

    def request(self, line: bytes) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(line))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        if self._unwatch is not None:
            self._unwatch()

    def _send(self, message: Event) -> None:
        if self._writer.is_closing():
            return
        if self._writer.transport.get_write_buffer_size() > MAX_BACKLOG:
            self._writer.transport.abort()
            return
        self._writer.write(json.dumps(message).encode() + b"\n")

    async def _answer(self, line: bytes) -> None:
        identifier: Any = None
        try:
            message = json.loads(line)
            if not isinstance(message, dict):
                raise SupervisorError("a request must be a JSON object")
            identifier = message.get("id")
            result = await self._obey(message)
        except (SupervisorError, SpecError) as error:
            self._send({"id": identifier, "ok": False, "error": str(error)})
        except (ValueError, RecursionError) as error:  # not JSON
            self._send({"id": identifier, "ok": False, "error": f"not a request: {error}"})
        else:
            self._send({"id": identifier, "ok": True, "result": result})

    async def _obey(self, message: Event) -> Any:
        supervisor = self._supervisor
        operation = message.get("op")
        if operation == "start":
            return await supervisor.start(
                ProcessSpec.from_json(message.get("spec")),
                replace=message.get("replace") is True,
                later=message.get("later") is True,
            )
        if operation == "stop":
            return await supervisor.stop(_text(message, "name"), forget_log=message.get("forget_log") is True)
        if operation == "kill":
            number = message.get("signal")
            if not isinstance(number, int) or not 0 < number < 65:
                raise SupervisorError("kill: `signal` must be a signal number")
            return supervisor.kill(_text(message, "name"), number)
        if operation == "status":
            return supervisor.status(_text(message, "name"))
        if operation == "spec":
            return supervisor.specification(_text(message, "name"))
        if operation == "list":
            return supervisor.list(_text(message, "prefix", ""))
        if operation == "watch":
            if self._unwatch is None:
                self._unwatch = supervisor.watch(self._send)
            return None
        if operation == "shutdown":
            await supervisor.shutdown()
            asyncio.get_running_loop().call_soon(self._stopping.set)
            return None
        raise SupervisorError(f"unknown op {operation!r}: one of {', '.join(OPERATIONS)}")


def _text(message: Event, key: str, default: str | None = None) -> str:
    value = message.get(key, default)
    if not isinstance(value, str):
        raise SupervisorError(f"{message.get('op')}: `{key}` must be a string")
    return value
