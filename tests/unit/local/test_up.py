"""`up` leaves a whole cluster or nothing of its own, and takes no state that was there before."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tsujiban.agent.config import AgentConfig
from tsujiban.controller.config import ControllerConfig
from tsujiban.local import layout as layouts
from tsujiban.local import preflight, up
from tsujiban.local.layout import Layout
from tsujiban.local.preflight import PreflightError
from tsujiban.local.remembered import Remembered, recall, remember
from tsujiban.local.unreachable import Unreachable
from tsujiban.local.up import UpError
from tsujiban.store.config import EtcdConfig
from tsujiban.store.protocol import StoreUnavailable


class Scene:
    """`up` without a machine: what it takes down, and with which state."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(layouts, "RUN_ROOT", tmp_path / "run")
        monkeypatch.setattr(layouts, "STATE_ROOT", tmp_path / "state")
        self.taken_down: list[tuple[str, bool]] = []
        self.said: list[str] = []
        monkeypatch.setattr(preflight, "check", lambda: None)
        monkeypatch.setattr(preflight, "check_free", lambda name: None)
        monkeypatch.setattr(up, "down", self._down)
        monkeypatch.setattr(up, "_start", self._start)
        self.store = Layout("t").controller_state / "store.db"

    def _down(self, name: str, *, keep_state: bool) -> bool:
        self.taken_down.append((name, keep_state))
        return True

    def _start(self, *_arguments: object) -> None:
        self.store.parent.mkdir(parents=True, exist_ok=True)
        self.store.touch()  # the controller got that far
        raise UpError("the nodes did not become ready")


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(tmp_path, monkeypatch)


def test_a_failed_first_start_leaves_nothing(scene: Scene) -> None:
    with pytest.raises(UpError):
        up.up("t", 1, scene.said.append)
    assert scene.taken_down == [("t", False)]
    assert scene.said[-1] == "taking down what was made"


def test_a_failed_later_start_keeps_what_was_there(scene: Scene) -> None:
    scene.store.parent.mkdir(parents=True)
    scene.store.touch()
    with pytest.raises(UpError):
        up.up("t", 1, scene.said.append)
    assert scene.taken_down == [("t", True)]


def test_what_is_not_possible_here_takes_nothing_down(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(_name: str) -> None:
        raise PreflightError("it runs already")

    monkeypatch.setattr(preflight, "check_free", taken)
    with pytest.raises(PreflightError):
        up.up("t", 1, scene.said.append)
    with pytest.raises(ValueError, match="nodes"):
        up.up("t", 0, scene.said.append)
    assert scene.taken_down == []


def test_what_did_not_work_is_not_what_the_next_start_does(scene: Scene) -> None:
    layout = Layout("t")
    scene.store.parent.mkdir(parents=True)
    scene.store.touch()
    remember(layout, Remembered(nodes=3))
    with pytest.raises(UpError):
        up.up("t", 5, scene.said.append)
    assert recall(layout) == Remembered(nodes=3)


def test_an_etcd_that_cannot_be_reached_is_found_before_anything_is_made(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def closed(*_arguments: object) -> None:
        raise StoreUnavailable("no member answers")

    monkeypatch.setattr(up, "open_store", closed)
    with pytest.raises(StoreUnavailable):
        up.up("t", 1, scene.said.append, store=EtcdConfig(endpoints=("http://127.0.0.1:1",)))
    assert scene.taken_down == []
    assert recall(Layout("t")) is None


def test_the_configuration_files_are_what_the_daemons_read(scene: Scene) -> None:
    layout = Layout("t")
    layout.run.mkdir(parents=True)
    up._configure(layout, {"node-1": "172.31.255.11"}, Remembered(trust_domain="bank.local"), 600)
    controller = msgspec.json.decode(layout.controller_config.read_bytes(), type=ControllerConfig)
    assert (controller.trust_domain, controller.svid_lifetime, controller.api_sockets) == (
        "bank.local",
        600,
        2,
    )
    agent = msgspec.json.decode(layout.agent_config("node-1").read_bytes(), type=AgentConfig)
    assert (agent.node, agent.address) == ("node-1", "172.31.255.11")
    assert "token" not in json.loads(layout.agent_config("node-1").read_text())
    assert layout.agent_config("node-1").stat().st_mode & 0o777 == 0o600


def test_a_free_port_can_be_listened_on() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", up._free_port()))


class Api:
    """A cluster whose components get well one look after the other; the last look stays."""

    def __init__(self, *looks: object) -> None:
        self.looks = list(looks)

    def client(self) -> Api:
        return self

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_exception: object) -> None:
        return None

    def status(self) -> object:
        found = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(found, Exception):
            raise found
        return found


def seen(*sick: tuple[str, str, str]) -> dict[str, object]:
    components = [{"node": node, "name": name, "detail": why, "healthy": False} for node, name, why in sick]
    return {"healthy": not sick, "components": [{"node": "", "name": "store", "healthy": True}, *components]}


def test_a_cluster_is_waited_for_until_all_of_it_is_well() -> None:
    api: Any = Api(Unreachable("not yet"), seen(("node-1", "bird", "not started")), seen())
    assert up.wait_well(api, 10) == ""
    assert api.looks == [seen()]


def test_what_does_not_get_well_is_named() -> None:
    sick: Any = Api(seen(("node-1", "bird", "no session"), ("", "store", "disk full")))
    assert up.wait_well(sick, 0) == "node-1 bird: no session; cluster store: disk full"
    gone: Any = Api(Unreachable("nobody answers"))
    assert up.wait_well(gone, 0) == "nobody answers"


def test_a_controller_that_ends_again_and_again_is_not_waited_for(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ending(Api):
        """Its controller writes why, and ends."""

        def list(self, _kind: object) -> object:
            raise Unreachable("nobody answers")

        def process(self, _name: str) -> Any:
            return self.processes()[0]

        def processes(self) -> Any:
            log = Layout("t").controller_state / "log"
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text("controller: the store is damaged\n")
            return [SimpleNamespace(name="controller", state="backoff", restarts=4, log=str(log))]

    ending: Any = Ending()
    monkeypatch.setattr(up, "READY_SECONDS", 1e6)
    with pytest.raises(UpError, match="did not start: controller: controller: the store is damaged"):
        up._wait_ready(ending, ["node-1"])
