"""Real descriptors, sockets and refusals: a process that serves two pods, with room for 64 descriptors."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.support.kernelbed import OUTSIDE4, OUTSIDE6, Bed
from tests.support.wait import until

from tsujiban.agent import descriptors
from tsujiban.agent.descriptors import Descriptors
from tsujiban.kernel import redirect
from tsujiban.proxy.site import PROXY_MARK
from tsujiban.supervise.netns import namespace_path

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]
UID, MOST = 400_001, 64
PROXY = """
import os, select, socket, sys
os.setuid(int(sys.argv[1]))
listeners = [socket.socket(fileno=int(one)) for one in sys.argv[2:]]
held = []
while True:
    for ready in select.select([*listeners, *held], [], [])[0]:
        if ready in listeners:
            held.append(ready.accept()[0])
            held[-1].send(b"!")
        elif not ready.recv(100):
            held.remove(ready)
            ready.close()
"""


@pytest.fixture
def bed() -> Iterator[Bed]:
    made = Bed(("a", "b"))
    yield made
    made.close()


@pytest.fixture
def proxy(bed: Bed) -> Iterator[int]:
    """Stands for the node's Envoy, of which it has the user, and the listeners in both pods; its pid."""
    with ExitStack() as stack:
        port = redirect.Redirect.outbound_port
        listeners = [stack.enter_context(bed.listen(who, port)) for who in bed.pods]
        for one in listeners:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, PROXY_MARK)
        numbers = [one.fileno() for one in listeners]
        command = ["prlimit", f"--nofile={MOST}", sys.executable, "-c", PROXY, *map(str, (UID, *numbers))]
        process = subprocess.Popen(command, pass_fds=numbers)
    yield process.pid
    process.kill()
    process.wait()


@pytest.mark.parametrize("version", [4, 6])
def test_a_pod_that_holds_most_gets_no_more_and_the_other_one_does(
    bed: Bed, proxy: int, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descriptors, "LOOK_SECONDS", 0.01)
    paths = {f"default/{pod.name}": namespace_path(pod.namespace) for pod in bed.pods.values()}
    for path in paths.values():
        redirect.apply(path, redirect.Redirect(proxy_mark=PROXY_MARK))
    shared = Descriptors(UID, lambda: proxy, lambda: paths)
    somewhere = OUTSIDE4 if version == 4 else OUTSIDE6

    def opened(who: str) -> socket.socket:
        made = bed.make(who, version, socket.SOCK_STREAM)
        made.connect((somewhere, 80))
        assert made.recv(1) == b"!"
        return made

    async def story() -> None:
        keeping = asyncio.create_task(shared.keep())
        with ExitStack() as stack:
            stack.enter_context(await asyncio.to_thread(opened, "b"))
            held = []
            while descriptors.used(proxy)[0] <= MOST // 2:
                held.append(stack.enter_context(await asyncio.to_thread(opened, "a")))
            await until(lambda: shared.crowded == {"default/a"})
            assert await asyncio.to_thread(bed.tcp, "a", somewhere, 80) == "refused"
            stack.enter_context(await asyncio.to_thread(opened, "b"))
            for one in held:
                one.sendall(b"still there?")
        await until(lambda: shared.crowded == frozenset())
        (await asyncio.to_thread(opened, "a")).close()
        keeping.cancel()

    assert descriptors.used(proxy)[1] == MOST
    asyncio.run(story())
