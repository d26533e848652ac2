from __future__ import annotations

import asyncio
import os
from pathlib import Path

from tests.support.proxystate import POD_CIDRS, state

from tsujiban.proxy.accesslog import ProxyEvent
from tsujiban.proxy.channel import Channel
from tsujiban.proxy.peers import Peers
from tsujiban.proxy.pod import ServedPod
from tsujiban.proxy.site import NodeSite


def event(log: str) -> ProxyEvent:
    return ProxyEvent(
        time_ns=1, endpoint="", log=log, direction="ingress", verdict="allow", rules=(), source="",
        source_port=0, destination="", destination_port=0,
    )  # fmt: skip


def test_a_log_names_its_pod_also_shortly_after_the_pod_has_left(tmp_path: Path) -> None:
    async def main() -> None:
        seen: list[ProxyEvent] = []
        channel = Channel(tmp_path / "s", os.getuid(), None, lambda: None)
        pod = ServedPod("default/a", NodeSite(namespace="/run/netns/n-a"), lambda: "", seen.append)
        channel.join(pod)
        assert channel._sink("pod:n-a|http")[:2] == ("default/a", "http")
        channel.leave(pod)
        endpoint, base, take = channel._sink("pod:n-a|http")
        assert (endpoint, base) == ("default/a", "http")
        take(event("http"))
        assert len(seen) == 1
        unknown, _, nobody = channel._sink("pod:n-b|http")
        assert unknown == ""
        nobody(event("http"))
        assert len(seen) == 1

    asyncio.run(main())


def test_without_a_stream_nobody_is_ready(tmp_path: Path) -> None:
    async def main() -> None:
        channel = Channel(tmp_path / "s", os.getuid(), None, lambda: None)
        pod = ServedPod("default/server", NodeSite(namespace="/run/netns/n-a"), lambda: "", lambda _: None)
        channel.join(pod)
        assert channel.serves(pod)
        pod.render(state(), POD_CIDRS, Peers(state().peers))
        channel.push(1)
        assert not channel.ready(pod)
        assert channel.problems(pod) == ()
        pod.failure = "cannot"
        assert channel.problems(pod) == ("cannot",)

    asyncio.run(main())
