"""BIRD is started once, told of changes only, and its silence is no crash."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from tests.support.podbed import NETWORK, Supervisor

from tsujiban.agent.config import AgentConfig
from tsujiban.agent.routing import Routing
from tsujiban.network import birdc
from tsujiban.network.birdc import BirdcError


class Scene:
    def __init__(self, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        config = AgentConfig(
            cluster="t", node="n1", address="172.31.255.11", run_dir=str(run), state_dir=str(run),
            supervisor_socket="", join_file="", controller_host="", controller_port=0,
        )  # fmt: skip
        self.journal: list[str] = []
        self.routing = Routing(config, Supervisor(self.journal))  # type: ignore[arg-type]  # it starts
        self.told = 0
        self.silent = False
        self.file = run / "bird.conf"
        monkeypatch.setattr(birdc, "configure", self._configure)

    async def _configure(self, _control: Path) -> None:
        self.told += 1
        if self.silent:
            raise BirdcError("BIRD does not answer")


def peers(*names: str) -> object:
    found = tuple((name, f"172.31.255.{number}") for number, name in enumerate(names, 12))
    return msgspec.structs.replace(NETWORK, bgp_peers=found)


def test_started_once_and_told_of_changes_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        scene = Scene(tmp_path, monkeypatch)
        for network in (peers("n2"), peers("n2"), peers("n2", "n3")):
            await scene.routing.configure(network)  # type: ignore[arg-type]  # a NodeConfig
        assert scene.journal == ["start n1/bird"]
        assert scene.told == 1
        assert "172.31.255.13" in scene.file.read_text()

    asyncio.run(story())


def test_a_silent_bird_has_its_file_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        scene = Scene(tmp_path, monkeypatch)
        scene.silent = True
        await scene.routing.configure(peers("n2"))  # type: ignore[arg-type]  # a NodeConfig
        await scene.routing.configure(peers("n3"))  # type: ignore[arg-type]  # a NodeConfig
        assert "n3" in scene.file.read_text()

    asyncio.run(story())
