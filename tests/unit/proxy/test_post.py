from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from msgspec import structs
from tests.support.proxystate import CUSTOMER, POD_CIDRS, rule, state
from tests.support.wait import PATIENCE

from tsujiban.proxy import names
from tsujiban.proxy import post as post_module
from tsujiban.proxy.channel import Channel
from tsujiban.proxy.owners import Owners
from tsujiban.proxy.parting import Parting
from tsujiban.proxy.pod import ServedPod
from tsujiban.proxy.post import ProxyPost
from tsujiban.proxy.resource import Kind


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, PATIENCE))


def test_a_sidecar_that_is_not_connected_is_not_waited_for(tmp_path: Path) -> None:
    async def main() -> None:
        post = ProxyPost(POD_CIDRS, Owners(tmp_path / "owners"))
        world = state(rule("r"))
        post.update(world)
        await post.add("default/server", tmp_path / "s", os.getuid())
        assert await post.enforced(world.revision) == ()
        assert post.connected() == frozenset()
        assert not post.ready("default/server")
        assert not post.ready("default/nobody")
        await post.close()

    run(main())


def test_a_revision_that_is_yet_to_come_is_waited_for(tmp_path: Path) -> None:
    async def main() -> None:
        post = ProxyPost(POD_CIDRS, Owners(tmp_path / "owners"))
        world = state()
        waiting = asyncio.create_task(post.enforced(world.revision))
        await asyncio.sleep(0)
        assert not waiting.done()
        post.update(world)
        assert await waiting == ()

    run(main())


def test_a_pod_is_served_once_and_its_socket_goes_with_it(tmp_path: Path) -> None:
    async def main() -> None:
        post = ProxyPost(POD_CIDRS, Owners(tmp_path / "owners"))
        path = tmp_path / "s"
        await post.add("default/server", path, os.getuid())
        with pytest.raises(ValueError, match="served already"):
            await post.add("default/server", path, os.getuid())
        assert path.is_socket()
        await post.remove("default/server")
        await post.remove("default/server")
        assert not path.exists()
        await post.add("default/server", path, os.getuid())
        await post.close()

    run(main())


def test_pods_of_the_nodes_own_proxy_come_and_go_on_one_socket(tmp_path: Path) -> None:
    async def main() -> None:
        post = ProxyPost(POD_CIDRS, Owners(tmp_path / "owners"))
        path = tmp_path / "node"
        with pytest.raises(ValueError, match="not served yet"):
            post.add_shared("default/server", "/run/netns/a")
        await post.share(path, os.getuid())
        with pytest.raises(ValueError, match="served already"):
            await post.share(path, os.getuid())
        post.add_shared("default/server", "/run/netns/a")
        with pytest.raises(ValueError, match="served already"):
            post.add_shared("default/server", "/run/netns/a")
        with pytest.raises(ValueError, match="another pod in /run/netns/a"):
            post.add_shared("default/other", "/run/netns/a")
        await post.remove("default/server")
        assert path.is_socket()
        post.add_shared("default/server", "/run/netns/b")
        await post.close()

    run(main())


def test_between_two_pods_others_have_their_turn(tmp_path: Path) -> None:
    async def main() -> None:
        post = ProxyPost(POD_CIDRS, Owners(tmp_path / "owners"))
        world = state(rule("r"))
        for number in range(3):
            endpoint = structs.replace(world.endpoints["default/server"], id=f"default/{number}")
            world.endpoints[endpoint.id] = endpoint
            await post.add(endpoint.id, tmp_path / str(number), os.getuid())
        assert await post.enforced(0) == ()
        rendered: list[str] = []
        with mock.patch.object(ServedPod, "render", lambda pod, *_: rendered.append(pod.endpoint)):
            post.update(world)
            assert rendered == []
            waiting = asyncio.create_task(post.enforced(world.revision))
            for number in range(3):
                await asyncio.sleep(0)
                assert len(rendered) == number + 1
            assert await waiting == ()
            post.update(world, {"default/1", "default/nobody"})
            assert await post.enforced(world.revision) == ()
        assert rendered == ["default/0", "default/1", "default/2", "default/1"]
        await post.close()

    run(main())


def test_a_peer_that_moved_concerns_every_pod(tmp_path: Path) -> None:
    async def main() -> None:
        post = ProxyPost(POD_CIDRS, Owners(tmp_path / "owners"))
        world = state(rule("r"))
        await post.add("default/server", tmp_path / "s", os.getuid())
        post.update(world)
        assert await post.enforced(world.revision) == ()
        rendered: list[str] = []
        with mock.patch.object(ServedPod, "render", lambda pod, *_: rendered.append(pod.endpoint)):
            post.update(world, set())
            assert await post.enforced(world.revision) == ()
            assert rendered == []
            del world.peers[CUSTOMER]
            post.update(world, set())
            assert await post.enforced(world.revision) == ()
        assert rendered == ["default/server"]
        await post.close()

    run(main())


def test_rendering_that_fails_is_told_to_who_waits_for_it(tmp_path: Path) -> None:
    async def main() -> None:
        post = ProxyPost(POD_CIDRS, Owners(tmp_path / "owners"))
        await post.add("default/server", tmp_path / "s", os.getuid())
        assert await post.enforced(0) == ()
        with mock.patch.object(ServedPod, "render", side_effect=LookupError("no")):
            post.update(state())
            with pytest.raises(LookupError, match="no"):
                await post.enforced(7)
        assert not post.ready("default/server")
        await post.close()

    run(main())


def test_a_proxy_from_before_loses_nothing_before_its_pod_is_rendered(tmp_path: Path) -> None:
    async def main() -> None:
        post = ProxyPost(POD_CIDRS, Owners(tmp_path / "owners"))
        world = state(rule("r"))
        post.update(world)
        with mock.patch.object(post_module, "Channel", wraps=Channel) as made:
            await post.add("default/server", tmp_path / "s", os.getuid())
        removes = made.call_args.args[4]
        assert not removes()
        assert await post.enforced(world.revision) == ()
        assert removes()
        await post.close()

    run(main())


def test_a_pod_that_ends_is_rendered_as_that(tmp_path: Path) -> None:
    async def main() -> None:
        post = ProxyPost(POD_CIDRS, Owners(tmp_path / "owners"))
        world = state(rule("r"))
        post.update(world)
        await post.add("default/server", tmp_path / "s", os.getuid())
        pod = post._pods["default/server"][0]
        await post.enforced(world.revision)
        before = pod.resources[Kind.EXTENSION][names.HEADERS].version
        post.part("default/server", Parting.CLOSING)
        post.part("default/nobody", Parting.CLOSING)
        await post.enforced(world.revision)
        assert pod.resources[Kind.EXTENSION][names.HEADERS].version != before
        await post.close()

    run(main())
