"""Real Envoys that take over from each other, though the one before was ended before its time."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from tests.support.wait import PATIENCE, until

from tsujiban.proxy import binary, standin
from tsujiban.proxy.bootstrap import argv
from tsujiban.proxy.standin import StandIn

pytestmark = [pytest.mark.system, pytest.mark.anyio]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Envoys:
    """Started one after the other. Each says its own word to whoever connects."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._directory = directory
        self._stack = stack
        self._count = 0

    def listen(self, word: str, *ports: int) -> None:
        """Have an Envoy listen there."""
        said = {"@type": _DIRECT, "response": {"inline_string": word}}
        found: list[dict[str, Any]] = [
            {
                "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
                "name": str(port),
                "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                "filter_chains": [{"filters": [{"name": "said", "typed_config": said}]}],
            }
            for port in ports
        ]
        beside = self._directory / "beside"
        beside.write_text(json.dumps({"resources": found}))
        beside.replace(self._directory / f"{word}.json")

    def start(self, word: str, *ports: int) -> subprocess.Popen[bytes]:
        self.listen(word, *ports)
        config = self._directory / f"{word}-bootstrap.json"
        source = {"path_config_source": {"path": str(self._directory / f"{word}.json")}}
        config.write_text(
            json.dumps(
                {
                    "node": {"id": word, "cluster": "c"},
                    "dynamic_resources": {"lds_config": {**source, "resource_api_version": "V3"}},
                }
            )
        )
        command = argv(binary.locate(), config, handover=standin.HANDOVER)
        made = subprocess.Popen([*command, "--restart-epoch", str(self._count)], stderr=subprocess.DEVNULL)
        self._count += 1
        self._stack.callback(made.wait)
        self._stack.callback(made.kill)
        return made


_DIRECT = "type.googleapis.com/envoy.extensions.filters.network.direct_response.v3.Config"


@pytest.fixture
def envoys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Envoys]:
    monkeypatch.setattr(standin, "HANDOVER", tmp_path / "hr")
    with ExitStack() as stack:
        yield Envoys(tmp_path, stack)


def says(port: int) -> str:
    try:
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
            return connection.recv(100).decode()
    except OSError:
        return ""


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


async def test_who_has_taken_over_listens_anew_and_hands_over_though_the_one_before_was_ended(
    envoys: Envoys,
) -> None:
    first, second = free_ports(2)
    old = envoys.start("old", first)
    await until(lambda: says(first) == "old")
    new = envoys.start("new", first)
    await until(lambda: says(first) == "new")
    standing_in = asyncio.create_task(StandIn(new.pid, os.getuid()).run())
    old.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(old.wait, PATIENCE) == 0
    envoys.listen("new", first, second)
    await until(lambda: says(second) == "new" or new.poll() is not None)
    assert new.poll() is None
    envoys.start("newest", first, second)
    await until(lambda: says(second) == "newest" or new.poll() is not None)
    assert new.poll() is None
    assert says(first) == "newest"
    await standing_in


async def test_who_waits_for_an_answer_that_will_not_come_goes_on(envoys: Envoys) -> None:
    """As when the agent that stands in is killed with a question before it."""
    first, second = free_ports(2)
    old = envoys.start("old", first)
    await until(lambda: says(first) == "old")
    new = envoys.start("new", first)
    await until(lambda: says(first) == "new")
    old.kill()
    await asyncio.to_thread(old.wait, PATIENCE)
    room = standin.Room(new.pid)
    with closing(room), closing(room.take(f"{standin.HANDOVER.name}_parent_0", os.getuid())) as killed:
        envoys.listen("new", first, second)
        await until(lambda: asked(killed))
    standing_in = asyncio.create_task(StandIn(new.pid, os.getuid()).run())
    await until(lambda: says(second) == "new")
    new.kill()
    new.wait()
    standing_in.cancel()


def asked(listening: socket.socket) -> bool:
    try:
        return bool(listening.recv(4096))
    except BlockingIOError:
        return False
