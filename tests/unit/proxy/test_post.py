from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.support.proxystate import POD_CIDRS, rule, state

from tsujiban.proxy.post import ProxyPost


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 10))


def test_a_sidecar_that_is_not_connected_is_not_waited_for(tmp_path: Path) -> None:
    async def main() -> None:
        post = ProxyPost(POD_CIDRS)
        world = state(rule("r"))
        post.update(world)
        await post.add("default/server", tmp_path / "s", os.getuid())
        assert await post.enforced(world.revision) == ()
        assert post.connected() == frozenset()
        assert not post.ready("default/server")
        assert not post.ready("default/nobody")
        await post.close()

    run(main())


def test_a_revision_that_is_yet_to_come_is_waited_for() -> None:
    async def main() -> None:
        post = ProxyPost(POD_CIDRS)
        world = state()
        waiting = asyncio.create_task(post.enforced(world.revision))
        await asyncio.sleep(0)
        assert not waiting.done()
        post.update(world)
        assert await waiting == ()

    run(main())


def test_a_pod_is_served_once_and_its_socket_goes_with_it(tmp_path: Path) -> None:
    async def main() -> None:
        post = ProxyPost(POD_CIDRS)
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
        post = ProxyPost(POD_CIDRS)
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
