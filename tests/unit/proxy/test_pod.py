from __future__ import annotations

import asyncio
import threading

import msgspec
import pytest
from tests.support.proxystate import CUSTOMER, POD_CIDRS, SERVER, identity, port, rule, state
from tests.support.wait import PATIENCE, until
from tests.unit.proxy.test_channel import event
from tests.unit.proxy.test_connections import event as connection_event

from tsujiban.identity.svid import Svid
from tsujiban.policy.program import NodeState, Side
from tsujiban.proxy import pod as served
from tsujiban.proxy import sockdiag, tls
from tsujiban.proxy.accesslog import ProxyEvent
from tsujiban.proxy.peers import Peers
from tsujiban.proxy.pod import ServedPod
from tsujiban.proxy.programs import Programs
from tsujiban.proxy.resource import Kind
from tsujiban.proxy.site import SIDECAR, NodeSite

SVID = Svid(
    spiffe_id="spiffe://t.example/ns/a/sa/b", chain_pem="C", key_pem="K", bundle_pem="B",
    not_before=0, not_after=1,
)  # fmt: skip


def take(pod: ServedPod, world: NodeState) -> None:
    pod.render(world, POD_CIDRS, Peers(world.peers))


HERE = NodeSite(namespace="/run/netns/n-a")


def test_in_a_nodes_envoy_a_pod_has_nothing_before_it_has_a_key() -> None:
    pod = ServedPod("default/server", HERE, lambda: "", lambda _: None, Programs())
    take(pod, state(rule("r")))
    assert pod.resources == {}
    pod.secrets = {one.name: one for one in tls.secrets(SVID, HERE)}
    assert pod.resources[Kind.LISTENER]
    assert len(pod.resources[Kind.SECRET]) == 3


def test_in_a_sidecar_it_waits_for_the_key_alone() -> None:
    pod = ServedPod("default/server", SIDECAR, lambda: "", lambda _: None, Programs())
    take(pod, state(rule("r")))
    assert pod.resources[Kind.LISTENER]


def test_what_stays_the_same_is_the_same_object() -> None:
    pod = ServedPod("default/server", SIDECAR, lambda: "", lambda _: None, Programs())
    take(pod, state(rule("r")))
    before = pod.resources[Kind.LISTENER]
    take(pod, state(rule("s")))
    assert all(pod.resources[Kind.LISTENER][name] is one for name, one in before.items())


def test_what_came_through_a_service_came_from_the_pod() -> None:
    seen: list[ProxyEvent] = []
    pod = ServedPod("default/server", SIDECAR, lambda: "", seen.append, Programs())
    take(pod, state(rule("r")))
    pod.event(msgspec.structs.replace(event("egress"), direction="egress"))
    pod.event(msgspec.structs.replace(event("egress"), periodic=True))
    assert [one.source for one in seen] == [SERVER]


@pytest.mark.parametrize(("outcome", "expected"), [(True, ["ended"]), (False, []), (OSError("no"), [])])
def test_what_a_change_ends_is_told_also_when_envoy_tells_of_the_end_first(
    monkeypatch: pytest.MonkeyPatch, outcome: bool | OSError, expected: list[str]
) -> None:
    seen: list[ProxyEvent] = []
    pod = ServedPod("default/server", SIDECAR, lambda: "/run/netns/x", seen.append, Programs())
    opened = connection_event()
    ends: list[tuple[object, ...]] = []

    def destroy(*asked: object) -> bool:
        ends.append(asked)
        if isinstance(outcome, OSError):
            raise outcome
        pod.event(msgspec.structs.replace(opened, final=True))
        return outcome

    monkeypatch.setattr(sockdiag, "destroy", destroy)

    async def scenario() -> None:
        take(pod, state(rule("r")))
        pod.event(opened)
        take(pod, state(rule("no", dst=port(1))))
        await pod.end_denied()
        await pod.end_denied()

    asyncio.run(scenario())
    assert [one.log for one in seen if one.log != "tcp"] == expected
    failed = isinstance(outcome, OSError)
    assert len(ends) == (2 if failed else 1)  # what could not be ended is tried again
    assert bool(pod.problem) == failed


def test_what_its_tables_were_made_with_is_told_when_tunnels_of_former_owners_have_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[int] = []
    seen: list[ProxyEvent] = []
    pod = ServedPod("default/server", SIDECAR, lambda: "/here", seen.append, Programs(), told.append)
    there: list[object] = []

    def destroy_from(*_: object) -> list[object]:
        if not there:
            raise OSError("busy")
        return there

    monkeypatch.setattr(sockdiag, "destroy_from", destroy_from)

    async def scenario() -> None:
        take(pod, state(rule("r")))
        pod.accepted(1)
        pod.moved({CUSTOMER: identity("customer")})
        await pod.end_denied()
        assert "busy" in pod.problem
        pod.accepted(2)
        assert told == [1]
        there.append(((SERVER, 15006), (CUSTOMER, 40000)))
        await pod.end_denied()

    asyncio.run(scenario())
    assert told[-1] == 2
    assert pod.problem == ""
    assert {(one.peer, one.source_port) for one in seen} == {(identity("customer"), 40000)}


def test_where_no_crowd_is_let_in_tables_say_who_owns_what_and_nothing_has_to_end() -> None:
    told: list[int] = []
    pod = ServedPod("default/server", SIDECAR, lambda: "/here", lambda _: None, Programs(), told.append)

    async def scenario() -> None:
        take(pod, state(rule("r", src=Side(sets=("clients",)))))
        pod.moved({CUSTOMER: identity("customer")})
        pod.accepted(3)
        await pod.end_denied()

    asyncio.run(scenario())
    assert told[-1] == 3


@pytest.mark.parametrize("leaves", [True, False])
def test_what_was_open_at_a_proxy_that_has_ended_meanwhile_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, leaves: bool
) -> None:
    """It is heard a moment later that it has left; only then."""
    where = "/proc/5/ns/net"

    def gone(*_: object) -> bool:
        raise FileNotFoundError(2, "No such file or directory", where)

    for what in ("destroy", "destroy_from"):
        monkeypatch.setattr(sockdiag, what, gone)
    monkeypatch.setattr(served, "LOOK_SECONDS", 0)
    looks = iter([where] * 5)
    pod = ServedPod(
        "default/server",
        SIDECAR,
        lambda: next(looks, "") if leaves else where,
        lambda _: None,
        Programs(),
    )

    async def scenario() -> None:
        take(pod, state(rule("r")))
        pod.event(connection_event())
        pod.moved({CUSTOMER: identity("customer")})
        take(pod, state(rule("no", dst=port(1))))
        await asyncio.gather(*pod._tasks)
        await pod.end_denied()

    asyncio.run(scenario())
    assert bool(pod.failure) != leaves
    assert bool(pod.problem) != leaves


class Held:
    """Connections of a pod that are ended when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pod = ServedPod("default/server", SIDECAR, lambda: "/run/netns/x", lambda _: None, Programs())
        self.asked = 0
        self.go = threading.Event()
        monkeypatch.setattr(sockdiag, "destroy", self._destroy)
        take(self.pod, state(rule("r")))
        self.pod.event(connection_event())
        take(self.pod, state(rule("no", dst=port(1))))

    def _destroy(self, *_: object) -> bool:
        self.asked += 1
        assert self.go.wait(PATIENCE)
        return True


def test_nobody_is_told_that_all_has_ended_while_another_still_ends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        held = Held(monkeypatch)
        ending = asyncio.create_task(held.pod.end_denied())
        await until(lambda: held.asked == 1)
        other = asyncio.create_task(held.pod.end_denied())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not other.done()
        held.go.set()
        await asyncio.gather(ending, other)
        assert held.asked == 1

    asyncio.run(scenario())


def test_what_was_being_ended_when_nobody_waited_any_more_is_looked_at_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        held = Held(monkeypatch)
        ending = asyncio.create_task(held.pod.end_denied())
        await until(lambda: held.asked == 1)
        ending.cancel()
        await asyncio.gather(ending, return_exceptions=True)
        held.go.set()
        await held.pod.end_denied()
        assert held.asked == 2

    asyncio.run(scenario())
