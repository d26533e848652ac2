"""The node's Envoy: started for the first pod, taken up again without loss, told nothing too early."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.podbed import Supervisor, process
from tests.support.wait import PATIENCE, until

from tsujiban.agent import nodeproxy, sandbox_init
from tsujiban.agent.containers import Place
from tsujiban.agent.nodeproxy import NodeProxy
from tsujiban.kernel import redirect
from tsujiban.policy.program import EndpointProgram, Mesh
from tsujiban.proxy import binary
from tsujiban.proxy.bootstrap import workers
from tsujiban.proxy.site import PROXY_MARK
from tsujiban.resources.kinds.core import Pod

KEY, NAME = "default/web", "n1/proxy"
POD: Pod = msgspec.convert({"metadata": {"name": "web", "namespace": "default", "uid": "u1"}}, Pod)
PROGRAM = EndpointProgram(id=KEY, node="n1", mesh=Mesh.NODE, identity="spiffe://t/x")


class Post:
    """A proxy post that writes down what it is asked."""

    def __init__(self, journal: list[str]) -> None:
        self.journal = journal
        self.remove_from_shared = True
        self.shared_pid = 0
        self.shared_versions: tuple[str, ...] = ()
        self.connects = 1  # the pid of the Envoy that connects at once

    async def share(self, path: Path, _uid: int) -> None:
        self.journal.append(f"share {path.name}")
        self.shared_pid = self.connects

    def add_shared(self, key: str, namespace: str) -> None:
        self.journal.append(f"add {key} {Path(namespace).name[:6]}")

    async def remove(self, key: str) -> None:
        self.journal.append(f"remove {key}")

    def push_shared(self) -> None:
        self.journal.append(f"push, removing {self.remove_from_shared}")

    def ready(self, _key: str) -> bool:
        return True

    async def until_ready(self, _key: str) -> None:
        return None

    def set_secret(self, _key: str, _svid: Any) -> None:
        return None


class Svids:
    """Certificates for everybody."""

    def ensure(self, _key: str, _identity: str) -> None:
        return None

    async def until(self, _key: str) -> None:
        return None

    def get(self, _key: str) -> object:
        return object()

    def remove(self, _key: str) -> None:
        return None


class Scene:
    def __init__(self, run: Path) -> None:
        self.journal: list[str] = []
        self.supervisor = Supervisor(self.journal)
        self.post = Post(self.journal)
        self.wanted: set[str] = set()
        self.listens = [True] * 100  # whether Envoy's listeners are where they should be, each time one looks
        parts: list[Any] = [self.post, Svids(), self.supervisor, lambda: self.wanted]
        self.proxy = NodeProxy("n1", "172.31.255.11", run, *parts)
        self.place = Place(cluster="t", node="n1", node_run=run, slot=1, addresses=("10.244.0.1",))

    async def join(self) -> None:
        await self.proxy.join(KEY, POD, self.place, PROGRAM)


@pytest.fixture
def play(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[Scene], Awaitable[None]]], None]:
    monkeypatch.setattr(binary, "locate", lambda: Path("/usr/bin/true"))
    monkeypatch.setattr(nodeproxy, "make_directory", lambda directory, _uid, _config: os.makedirs(directory))

    def run(story: Callable[[Scene], Awaitable[None]]) -> None:
        async def all_of_it() -> None:
            scene = Scene(tmp_path)

            def apply(_netns: str, mine: redirect.Redirect) -> None:
                scene.journal.append(f"redirect {mine.proxy_mark == PROXY_MARK}")

            monkeypatch.setattr(redirect, "apply", apply)
            monkeypatch.setattr(nodeproxy, "listens_on", lambda _path, _port: scene.listens.pop(0))
            await asyncio.wait_for(story(scene), PATIENCE)

        asyncio.run(all_of_it())

    return run


Play = Callable[[Callable[[Scene], Awaitable[None]]], None]


def test_it_is_started_for_the_first_pod_which_is_redirected_when_it_is_served(play: Play) -> None:
    async def story(scene: Scene) -> None:
        await scene.proxy.resume()
        assert await scene.proxy.behind() == ()
        scene.journal.clear()
        await scene.join()
        assert scene.journal == [
            "share proxy.sock", f"start {NAME}", f"remove {KEY}", f"add {KEY} tsj-t-", "redirect True"
        ]  # fmt: skip
        assert scene.proxy.pods == {KEY}
        await scene.proxy.leave(KEY, POD, scene.place)
        assert scene.proxy.pods == set()
        assert NAME in scene.supervisor.processes

    play(story)


def test_a_pod_whose_namespace_was_made_anew_is_bound_again(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by an agent that did not see it: the Envoy from before still listens in the old one."""
    monkeypatch.setattr(nodeproxy, "LISTEN_TRIES", 2)
    monkeypatch.setattr(nodeproxy, "LISTEN_SECONDS", 0)

    async def story(scene: Scene) -> None:
        scene.supervisor.processes[NAME] = process(NAME)
        scene.wanted = {KEY}
        scene.listens = [False, False, True]
        joining = asyncio.create_task(scene.join())
        await scene.proxy.resume()
        await joining
        push = scene.journal.index("push, removing True")  # before it nothing would be removed
        assert scene.journal[push:] == [
            "push, removing True", f"remove {KEY}", f"add {KEY} tsj-t-", "redirect True"
        ]  # fmt: skip
        scene.listens = [False] * 4
        with pytest.raises(OSError, match="does not listen"):
            await scene.join()

    play(story)


def test_one_that_runs_already_is_told_to_remove_nothing_before_its_pods_are_known(play: Play) -> None:
    async def story(scene: Scene) -> None:
        scene.supervisor.processes[NAME] = process(NAME)
        scene.wanted = {KEY}
        resuming = asyncio.create_task(scene.proxy.resume())
        await until(lambda: scene.journal != [])
        await asyncio.sleep(0.05)
        assert scene.journal == ["share proxy.sock"]
        assert scene.post.remove_from_shared is False
        await scene.join()
        await resuming
        assert scene.journal.index(f"add {KEY} tsj-t-") < scene.journal.index("push, removing True")

    play(story)


@pytest.mark.parametrize(("there", "renewed"), [("1.40.0", False), ("1.39.0", True)])
def test_one_of_another_version_hands_over_when_an_agent_comes(
    play: Play, monkeypatch: pytest.MonkeyPatch, there: str, renewed: bool
) -> None:
    monkeypatch.setattr(binary, "version", lambda: "1.40.0")

    async def story(scene: Scene) -> None:
        scene.supervisor.processes[NAME] = process(NAME)
        scene.post.shared_versions = (there,)
        await scene.proxy.resume()
        assert (f"kill {NAME}" in scene.journal) is renewed

    play(story)


def test_a_pod_that_never_comes_does_not_keep_what_is_over_for_ever(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodeproxy, "RESUME_SECONDS", 0.01)

    async def story(scene: Scene) -> None:
        scene.supervisor.processes[NAME] = process(NAME)
        scene.wanted = {KEY}
        await scene.proxy.resume()
        assert scene.journal[-1] == "push, removing True"

    play(story)


def test_nothing_is_in_force_while_it_runs_and_is_not_connected(play: Play) -> None:
    async def story(scene: Scene) -> None:
        scene.supervisor.processes[NAME] = process(NAME)
        assert await scene.proxy.behind() == (f"{NAME} has not come back yet",)
        scene.supervisor.processes[NAME] = process(NAME, "backoff")  # its pods are closed
        assert await scene.proxy.behind() == ()
        scene.supervisor.processes[NAME] = process(NAME)
        scene.post.shared_pid = 7
        assert await scene.proxy.behind() == ()

    play(story)


def test_a_pod_is_served_by_the_envoy_that_has_held_everything_of_it(play: Play) -> None:
    async def story(scene: Scene) -> None:
        assert not scene.proxy.serves(KEY, {})
        await scene.join()
        assert scene.proxy.serves(KEY, {})
        scene.post.shared_pid = 0
        assert not scene.proxy.serves(KEY, {})

    play(story)


def test_it_has_a_worker_for_each_core(play: Play) -> None:
    async def story(scene: Scene) -> None:
        config = json.loads(scene.proxy.process().env[sandbox_init.VARIABLE])
        line = config["argv"]
        assert line[line.index("--concurrency") + 1] == str(workers())

    play(story)


def test_nodes_of_one_machine_have_users_of_their_own(tmp_path: Path, play: Play) -> None:
    async def story(scene: Scene) -> None:
        parts: list[Any] = [scene.post, Svids(), scene.supervisor, set]
        other = NodeProxy("n2", "172.31.255.12", tmp_path, *parts)
        assert scene.proxy.process().env != other.process().env

    play(story)
