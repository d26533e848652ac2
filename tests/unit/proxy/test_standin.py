"""Who is asked in the place of an Envoy that has ended; with plain sockets, as Envoys use them."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.wait import PATIENCE, until

from tsujiban.proxy import standin
from tsujiban.proxy.standin import ANSWER, StandIn, StandIns, epoch, kind, of_user

pytestmark = pytest.mark.anyio

PASS_SOCKET = bytes.fromhex("000000000000001b0a190a170a157463703a2f2f3132372e302e302e313a3138393938")
TERMINATE = bytes.fromhex("00000000000000040a022a00")
DRAIN = bytes.fromhex("00000000000000040a022200")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The sockets of the old one and the new one. The room is the whole machine."""
    monkeypatch.setattr(standin, "HANDOVER", tmp_path / "hr")
    monkeypatch.setattr(standin, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(standin, "LIVES_SECONDS", 0.01)
    return tmp_path / "hr_parent_0", tmp_path / "hr_child_1"


@pytest.fixture
def envoy() -> Iterator[subprocess.Popen[bytes]]:
    """A process that calls itself the second Envoy of its room."""
    sleeps = "import sys, time; print(flush=True); time.sleep(3600)"
    argv = [sys.executable, "-c", sleeps, "--restart-epoch", "1"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def bound(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.bind(str(path))
    made.settimeout(PATIENCE)
    return made


def silent(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        connection.recv(100)
    except BlockingIOError:
        return True
    return False


async def test_it_waits_for_the_end_answers_what_is_asked_and_ends_when_told(
    names: tuple[Path, Path], envoy: subprocess.Popen[bytes]
) -> None:
    old, new = names
    with closing(bound(new)) as child:
        with closing(bound(old)):
            before = old.stat().st_ino
            task = asyncio.create_task(StandIn(envoy.pid, os.getuid()).run())
            for _ in range(5):
                await asyncio.sleep(0.01)
            assert old.stat().st_ino == before
        await until(lambda: old.stat().st_ino != before)
        assert await asyncio.to_thread(child.recv, 100) == ANSWER  # what was asked last is not waited for
        child.sendto(DRAIN, str(old))
        child.sendto(PASS_SOCKET, str(old))
        assert await asyncio.to_thread(child.recv, 100) == ANSWER
        child.sendto(b"x" * 5000, str(old))
        assert await asyncio.to_thread(child.recv, 100) == ANSWER
        child.sendto(TERMINATE, str(old))
        await task
        assert silent(child)


async def test_it_ends_with_the_new_one(names: tuple[Path, Path], envoy: subprocess.Popen[bytes]) -> None:
    task = asyncio.create_task(StandIn(envoy.pid, os.getuid()).run())
    await until(names[0].exists)
    envoy.kill()
    await asyncio.wait([task])
    await task


async def test_no_link_is_followed(
    names: tuple[Path, Path], envoy: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    old, new = names
    with closing(bound(tmp_path / "others")) as others, closing(bound(tmp_path / "another")):
        new.symlink_to(tmp_path / "others")
        old.symlink_to(tmp_path / "another")
        task = asyncio.create_task(StandIn(envoy.pid, os.getuid()).run())
        await until(lambda: not old.is_symlink())
        with closing(bound(tmp_path / "asks")) as asks:
            asks.sendto(PASS_SOCKET, str(old))
            asks.sendto(TERMINATE, str(old))
            await task
        assert silent(others)


async def test_a_first_one_needs_nobody(names: tuple[Path, Path]) -> None:
    standins = StandIns(os.getuid())
    standins.look(os.getpid())
    await StandIn(os.getpid(), os.getuid()).run()
    standins.close()
    assert not names[0].exists()


def test_those_that_have_taken_over_are_found_by_their_user(
    envoy: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert of_user(os.getuid()) == []  # an agent's own user is no proxy's
    monkeypatch.setattr(os, "geteuid", lambda: -1)
    assert envoy.pid in of_user(os.getuid())
    assert os.getpid() not in of_user(os.getuid())


def test_what_is_read_of_an_envoy(envoy: subprocess.Popen[bytes]) -> None:
    assert epoch(envoy.pid) == 1
    envoy.kill()
    envoy.wait()
    assert epoch(envoy.pid) == 0
    assert [kind(one) for one in (PASS_SOCKET, TERMINATE, DRAIN, b"", ANSWER)] == [0x0A, 0x2A, 0x22, 0, 0]
