from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.wait import PATIENCE, until

from tsujiban.agent import sessions as module
from tsujiban.agent import shim
from tsujiban.agent.podlogs import PodLog
from tsujiban.agent.sessions import Sessions, tell
from tsujiban.supervise.client import ProcessStatus, SupervisorGone
from tsujiban.wire.messages import OpenSession
from tsujiban.wire.sessions import (
    Asks,
    AttachAsk,
    Begin,
    Data,
    ExecAsk,
    Exit,
    ForwardAsk,
    FromSession,
    LogAsk,
    ToSession,
)
from tsujiban.wire.transport import StreamLost

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Stream:
    """The controller, which says nothing, and hangs up when told to."""

    def __init__(self) -> None:
        self.heard: list[FromSession] = []
        self.ended = asyncio.Event()
        self.hang_up = asyncio.Event()

    async def send(self, message: FromSession) -> None:
        self.heard.append(message)

    async def next(self) -> ToSession:
        await self.hang_up.wait()
        raise StreamLost("hung up")

    async def over(self) -> None:
        await self.hang_up.wait()

    async def end(self) -> None:
        self.ended.set()

    @property
    def text(self) -> bytes:
        return b"".join(frame.data for frame in self.heard if isinstance(frame, Data))


class Supervisor:
    def __init__(self, log: Path) -> None:
        self.log = log
        self.state = "running"
        self.gone = False

    async def list(self, prefix: str) -> list[ProcessStatus]:
        if self.gone:
            raise SupervisorGone("nobody there")
        return [
            self._status(name) for name in ("n1/pods/u1/web", "n1/pods/u1/sidecar") if name.startswith(prefix)
        ]

    async def status(self, name: str) -> ProcessStatus:
        return self._status(name)

    async def specification(self, _name: str) -> None:
        return None

    def _status(self, name: str) -> ProcessStatus:
        return ProcessStatus(
            name=name,
            state=self.state,
            pid=4711,
            start_ticks=1,
            restarts=0,
            started_at=0,
            exited_at=0,
            last_exit=None,
            error="",
            rss_bytes=0,
            private_bytes=0,
            log=str(self.log),
        )


class Bed:
    def __init__(self, tmp_path: Path) -> None:
        self.log = tmp_path / "web.log"
        self.log.write_bytes(b"one\ntwo\n")
        self.supervisor = Supervisor(self.log)
        self.streams: list[Stream] = []
        spec = SimpleNamespace(containers=[SimpleNamespace(name="web")], init_containers=[])
        runner = SimpleNamespace(
            uid="u1",
            pod=SimpleNamespace(spec=spec),
            netns_path="/none",
            shim_socket=lambda container: tmp_path / container,
        )
        pods: Any = {"default/a": runner}
        supervisor: Any = self.supervisor
        self.sessions = Sessions("n1", lambda: pods, supervisor)

    @asynccontextmanager
    async def dial(self) -> AsyncIterator[Stream]:
        stream = Stream()
        self.streams.append(stream)
        yield stream

    async def ask(self, ask: Asks, pod: str = "default/a", uid: str = "u1") -> Stream:
        dial: Any = self.dial
        self.sessions.open(OpenSession(session="s", pod=pod, uid=uid, ask=ask), dial)
        async with asyncio.timeout(PATIENCE):
            await until(lambda: bool(self.streams))
            await self.streams[-1].ended.wait()
        return self.streams[-1]


@pytest.fixture
async def bed(tmp_path: Path) -> Bed:
    return Bed(tmp_path)


async def test_a_log(bed: Bed) -> None:
    stream = await bed.ask(LogAsk(container="web", tail_lines=1))
    assert stream.heard[0] == Begin(session="s")
    assert stream.text == b"two\n"
    assert stream.heard[-1] == Exit()


@pytest.mark.parametrize(
    ("ask", "pod", "uid"),
    [
        (LogAsk(container="web"), "default/b", "u1"),
        (LogAsk(container="web"), "default/a", "u2"),
        (LogAsk(container="nope"), "default/a", "u1"),
        (LogAsk(container="web", previous=True), "default/a", "u1"),
        (ExecAsk(container="sidecar", command=("id",)), "default/a", "u1"),
        (ForwardAsk(port=80), "default/a", "u2"),
    ],
)
async def test_what_is_not_here_is_missing(bed: Bed, ask: Asks, pod: str, uid: str) -> None:
    stream = await bed.ask(ask, pod, uid)
    (begin,) = stream.heard
    assert isinstance(begin, Begin)
    assert begin.missing
    assert begin.error


async def test_a_container_that_does_not_run_now_is_not_missing(bed: Bed) -> None:
    bed.supervisor.state = "backoff"
    (begin,) = (await bed.ask(ExecAsk(container="web", command=("id",)))).heard
    assert isinstance(begin, Begin)
    assert (begin.missing, "backoff" in begin.error) == (False, True)


@pytest.mark.parametrize("built", [True, False])
async def test_a_sandbox_that_is_being_built_is_waited_for(
    bed: Bed, monkeypatch: pytest.MonkeyPatch, built: bool
) -> None:
    if not built:
        monkeypatch.setattr(module, "SANDBOX_SECONDS", 0.0)
    looks = 0

    def enter(*_words: Any, **_options: Any) -> str:
        nonlocal looks
        looks += 1
        if looks < 3 or not built:
            raise LookupError("no sandbox yet")
        return "the command"

    async def ran(stream: Any, command: Any, _ask: ExecAsk) -> None:
        await stream.send(Data(channel=1, data=command.encode()))

    monkeypatch.setattr(module, "exec_command", enter)
    monkeypatch.setattr("tsujiban.agent.execution.run", ran)
    stream = await bed.ask(ExecAsk(container="web", command=("id",)))
    assert isinstance(begin := stream.heard[0], Begin)
    assert (begin.error, stream.text) == (("", b"the command") if built else ("no sandbox yet", b""))


async def test_without_a_supervisor(bed: Bed) -> None:
    bed.supervisor.gone = True
    (begin,) = (await bed.ask(LogAsk(container="web"))).heard
    assert isinstance(begin, Begin)
    assert (begin.missing, begin.error) == (False, "nobody there")


async def test_too_many_sessions_are_refused(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SESSIONS", 0)
    (begin,) = (await bed.ask(LogAsk(container="web"))).heard
    assert isinstance(begin, Begin)
    assert "already" in begin.error


async def test_a_forward_that_cannot_connect_says_so(bed: Bed) -> None:
    stream = await bed.ask(ForwardAsk(port=80))
    assert stream.heard[0] == Begin(session="s")
    last = stream.heard[-1]
    assert isinstance(last, Exit)
    assert "localhost:80" in last.error


async def test_following_ends_with_the_container_and_tells_its_last_words(bed: Bed) -> None:
    lives = True

    async def alive() -> bool:
        return lives

    stream: Any = Stream()
    reading = PodLog(bed.log, LogAsk(container="web", follow=True))
    telling = asyncio.create_task(tell(stream, reading, alive))
    await until(lambda: bool(stream.text == b"one\ntwo\n"))
    lives = False
    with bed.log.open("ab") as file:
        file.write(b"bye\n")
    await telling
    assert stream.text == b"one\ntwo\nbye\n"
    assert stream.heard[-1] == Exit()


async def test_following_ends_with_the_session(bed: Bed) -> None:
    async def alive() -> bool:
        return True

    stream: Any = Stream()
    telling = asyncio.create_task(tell(stream, PodLog(bed.log, LogAsk(container="web", follow=True)), alive))
    await asyncio.sleep(0.05)
    stream.hang_up.set()
    with pytest.raises(StreamLost):
        await telling


@pytest.mark.parametrize(
    ("greeting", "stdin", "error"),
    [
        (shim.OPEN, True, ""),
        (shim.CLOSED, False, ""),
        (shim.CLOSED, True, "is closed"),
        (shim.BUSY, True, "clients already"),
    ],
)
async def test_attaching(bed: Bed, greeting: bytes, stdin: bool, error: str) -> None:
    listener = shim.listen(str(bed.log.with_name("web")))
    with listener:
        listener.setblocking(True)
        asking = asyncio.create_task(bed.ask(AttachAsk(container="web", stdin=stdin)))
        client, _ = await asyncio.to_thread(listener.accept)
        with client:
            client.send(greeting)
        stream = await asking
    begin = stream.heard[0]
    assert isinstance(begin, Begin)
    assert not begin.missing
    assert error in begin.error if error else begin.error == ""
    assert bool(error) == (len(stream.heard) == 1)


async def test_attaching_where_no_shim_is(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SANDBOX_SECONDS", 0.0)
    (begin,) = (await bed.ask(AttachAsk(container="web"))).heard
    assert isinstance(begin, Begin)
    assert "cannot be attached to" in begin.error


async def test_attaching_to_what_does_not_run(bed: Bed) -> None:
    bed.supervisor.state = "backoff"
    (begin,) = (await bed.ask(AttachAsk(container="web"))).heard
    assert isinstance(begin, Begin)
    assert "backoff" in begin.error
