"""Nodes that lie, that are slow, that come twice, and that go."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.nodestream import FULL, Controller, controller, hello, refused
from tests.support.pki import Pki
from tests.support.wait import PATIENCE, until

from tsujiban.controller import nodes
from tsujiban.identity.keys import create_csr, new_key
from tsujiban.identity.tls import client_context
from tsujiban.identity.verify import verify_chain
from tsujiban.policy.program import NodeDelta
from tsujiban.wire.messages import (
    Component,
    Enforced,
    Flow,
    Flows,
    Hello,
    NodeStatus,
    OpenSession,
    PodStatus,
    Policy,
    Sign,
    Signed,
    ToController,
)
from tsujiban.wire.sessions import ForwardAsk
from tsujiban.wire.transport import (
    ServerStream,
    StreamLost,
    StreamRefused,
    connect_session,
    connect_standby,
)


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


def run(pki: Pki, scenario: Callable[[Controller], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), controller(pki) as running:
            await scenario(running)

    asyncio.run(main())


# ---------------------------------------------------------------- the good case


def test_messages_arrive_in_order_under_the_certificates_name(pki: Pki) -> None:
    async def scenario(running: Controller) -> None:
        async with running.greeted("node-1") as stream:
            assert running.server.nodes() == {"node-1"}
            for revision in range(20):
                await stream.send(Enforced(revision=revision, took_us=1))
            await until(lambda: len(running.messages) == 20)
        await until(lambda: running.events == [("hello", "node-1"), ("gone", "node-1")])
        assert running.server.nodes() == frozenset()
        assert [(n, m.revision) for n, m in running.messages if isinstance(m, Enforced)] == [
            ("node-1", revision) for revision in range(20)
        ]

    run(pki, scenario)


def test_send(pki: Pki) -> None:
    async def scenario(running: Controller) -> None:
        assert not await running.server.send("node-1", FULL)
        async with running.greeted("node-1") as one, running.greeted("node-2") as two:
            for node, stream, revision in (("node-1", one, 5), ("node-2", two, 6)):
                message = Policy(delta=NodeDelta(revision=revision))
                assert await running.server.send(node, message)
                assert await stream.next() == message
        await until(lambda: not running.server.nodes())
        assert not await running.server.send("node-1", FULL)

    run(pki, scenario)


def test_sign_is_answered_on_the_stream(pki: Pki) -> None:
    async def scenario(running: Controller) -> None:
        async with running.greeted("node-1") as stream:
            await stream.send(Sign(request=9, pod="", csr_pem=create_csr(new_key(), [])))
            answer = await stream.next()
            assert isinstance(answer, Signed)
            assert answer.request == 9
            assert verify_chain(answer.chain_pem, pki.ca.bundle_pem, pki.trust_domain)
        assert running.messages == []

    run(pki, scenario)


# ---------------------------------------------------------------- who gets in


async def expect_refusal(
    running: Controller, node: str, first: ToController, reason: str, context: ssl.SSLContext | None = None
) -> None:
    async with refused(reason), running.client(node, context) as stream:
        await stream.send(first)
        await stream.next()
    assert running.events == []
    assert running.server.nodes() == frozenset()


@pytest.mark.parametrize("name", ["node-2", "", "NODE-1", "node-1\n"])
def test_hello_in_another_name(pki: Pki, name: str) -> None:
    async def scenario(running: Controller) -> None:
        await expect_refusal(running, "node-1", hello(name), "the certificate 'node-1'")

    run(pki, scenario)


def test_first_message_is_not_hello(pki: Pki) -> None:
    async def scenario(running: Controller) -> None:
        await expect_refusal(
            running, "node-1", Enforced(revision=1, took_us=1), "first message must be Hello"
        )
        csr_pem = create_csr(new_key(), [])
        await expect_refusal(
            running, "node-1", Sign(request=1, pod="", csr_pem=csr_pem), "first message must be Hello"
        )

    run(pki, scenario)


def test_other_protocol_version(pki: Pki) -> None:
    async def scenario(running: Controller) -> None:
        await expect_refusal(running, "node-1", hello("node-1", protocol=99), "upgrade the older side")

    run(pki, scenario)


@pytest.mark.parametrize(
    "addresses",
    [
        ("172.31.255.11", "garbage"),
        ("",),
        ("172.31.255.11/24",),
        ("172.31.255.11; route 0.0.0.0/0",),
        ("127.0.0.1",),
        ("0.0.0.0",),  # noqa: S104  # not bound to
        ("224.0.0.1",),
        ("::",),
        ("FE80::1",),
        ("fe80::1%eth0\n",),
        tuple(f"10.0.0.{i}" for i in range(17)),
    ],
)
def test_odd_addresses(pki: Pki, addresses: tuple[str, ...]) -> None:
    """They would end up in the routing configuration of other nodes."""

    async def scenario(running: Controller) -> None:
        first = msgspec.structs.replace(hello("node-1"), addresses=addresses)
        await expect_refusal(running, "node-1", first, "Hello names")

    run(pki, scenario)


@pytest.mark.parametrize(
    "system",
    [
        {"kubeletVersion": "v9"},
        {"osImage": "x" * 201},
        {"osImage": "Debian\x1b[2J"},
        {"kernelVersion": "6\n"},
    ],
)
def test_a_node_says_of_its_machine_only_what_is_its_to_say(pki: Pki, system: dict[str, str]) -> None:
    async def scenario(running: Controller) -> None:
        first = msgspec.structs.replace(hello("node-1"), system=system)
        await expect_refusal(running, "node-1", first, "its machine")

    run(pki, scenario)


def test_workload_is_no_node(pki: Pki) -> None:
    """A breached pod with its real key opens a node stream."""

    async def scenario(running: Controller) -> None:
        for path in ("/ns/default/sa/web", "/ns/node/sa/node-1"):
            context = client_context(pki.workload(path), pki.ca.bundle_pem)
            await expect_refusal(running, "node-1", hello("node-1"), "is not a node", context)

    run(pki, scenario)


def test_administrator_is_no_node(pki: Pki) -> None:
    async def scenario(running: Controller) -> None:
        key = new_key()
        credentials = pki.pem_file("admin.pem", key, pki.ca.sign_admin(create_csr(key, []), "node-1"))
        context = client_context(credentials, pki.ca.bundle_pem)
        await expect_refusal(running, "node-1", hello("node-1"), "certificate has 0 URI", context)

    run(pki, scenario)


def test_silent_client_is_sent_away(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "HELLO_TIMEOUT", 0.1)

    async def scenario(running: Controller) -> None:
        async with refused("no Hello"), running.client("node-1") as stream:
            await stream.next()

    run(pki, scenario)


def test_stream_ends_when_the_certificate_expires(pki: Pki) -> None:
    """A stolen, not renewed certificate is not good for ever because a stream is open."""

    async def scenario(running: Controller) -> None:
        credentials = pki.node("node-1")
        context = client_context(credentials.path, pki.ca.bundle_pem)
        running.server._clock = lambda: credentials.not_after - 0.3
        async with refused("has expired"), running.client("node-1", context) as stream:
            await stream.send(hello("node-1"))
            assert await stream.next() == FULL
            await stream.next()
        await until(lambda: running.events[-1] == ("gone", "node-1"))

    run(pki, scenario)


# ---------------------------------------------------------------- what an admitted node may say


def flow(node: str) -> Flow:
    return Flow(
        time_ns=1,
        node=node,
        post="kernel",
        direction="ingress",
        endpoint="default/web",
        verdict="allow",
        rule="r",
        source="10.0.0.1",
        source_port=1,
        destination="10.0.0.2",
        destination_port=2,
        protocol=6,
    )


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (hello("node-1"), "second Hello"),
        (Flows(flows=(flow("node-1"), flow("node-2"))), "name of another node"),
        (
            Flows(flows=(msgspec.structs.replace(flow("node-1"), path="x" * 20_000),)),
            "more than 16384 characters",
        ),
        (PodStatus(pod="a/b", uid="u", status=b""), "not a JSON object"),
        (PodStatus(pod="a/b", uid="u", status=b"[1]"), "not a JSON object"),
        (PodStatus(pod="a/b", uid="u", status=b"\xff"), "not a JSON object"),
        (PodStatus(pod="a/b", uid="u", status=b'{"a":' * 100_000), "not a JSON object"),
        (Policy(delta=NodeDelta(revision=1)), "not a message"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_lies_end_the_stream(pki: Pki, message: ToController, reason: str) -> None:
    async def scenario(running: Controller) -> None:
        async with refused(reason), running.greeted("node-1") as stream:
            await stream.send(message)
            await stream.next()
        assert running.messages == []
        async with running.greeted("node-1"):  # and it may try again, honestly
            pass

    run(pki, scenario)


def test_honest_records_arrive(pki: Pki) -> None:
    async def scenario(running: Controller) -> None:
        said: list[ToController] = [
            Flows(flows=(flow("node-1"),)),
            PodStatus(pod="a/b", uid="u", status=msgspec.json.encode({"phase": "Running"})),
        ]
        async with running.greeted("node-1") as stream:
            for message in said:
                await stream.send(message)
            await until(lambda: [message for _, message in running.messages] == said)

    run(pki, scenario)


# ---------------------------------------------------------------- twice, slow, gone


def test_newer_stream_replaces_the_older(pki: Pki) -> None:
    async def scenario(running: Controller) -> None:
        async with (
            refused("replaced by a newer"),
            running.greeted("node-1") as older,
            running.greeted("node-1") as newer,
        ):
            update = Policy(delta=NodeDelta(revision=2))
            assert await running.server.send("node-1", update)
            assert await newer.next() == update
            await older.next()
        # the older one's end is not the node's
        assert running.events[:2] == [("hello", "node-1"), ("hello", "node-1")]
        await until(lambda: len(running.events) == 3)
        assert running.events[2] == ("gone", "node-1")

    run(pki, scenario)


def test_replacement_waits_until_the_older_ones_last_message_is_handled(pki: Pki) -> None:
    """Two streams of one node are never handled at the same time; a stuck handler is cancelled."""

    async def scenario(running: Controller) -> None:
        running.hold = asyncio.Event()
        async with refused("replaced"), running.greeted("node-1") as older:
            await older.send(Enforced(revision=1, took_us=1))
            async with running.greeted("node-1") as newer:
                running.hold.set()
                await newer.send(Enforced(revision=2, took_us=1))
                await until(lambda: bool(running.messages))
                assert running.messages == [("node-1", Enforced(revision=2, took_us=1))]
                await older.next()

    run(pki, scenario)


def test_many_streams_at_once_leave_one(pki: Pki) -> None:
    async def scenario(running: Controller) -> None:
        context = client_context(pki.node("node-1").path, pki.ca.bundle_pem)
        ends: list[str] = []

        async def one() -> None:
            try:
                async with running.client("node-1", context) as stream:
                    await stream.send(hello("node-1"))
                    while True:
                        await stream.next()
            except StreamRefused as error:
                ends.append(str(error))

        tasks = [asyncio.create_task(one()) for _ in range(10)]
        await until(lambda: len(ends) == 9)
        assert set(ends) == {"replaced by a newer stream of the same node"}
        assert running.server.nodes() == {"node-1"}
        assert await running.server.send("node-1", FULL)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await until(lambda: not running.server.nodes())
        assert running.events.count(("gone", "node-1")) == 1
        assert running.events[-1] == ("gone", "node-1")

    run(pki, scenario)


def test_slow_node_must_start_over(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads nothing: the controller's memory stays bounded."""
    monkeypatch.setattr(nodes, "QUEUE_LIMIT", 8)

    async def scenario(running: Controller) -> None:
        large = Signed(request=1, chain_pem="x" * (1024 * 1024))
        async with refused("too slow"), running.greeted("node-1") as stream:
            sent = 0
            while await running.server.send("node-1", large):
                sent += 1
                assert sent < 200
                await asyncio.sleep(0)
            while True:
                await stream.next()
        assert not await running.server.send("node-1", FULL)

    run(pki, scenario)


def test_disconnect(pki: Pki) -> None:
    async def scenario(running: Controller) -> None:
        running.server.disconnect("node-9", "unknown: nothing happens")
        async with refused("the node was deleted"), running.greeted("node-1") as stream:
            running.server.disconnect("node-1", "the node was deleted")
            await stream.next()
        await until(lambda: running.events[-1] == ("gone", "node-1"))

    run(pki, scenario)


def test_closing_tells_the_nodes(pki: Pki) -> None:
    async def scenario(running: Controller) -> None:
        async with refused("stopping"), running.greeted("node-1") as stream:
            closing = asyncio.create_task(running.server.close())
            await stream.next()
        await closing
        assert running.events == [("hello", "node-1"), ("gone", "node-1")]

    run(pki, scenario)


@pytest.mark.parametrize("arrived", [True, False], ids=["stream-open", "connection-open"])
def test_a_stream_that_is_only_just_opening_does_not_outlive_the_server(
    pki: Pki, monkeypatch: pytest.MonkeyPatch, arrived: bool
) -> None:
    """A node that was served by a controller that has stopped would hear nothing, and believe all is well."""
    admitting = asyncio.Event()
    admit = nodes.NodeServer._admit

    async def noted(
        server: nodes.NodeServer, stream: ServerStream, among: dict[str, nodes._Session]
    ) -> tuple[nodes._Session, Hello]:
        admitting.set()
        return await admit(server, stream, among)

    monkeypatch.setattr(nodes.NodeServer, "_admit", noted)

    async def connect_late(running: Controller) -> None:
        async with running.client("node-1") as stream:
            if arrived:
                await admitting.wait()
            await running.server.close()
            await stream.send(hello("node-1"))
            await stream.next()

    async def scenario(running: Controller) -> None:
        with pytest.raises((StreamRefused, StreamLost)):
            await connect_late(running)
        assert running.events == []
        assert running.server.nodes() == frozenset()

    run(pki, scenario)


def test_refusing_hello_handler(pki: Pki) -> None:
    async def scenario(running: Controller) -> None:
        async def refuse(_node: str, _hello: object) -> None:
            raise StreamRefused("no address block left")

        running.server._on_hello = refuse
        async with refused("no address block left"), running.client("node-1") as stream:
            await stream.send(hello("node-1"))
            await stream.next()
        await until(lambda: running.server.nodes() == frozenset())

    run(pki, scenario)


def test_defective_handler_ends_one_stream_only(pki: Pki) -> None:
    async def scenario(running: Controller) -> None:
        async def defect(_node: str, _message: object) -> None:
            raise ZeroDivisionError

        async with running.greeted("node-2") as other:
            good, running.server._on_message = running.server._on_message, defect
            async with refused("Internal"), running.greeted("node-1") as stream:
                await stream.send(Enforced(revision=1, took_us=1))
                await stream.next()
            running.server._on_message = good
            await other.send(Enforced(revision=1, took_us=1))
            await until(lambda: running.messages == [("node-2", Enforced(revision=1, took_us=1))])

    run(pki, scenario)


def test_coalescing_of_what_waits(pki: Pki) -> None:
    """The merge hook sees what waits behind a slow node, and the node gets the merged message."""

    async def scenario(running: Controller) -> None:
        running.server._merge_key = lambda m: "policy" if isinstance(m, Policy) else None
        running.server._merge = lambda old, new: new
        async with running.greeted("node-1") as stream:
            for revision in range(2, 100):  # no await: the writer cannot run between
                running.server._sessions["node-1"].outbox.put(Policy(delta=NodeDelta(revision=revision)))
            assert await stream.next() == Policy(delta=NodeDelta(revision=99))

    run(pki, scenario)


# ---------------------------------------------------------------- nodes that obey another controller

ASKED = OpenSession(session="secret", pod="default/a", uid="u", ask=ForwardAsk(port=80))
ILL = NodeStatus(components=(Component(name="bird", healthy=False),))


def test_a_node_that_obeys_another_is_asked_for_sessions_and_tells_what_people_ask_for(pki: Pki) -> None:
    async def scenario(running: Controller) -> None:
        assert not await running.server.ask("node-1", ASKED)
        async with running.standing_by("node-1") as stream:
            assert await running.server.ask("node-1", ASKED)
            assert await stream.next() == ASKED
            assert not await running.server.send("node-1", FULL)  # it takes no orders from here
            await stream.send(ILL)
            await stream.send(Flows(flows=(flow("node-1"),)))
            await until(lambda: len(running.told) == 2)
            assert running.told == [("node-1", ILL), ("node-1", Flows(flows=(flow("node-1"),)))]
        await until(lambda: not running.server.nodes())
        assert not await running.server.ask("node-1", ASKED)
        assert (running.events, running.messages) == ([], [])

    run(pki, scenario)


def test_a_revoked_certificate_ends_its_stream_and_opens_none(pki: Pki) -> None:
    async def scenario(running: Controller) -> None:
        async with running.greeted("node-2"):
            async with refused("it was revoked"), running.greeted("node-1") as stream:
                running.revoked["node-1"] = "it was revoked"
                running.server.end_revoked()
                await stream.next()
            await until(lambda: running.events[-1] == ("gone", "node-1"))
            async with refused("it was revoked"), running.client("node-1") as stream:
                await stream.send(hello("node-1"))
                await stream.next()
            assert running.server.nodes() == {"node-2"}
            running.revoked.clear()
            async with running.greeted("node-1"):
                assert running.server.nodes() == {"node-1", "node-2"}

    run(pki, scenario)


def test_a_session_is_asked_for_over_the_stream_that_there_is(pki: Pki) -> None:
    async def scenario(running: Controller) -> None:
        async with running.standing_by("node-1") as beside:
            async with running.greeted("node-1") as stream:
                assert await running.server.ask("node-1", ASKED)
                assert await stream.next() == ASKED
            await until(lambda: ("gone", "node-1") in running.events)
            assert await running.server.ask("node-1", ASKED)
            assert await beside.next() == ASKED

    run(pki, scenario)


def test_whoever_has_no_stream_serves_no_session(pki: Pki) -> None:
    async def scenario(running: Controller) -> None:
        context = client_context(pki.node("node-1").path, pki.ca.bundle_pem)
        where = ("127.0.0.1", running.port, context, "127.0.0.1")
        async with refused("no stream"), connect_session(*where) as session:
            await session.next()
        async with running.standing_by("node-1"), connect_session(*where) as session:
            await session.end()
        assert running.events == [("session", "node-1")]

    run(pki, scenario)


@pytest.mark.parametrize(
    ("first", "reason"),
    [(hello("node-2"), "certificate"), (hello("node-1", protocol=9), "protocol 9"), (ILL, "must be Hello")],
)
def test_such_a_stream_begins_as_any_other(pki: Pki, first: Hello | NodeStatus, reason: str) -> None:
    async def scenario(running: Controller) -> None:
        context = client_context(pki.node("node-1").path, pki.ca.bundle_pem)
        async with (
            refused(reason),
            connect_standby("127.0.0.1", running.port, context, "127.0.0.1") as stream,
        ):
            await stream.send(first)
            await stream.next()
        assert running.server.nodes() == frozenset()

    run(pki, scenario)


def test_such_a_node_that_lies_or_wants_more_is_cut_off(pki: Pki) -> None:
    async def scenario(running: Controller) -> None:
        for message in (
            Flows(flows=(flow("node-2"),)),
            Enforced(revision=1, took_us=1),
            Sign(request=1, pod="", csr_pem=""),
            hello("node-1"),
        ):
            async with running.standing_by("node-1") as stream:
                raw: Any = stream
                await raw.send(message)
                with pytest.raises(StreamRefused):
                    await stream.next()
            await until(lambda: not running.server.nodes())
        assert (running.told, running.messages, running.events) == ([], [], [])

    run(pki, scenario)


def test_a_controller_that_stops_ends_these_streams_too(pki: Pki) -> None:
    async def scenario(running: Controller) -> None:
        async with refused(nodes.STOPPING), running.standing_by("node-1") as stream:
            stopping = asyncio.create_task(running.stop())
            await stream.next()
        await stopping

    run(pki, scenario)


def test_what_is_revoked_before_hello_is_refused(pki: Pki) -> None:
    async def scenario(running: Controller) -> None:
        async with refused("it was revoked"), running.client("node-1") as stream:
            await until(lambda: running.seen == ["node-1"])
            running.revoked["node-1"] = "it was revoked"
            await stream.send(hello("node-1"))
            await stream.next()
        assert running.events == []

    run(pki, scenario)


def test_it_ends_what_is_open_beside_the_stream_too(pki: Pki) -> None:
    async def scenario(running: Controller) -> None:
        context = client_context(pki.node("node-1").path, pki.ca.bundle_pem)
        where = ("127.0.0.1", running.port, context, "127.0.0.1")
        running.serving = asyncio.Event()
        async with (
            refused("it was revoked"),
            running.standing_by("node-1") as beside,
            connect_session(*where) as session,
        ):
            await until(lambda: ("session", "node-1") in running.events)
            running.revoked["node-1"] = "it was revoked"
            running.server.end_revoked()
            async with refused("it was revoked"):
                await session.next()
            await beside.next()
        await until(lambda: not running.server.nodes())

    run(pki, scenario)
