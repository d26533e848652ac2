from __future__ import annotations

import asyncio
import os
from pathlib import Path

import msgspec
import pytest
from tests.support.proxystate import CUSTOMER, PLAIN, POD_CIDRS, STRANGER, identity, rule, state

from tsujiban.policy.program import Authentication, MtlsMode, Side
from tsujiban.proxy import names
from tsujiban.proxy.accesslog import ProxyEvent
from tsujiban.proxy.channel import Channel
from tsujiban.proxy.peers import Peers
from tsujiban.proxy.pod import ServedPod
from tsujiban.proxy.programs import Programs
from tsujiban.proxy.resource import Resources
from tsujiban.proxy.session import Session
from tsujiban.proxy.site import SIDECAR, NodeSite


def event(log: str) -> ProxyEvent:
    return ProxyEvent(
        time_ns=1, endpoint="", log=log, direction="ingress", verdict="allow", rules=(), source="",
        source_port=0, destination="", destination_port=0,
    )  # fmt: skip


def test_a_log_names_its_pod_also_shortly_after_the_pod_has_left(tmp_path: Path) -> None:
    async def main() -> None:
        seen: list[ProxyEvent] = []
        channel = Channel(tmp_path / "s", os.getuid(), None, lambda: None)
        pod = ServedPod(
            "default/a", NodeSite(namespace="/run/netns/n-a"), lambda: "", seen.append, Programs()
        )
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
        pod = ServedPod(
            "default/server", NodeSite(namespace="/run/netns/n-a"), lambda: "", lambda _: None, Programs()
        )
        channel.join(pod)
        assert channel.serves(pod)
        pod.render(state(), POD_CIDRS, Peers(state().peers))
        channel.push(1)
        assert not channel.ready(pod)
        assert channel.problems(pod) == ()
        pod.failure = "cannot"
        assert channel.problems(pod) == ("cannot",)

    asyncio.run(main())


class Generations:
    """Two Envoys, of which the old one may be told to end."""

    def __init__(self) -> None:
        self.succeeded: tuple[int, ...] = (7,)
        self.ended = 0

    def end_old(self) -> None:
        self.ended += 1


class TwoStreams:
    """An ADS server to which so many are connected."""

    def __init__(self) -> None:
        self.sessions = [Session(), Session()]

    def push(self, _desired: Resources, _revision: int, *_keyless: object) -> None:
        return None


@pytest.mark.parametrize("old", [True, False], ids=["after a hot restart", "there is no old one"])
@pytest.mark.parametrize("away", [False, True], ids=["the new one is there", "and comes later"])
def test_an_old_envoy_is_ended_when_the_way_in_changes_but_not_before_the_new_one_is_there(
    tmp_path: Path, old: bool, away: bool
) -> None:
    async def main() -> None:
        channel = Channel(tmp_path / "s", os.getuid(), None, lambda: None)
        generations, ads = Generations(), TwoStreams()
        generations.succeeded = (7,) if old else ()
        channel._generations, channel._ads = generations, ads  # type: ignore[assignment]  # all it needs of them
        pod = ServedPod("default/server", SIDECAR, lambda: "", lambda _: None, Programs())
        channel.join(pod)
        world = state()
        pod.render(world, POD_CIDRS, Peers(world.peers))
        channel.push(1)
        new = ads.sessions.pop() if away else None
        channel.push(2)
        assert generations.ended == 0
        endpoint = world.endpoints["default/server"]
        lax = Authentication(mode=MtlsMode.PERMISSIVE)
        world.endpoints["default/server"] = msgspec.structs.replace(endpoint, authentication=lax)
        pod.render(world, POD_CIDRS, Peers(world.peers))
        channel.push(3)
        if new is not None:
            assert generations.ended == 0
            ads.sessions.append(new)
            channel._heard()
        assert generations.ended == (1 if old else 0)
        channel._heard()
        channel.push(4)
        assert generations.ended == (1 if old else 0)

    asyncio.run(main())


def test_a_proxy_is_given_the_tunnels_that_its_pods_may_open_and_no_other(tmp_path: Path) -> None:
    async def main() -> None:
        rendered = [False]
        channel = Channel(tmp_path / "s", os.getuid(), None, lambda: None, lambda: rendered[0])
        pod = ServedPod("default/server", SIDECAR, lambda: "", lambda _: None, Programs())
        channel.join(pod)

        def told(address: str, generation: str = names.ASKED) -> str | None:
            answer = channel._cluster(names.mesh_cluster(generation, address))
            if answer is None:
                return None
            if answer.cluster is None:
                return ""
            encoded = answer.cluster.encoded()
            owners = ("customer", "stranger")
            return next((one for one in owners if identity(one).encode() in encoded), "")

        assert told(CUSTOMER) is None
        world = state(egress=(rule("e", dst=Side(sets=("clients",))),))
        peers = Peers(world.peers)
        pod.render(world, POD_CIDRS, peers)
        assert told(CUSTOMER) == "customer"
        assert told(CUSTOMER, names.LISTED) == "customer"
        assert told(STRANGER) is None  # another pod, not rendered yet, might be let there
        rendered[0] = True
        for address in (STRANGER, PLAIN, "10.244.9.9", "192.0.2.1"):
            assert told(address) == ""
        world.peers[CUSTOMER] = world.peers[STRANGER]
        peers.take(world.peers)
        assert told(CUSTOMER) == "stranger"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(pod.renderer), "avoided", frozenset({identity("stranger")}))
            assert told(CUSTOMER) == ""  # it was revoked
        del world.peers[CUSTOMER]
        channel.moved(peers.take(world.peers))
        assert told(CUSTOMER) == "stranger"  # something may lead there yet
        channel.push(2)  # with no Envoy that could know of it
        assert told(CUSTOMER) == ""

    asyncio.run(main())


def test_a_proxy_is_given_the_services_that_its_pod_may_use_and_their_endpoints_come_after(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        rendered, again = [False], list[str]()
        channel = Channel(
            tmp_path / "s", os.getuid(), None, lambda: None, lambda: rendered[0], again=again.append
        )
        site = NodeSite(namespace="/run/netns/n-a")
        pod = ServedPod("default/server", site, lambda: "", lambda _: None, Programs())
        channel.join(pod)

        def told(name: str) -> str | None:
            answer = channel._cluster(name)
            return None if answer is None else answer.cluster.name if answer.cluster else ""

        where = names.service_cluster(names.ASKED, "10.96.0.9:80")
        assert told(site.name(where)) is None
        pod.render(state(), POD_CIDRS, Peers(state().peers))
        for _ in range(2):
            assert told(site.name(where)) == site.name(where)
        assert again == ["default/server"]
        assert told(where) is None  # another pod's, which may come yet
        rendered[0] = True
        assert told(where) == told(site.name(names.service_cluster(names.ASKED, "10.96.0.9:81"))) == ""

    asyncio.run(main())


def test_what_the_proxy_tells_of_its_tunnels_goes_to_who_keeps_them(tmp_path: Path) -> None:
    async def main() -> None:
        seen: list[ProxyEvent] = []
        channel = Channel(tmp_path / "s", os.getuid(), None, lambda: None)
        channel.join(ServedPod("default/server", SIDECAR, lambda: "", seen.append, Programs()))
        told: list[tuple[str, str]] = []
        handler = channel._on_demand
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(handler, "wanted", lambda name: told.append(("wanted", name)))
            patch.setattr(handler, "used", lambda name: told.append(("used", name)))
            wanted = msgspec.structs.replace(event(names.WANTED_LOG), detail="name")
            tunnel = msgspec.structs.replace(event(names.TUNNEL_LOG), far=(CUSTOMER, 80), peer="spiffe://t/x")
            for one in (wanted, tunnel, event("egress")):
                _, _, take = channel._sink(one.log)
                take(one)
        assert told == [("wanted", "name"), ("used", names.mesh_cluster(names.ASKED, CUSTOMER))]
        assert [one.log for one in seen] == ["egress"]

    asyncio.run(main())


@pytest.mark.parametrize("closing", [False, True])
@pytest.mark.parametrize("turns", range(1, 8))
def test_who_gives_up_while_it_opens_or_closes_leaves_no_socket_behind(
    tmp_path: Path, turns: int, closing: bool
) -> None:
    """In whichever turn of the loop."""

    async def main() -> None:
        channel = Channel(tmp_path / "s", os.getuid(), None, lambda: None)
        before = len(os.listdir("/proc/self/fd"))
        if closing:
            await channel.open()
        task = asyncio.create_task(channel.close(unlink=True) if closing else channel.open())
        for _ in range(turns):
            await asyncio.sleep(0)
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        elif not closing:
            await channel.close(unlink=True)
        await asyncio.sleep(0)  # what is closed is let go of in the next turn
        assert not channel.path.exists()
        assert len(os.listdir("/proc/self/fd")) == before
        again = Channel(channel.path, os.getuid(), None, lambda: None)
        await again.open()
        await again.close(unlink=True)

    asyncio.run(main())
