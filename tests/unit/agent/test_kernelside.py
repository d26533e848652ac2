"""The kernel post of a node: what is asked of nftables and conntrack, and what becomes of errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any

import pytest
from tests.support.wait import PATIENCE, until

from tsujiban.agent import kernelside
from tsujiban.agent.kernelside import KernelSide
from tsujiban.kernel.apply import Applied
from tsujiban.kernel.conntrack import Connection, Ended
from tsujiban.kernel.netlink import InterruptedDumpError
from tsujiban.kernel.nft import NftError
from tsujiban.kernel.render import Settings
from tsujiban.policy.failsafes import Failsafe, Failsafes
from tsujiban.policy.program import EndpointProgram, NodeDelta, NodeState, Peer
from tsujiban.wire.messages import NodeConfig

HERE, THERE = "10.244.0.1", "10.244.0.2"
LOST = Ended(Connection(6, "10.244.0.9", HERE, 1, 2), "_kernel/unknown")


class Post:
    """Stands for nftables."""

    def __init__(self, _settings: object) -> None:
        self.error: Exception | None = None
        self.differences: tuple[str, ...] = ()
        self.verified = 0
        self.settings = Settings()
        self.hosts: dict[str, str] = {}
        self.moved = False

    def host_of(self, address: str) -> str:
        return self.hosts.get(address, "")

    def stale(self) -> bool:
        return self.moved

    def sync(self, _state: NodeState, revision: int) -> Applied:
        if self.error:
            raise self.error
        return Applied(
            revision=revision, commands=1, rebuilt=False, took_us=1, ended=(LOST,), problems=("odd",)
        )

    def verify(self) -> tuple[str, ...]:
        self.verified += 1
        if self.error:
            raise self.error
        return self.differences


class Tracker:
    """Stands for conntrack: one connection from THERE to HERE."""

    def __init__(self) -> None:
        self.asked: list[set[str] | None] = []

    def end_denied(
        self,
        addresses: Collection[str] | None,
        denied: Callable[[Connection], str | None],
        before: Callable[[Sequence[Connection]], None],
    ) -> tuple[Ended, ...]:
        self.asked.append(None if addresses is None else set(addresses))
        connection = Connection(6, THERE, HERE, 40000, 80)
        rule = denied(connection)
        if rule:
            before([connection])
        return (Ended(connection, rule),) if rule else ()


class Scene:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.post, self.tracker = Post(None), Tracker()
        monkeypatch.setattr(kernelside, "KernelPost", lambda settings: self.post)
        monkeypatch.setattr(kernelside, "Conntrack", lambda: self.tracker)
        self.ended: list[Ended] = []
        self.hung_up: list[tuple[int, int]] = []  # revision, how many
        self.side = KernelSide("10.96.0.10", self.ended.extend, self._hang_up)

    def _hang_up(self, state: NodeState, connections: Sequence[Connection]) -> None:
        self.hung_up.append((state.revision, len(connections)))

    def enforce(self, state: NodeState, endpoints: set[str] | None) -> Sequence[str]:
        return asyncio.run(self.side.enforce(state, endpoints))


def state(*, known: bool = True) -> NodeState:
    made = NodeState()
    peers: dict[str, Peer | None] = {HERE: Peer(address=HERE, endpoint="default/a")}
    if known:
        peers[THERE] = Peer(address=THERE, endpoint="default/b")
    endpoint = EndpointProgram(id="default/a", node="n", addresses=(HERE,))
    made.apply(NodeDelta(revision=3, full=True, endpoints={"default/a": endpoint}, peers=peers))
    return made


def test_connections_of_the_endpoints_concerned_are_asked_about_and_the_ended_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene(monkeypatch)
    assert scene.enforce(state(), {"default/a", "default/gone"}) == ("odd",)
    assert scene.tracker.asked == [{HERE}]
    assert scene.hung_up == [(3, 1)]
    assert scene.ended[0] == LOST  # of an address that its pod has lost
    assert [ended.rule for ended in scene.ended[1:]] == [
        "_profile/none"
    ]  # an endpoint without policy or profile


def test_nothing_is_asked_about_when_no_endpoint_is_concerned(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch)
    scene.enforce(state(), set())
    assert scene.tracker.asked == []
    scene.enforce(state(), None)
    assert scene.tracker.asked == [{HERE}]


@pytest.mark.parametrize("error", [NftError("busy"), OSError("no netlink"), InterruptedDumpError("too busy")])
def test_what_the_kernel_refuses_is_a_problem_and_no_crash(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    scene = Scene(monkeypatch)
    scene.post.error = error
    assert scene.enforce(state(), None) == (str(error),)
    assert scene.ended == []


def test_repairs_are_counted_and_an_error_does_not_end_the_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernelside, "VERIFY_SECONDS", 0.005)
    scene = Scene(monkeypatch)

    async def story() -> None:
        task: asyncio.Task[Any] = asyncio.create_task(scene.side.watch())
        scene.post.error = NftError("gone")
        await until(lambda: scene.post.verified > 2)
        assert scene.side.repairs == 0
        scene.post.error, scene.post.differences = None, ("a rule is missing",)
        await until(lambda: scene.side.repairs > 1)
        task.cancel()

    asyncio.run(story())


def test_a_host_endpoint_concerns_every_connection_and_its_failsafes_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene(monkeypatch)
    state = NodeState()
    state.apply(
        NodeDelta(
            revision=1, endpoints={"host/n": EndpointProgram(id="host/n", node="n", host=True, interface="*")}
        )
    )
    scene.post.hosts = {HERE: "host/n"}
    scene.enforce(state, {"host/n"})
    assert scene.tracker.asked == [None]
    assert [one.rule for one in scene.ended] == [LOST.rule, "_profile/none"]
    scene.ended.clear()
    scene.post.settings = Settings(failsafes=Failsafes((Failsafe(6, 80),), ()))
    scene.enforce(state, {"host/n"})
    assert [one.rule for one in scene.ended] == [LOST.rule]


def test_configuration_is_taken_over_and_enforced_and_the_controller_stays_reachable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene(monkeypatch)
    calls: list[int] = []
    scene.side.refresh = lambda: calls.append(1)
    network = NodeConfig(
        trust_domain="t",
        trust_bundle_pem="",
        pod_blocks=(),
        pod_cidrs=(),
        service_cidrs=(),
        dns_address="10.96.0.10",
        cluster_domain="cluster.local",
        api_endpoints=(("172.31.255.1", 6443),),
        failsafe_inbound=(),
        failsafe_outbound=((17, 53, ""),),
        reject=True,
    )
    for _ in range(2):
        scene.side.configure(network, [Failsafe(6, 7443), Failsafe(6, 7444, "192.0.2.1/32")])
    settings = scene.post.settings
    assert (settings.reject, settings.dns_addresses) == (True, ("10.96.0.10",))
    assert settings.api_endpoints == (("172.31.255.1", 6443),)
    lifelines = Failsafe(6, 7443), Failsafe(6, 7444, "192.0.2.1/32")
    assert settings.failsafes == Failsafes((), (Failsafe(17, 53), *lifelines))
    assert calls == [1]


def test_an_address_that_moved_has_the_state_enforced_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernelside, "VERIFY_SECONDS", 0.01)
    scene = Scene(monkeypatch)
    scene.post.moved = True

    async def run() -> None:
        again = asyncio.Event()
        scene.side.refresh = again.set
        watching = asyncio.create_task(scene.side.watch())
        await asyncio.wait_for(again.wait(), PATIENCE)
        watching.cancel()

    asyncio.run(run())
