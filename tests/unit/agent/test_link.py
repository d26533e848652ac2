"""The link comes back by itself, loses nothing that matters, and believes no one but its controller."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.support.nodestream import FULL, Controller, controller, hello
from tests.support.pki import Pki, listener
from tests.support.wait import PATIENCE, until

from tsujiban.agent import link as agent_link
from tsujiban.agent.credentials import CredentialsError, NodeCredentials, load
from tsujiban.agent.link import ControllerLink
from tsujiban.identity.keys import create_csr, new_key
from tsujiban.identity.rotation import SignFailed
from tsujiban.identity.verify import verify_chain
from tsujiban.policy.program import NodeDelta
from tsujiban.wire.messages import (
    Component,
    Enforced,
    Flow,
    Flows,
    NodeStatus,
    PodStatus,
    Policy,
    Sign,
    Signed,
    ToNode,
)
from tsujiban.wire.transport import StreamLost

NODE = "node-1"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_link, "FIRST_RETRY", 0.01)
    monkeypatch.setattr(agent_link, "LAST_RETRY", 0.1)


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


class Agent:
    """A link and what it heard."""

    def __init__(self, pki: Pki, port: int, lifetime: float = 3600.0) -> None:
        pki.node(NODE, lifetime)
        self.heard: list[ToNode] = []
        self.connections = 0
        self.link = ControllerLink(
            [("127.0.0.1", port)],
            NODE,
            pki.directory / NODE,
            lambda: hello(NODE),
            on_connected=self._connected,
        )

    def _connected(self) -> None:
        self.connections += 1

    async def hear(self) -> None:
        """Take all messages."""
        async for message in self.link.messages():
            self.heard.append(message)


@asynccontextmanager
async def agent(pki: Pki, port: int, lifetime: float = 3600.0) -> AsyncIterator[Agent]:
    running = Agent(pki, port, lifetime)
    tasks = [asyncio.create_task(running.link.run()), asyncio.create_task(running.hear())]
    try:
        yield running
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def run(pki: Pki, scenario: Callable[[Controller, Agent], Awaitable[None]], lifetime: float = 3600.0) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(PATIENCE),
            controller(pki) as running,
            agent(pki, running.port, lifetime) as node,
        ):
            await scenario(running, node)

    asyncio.run(main())


def status(name: str) -> NodeStatus:
    return NodeStatus(components=(Component(name=name, healthy=True),))


def flows(count: int = 1) -> Flows:
    flow = Flow(
        time_ns=1,
        node=NODE,
        post="kernel",
        direction="ingress",
        endpoint="default/web",
        verdict="deny",
        rule="r",
        source="10.0.0.1",
        source_port=1,
        destination="10.0.0.2",
        destination_port=2,
        protocol=6,
    )
    return Flows(flows=(flow,) * count)


# ---------------------------------------------------------------- both ways


def test_hears_and_is_heard(pki: Pki) -> None:
    async def scenario(running: Controller, node: Agent) -> None:
        await until(lambda: node.heard == [FULL])
        assert node.link.connected
        update = Policy(delta=NodeDelta(revision=2))
        assert await running.server.send(NODE, update)
        await until(lambda: node.heard == [FULL, update])
        node.link.send(Enforced(revision=2, took_us=5))
        await until(lambda: running.messages == [(NODE, Enforced(revision=2, took_us=5))])
        assert (node.connections, node.link.dropped, node.link.renewal_error) == (1, 0, "")

    run(pki, scenario)


def test_sign(pki: Pki) -> None:
    async def scenario(_running: Controller, node: Agent) -> None:
        chains = await asyncio.gather(
            *(node.link.sign("", create_csr(new_key(), [])) for _ in range(20))  # before it is connected
        )
        assert len(set(chains)) == 20
        for chain_pem in chains:
            assert verify_chain(chain_pem, pki.ca.bundle_pem, pki.trust_domain)
        assert node.heard == [FULL]  # answers are no news for the agent

    run(pki, scenario)


def test_refused_sign(pki: Pki) -> None:
    async def scenario(running: Controller, node: Agent) -> None:
        async def refuse(_node: str, request: Sign) -> Signed:
            return Signed(request=request.request, error="" if request.pod else "not yours")

        running.server._sign = refuse
        with pytest.raises(SignFailed, match="not yours"):
            await node.link.sign("", "csr")
        with pytest.raises(SignFailed, match="sent no certificate"):
            await node.link.sign("a/b", "csr")

    run(pki, scenario)


def test_answers_that_nobody_asked_for_are_ignored(pki: Pki) -> None:
    async def scenario(running: Controller, node: Agent) -> None:
        await until(lambda: node.heard == [FULL])
        for request in (0, -1, 7, 2**40):
            await running.server.send(NODE, Signed(request=request, chain_pem="x"))
        assert "BEGIN CERTIFICATE" in await node.link.sign("", create_csr(new_key(), []))
        assert node.connections == 1

    run(pki, scenario)


def test_sign_gives_up(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_link, "SIGN_TIMEOUT", 0.1)

    async def scenario(running: Controller, node: Agent) -> None:
        async def never(_node: str, _request: Sign) -> Signed:
            await asyncio.Event().wait()
            raise AssertionError

        running.server._sign = never
        with pytest.raises(SignFailed, match="did not answer"):
            await node.link.sign("", "csr")
        assert node.link._waiting == {}

    run(pki, scenario)


# ---------------------------------------------------------------- away and back


def test_controller_stops_and_comes_back(pki: Pki) -> None:
    async def scenario(running: Controller, node: Agent) -> None:
        await until(lambda: node.heard == [FULL])
        await running.stop()
        await until(lambda: not node.link.connected)
        node.link.send(PodStatus(pod="a/b", uid="u", status=b'{"phase":"Pending"}'))
        node.link.send(PodStatus(pod="a/b", uid="u", status=b'{"phase":"Running"}'))
        await running.start()
        await until(lambda: node.heard == [FULL, FULL])
        await until(lambda: bool(running.messages))
        assert running.messages == [(NODE, PodStatus(pod="a/b", uid="u", status=b'{"phase":"Running"}'))]
        assert node.connections == 2

    run(pki, scenario)


def test_killed_controller(pki: Pki) -> None:
    """kill -9, three times; the link is back each time, and a waiting `sign` fails at once."""

    @asynccontextmanager
    async def process(port: int) -> AsyncIterator[asyncio.subprocess.Process]:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.support.nodeserver",
            str(pki.directory),
            str(port),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert child.stdout is not None
            assert await child.stdout.readline() == b"ready\n"
            yield child
        finally:
            if child.returncode is None:
                child.send_signal(signal.SIGKILL)
            await child.wait()

    async def main() -> None:
        with listener() as sock:
            port: int = sock.getsockname()[1]
        async with asyncio.timeout(PATIENCE), agent(pki, port) as node:
            for round_ in range(1, 4):
                async with process(port):
                    await until(lambda: node.link.connected, PATIENCE)
                    assert await node.link.sign("", create_csr(new_key(), []))
                    await until(lambda r=round_: node.heard == [FULL] * r)  # type: ignore[misc]
                await until(lambda: not node.link.connected)

    asyncio.run(main())


def test_waiting_sign_fails_when_the_connection_is_lost(pki: Pki) -> None:
    async def scenario(running: Controller, node: Agent) -> None:
        asked = asyncio.Event()

        async def never(_node: str, _request: Sign) -> Signed:
            asked.set()
            await asyncio.Event().wait()
            raise AssertionError

        running.server._sign = never
        waiting = asyncio.create_task(node.link.sign("", "csr"))
        await asked.wait()
        running.server.disconnect(NODE, "test")
        with pytest.raises(SignFailed, match="was lost"):
            await waiting

    run(pki, scenario)


def test_back_off_is_capped_and_does_not_spin(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        slept.append(seconds)
        await sleep(0)

    def longest(_low: float, high: float) -> float:
        return high

    async def main() -> None:
        with listener() as sock:
            port: int = sock.getsockname()[1]
        monkeypatch.setattr("random.uniform", longest)
        monkeypatch.setattr(agent_link, "STABLE", float("inf"))  # however long a refusal takes here
        async with agent(pki, port):
            with monkeypatch.context() as patch:
                patch.setattr(asyncio, "sleep", noted)
                while len(slept) < 6:
                    await sleep(0.002)

    asyncio.run(main())
    assert slept[:6] == pytest.approx([0.02, 0.04, 0.08, 0.1, 0.1, 0.1])


# ---------------------------------------------------------------- bounded memory


def test_statuses_coalesce_and_flows_are_dropped_while_away(pki: Pki) -> None:
    async def main() -> None:
        node = Agent(pki, 1)
        for number in range(5000):
            node.link.send(flows())
            node.link.send(status(str(number)))
            node.link.send(PodStatus(pod=f"a/{number % 10}", uid="u", status=b"{}"))
            node.link.send(Enforced(revision=number, took_us=1))
        assert len(node.link._outbox) <= agent_link.FLOWS_LIMIT + 12
        assert node.link.dropped > 3000
        assert not node.link.takes_flows()

    asyncio.run(main())


def test_oversize_message_is_dropped_not_fatal(pki: Pki) -> None:
    async def scenario(running: Controller, node: Agent) -> None:
        await until(lambda: node.link.connected)
        node.link.send(PodStatus(pod="a/b", uid="u", status=b'"' + b"x" * (5 * 1024 * 1024) + b'"'))
        node.link.send(Enforced(revision=1, took_us=1))
        await until(lambda: running.messages == [(NODE, Enforced(revision=1, took_us=1))])
        assert (node.link.dropped, node.connections) == (1, 1)

    run(pki, scenario)


# ---------------------------------------------------------------- false controllers


def test_false_controller_is_not_believed(pki: Pki, tmp_path: Path) -> None:
    """Another authority took the port: the link stays down and says nothing; the true one gets it back."""

    async def main() -> None:
        (tmp_path / "evil").mkdir()
        async with asyncio.timeout(PATIENCE):
            evil = Controller(Pki(tmp_path / "evil"))
            await evil.start()
            async with agent(pki, evil.port) as node:
                await asyncio.sleep(0.3)
                assert (node.connections, node.heard, evil.events) == (0, [], [])
                await evil.stop()
                true = Controller(pki)
                true.port = evil.port
                await true.start()
                await until(lambda: node.heard == [FULL])
                await true.stop()

    asyncio.run(main())


def test_controller_of_another_name_is_not_believed(pki: Pki) -> None:
    async def main() -> None:
        running = Controller(pki)
        await running.start(pki.server(dns="other", address="127.0.0.9"))
        async with agent(pki, running.port) as node:
            await asyncio.sleep(0.3)
            assert (node.connections, running.events) == (0, [])
        await running.stop()

    asyncio.run(main())


def test_server_name_can_differ_from_the_host(pki: Pki) -> None:
    async def main() -> None:
        running = Controller(pki)
        await running.start(pki.server(dns="controller.bank.local", address="127.0.0.9"))
        pki.node(NODE)
        connected = asyncio.Event()
        link = ControllerLink(
            [("127.0.0.1", running.port)],
            NODE,
            pki.directory / NODE,
            lambda: hello(NODE),
            server_name="controller.bank.local",
            on_connected=connected.set,
        )
        task = asyncio.create_task(link.run())
        await asyncio.wait_for(connected.wait(), PATIENCE)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await running.stop()

    asyncio.run(main())


def test_malformed_message_makes_it_start_over(pki: Pki) -> None:
    async def scenario(running: Controller, node: Agent) -> None:
        await until(lambda: node.heard == [FULL])
        stream = running.server._sessions[NODE].stream
        await stream._stream.send_message(b"\xc1")
        await until(lambda: node.heard == [FULL, FULL])

    run(pki, scenario)


# ---------------------------------------------------------------- the node's own certificate


def test_own_certificate_is_renewed_with_a_new_key_and_the_stream_lives(pki: Pki) -> None:
    async def scenario(_running: Controller, node: Agent) -> None:
        path = pki.directory / NODE / "node.pem"
        before, old = path.read_text(), load(pki.directory / NODE, NODE)
        await until(lambda: path.read_text() != before)
        renewed = load(pki.directory / NODE, NODE)
        assert renewed.not_after > old.not_after
        assert before.split("-----BEGIN CERT")[0] not in path.read_text()
        assert path.stat().st_mode & 0o777 == 0o600
        assert (node.connections, node.link.renewal_error) == (1, "")

    # 60 s of backdating count as life: due at once
    run(pki, scenario, lifetime=50.0)


def test_refused_renewal_is_reported_and_the_old_one_stays(pki: Pki) -> None:
    async def scenario(running: Controller, node: Agent) -> None:
        path = pki.directory / NODE / "node.pem"
        before = path.read_text()

        async def lie(_node: str, request: Sign) -> Signed:
            chain_pem = pki.ca.sign_node(create_csr(new_key(), []), NODE)
            return Signed(request=request.request, chain_pem=chain_pem)

        running.server._sign = lie
        await until(lambda: "another key" in node.link.renewal_error)
        assert path.read_text() == before
        assert node.link.connected

    run(pki, scenario, lifetime=50.0)


def test_missing_credentials_are_no_crash(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    missed: list[str] = []

    def tried(directory: Path, name: str) -> NodeCredentials:
        try:
            return load(directory, name)
        except CredentialsError as error:
            missed.append(str(error))
            raise

    monkeypatch.setattr(agent_link, "load", tried)

    async def scenario(running: Controller, node: Agent) -> None:
        await until(lambda: node.link.connected)
        (pki.directory / NODE / "node.pem").unlink()
        await running.stop()
        await until(lambda: not node.link.connected)
        await running.start()
        seen = len(missed)
        await until(lambda: len(missed) >= seen + 2)  # it goes on trying, and a controller is there
        assert not node.link.connected
        pki.node(NODE)
        await until(lambda: node.link.connected)

    run(pki, scenario)


def test_tokens_are_asked_for_on_the_stream(pki: Pki) -> None:
    async def scenario(_running: Controller, node: Agent) -> None:
        issued, chain = await asyncio.gather(
            node.link.token("ns/p", "uid", 600, "vault"), node.link.sign("", create_csr(new_key(), []))
        )
        assert (issued.token, issued.expires) == (f"{NODE} ns/p vault", 1.0)
        assert "BEGIN CERTIFICATE" in chain
        with pytest.raises(SignFailed, match="not yours"):
            await node.link.token("ns/p", "refused", 600, "")

    run(pki, scenario)


def test_it_ends_also_when_the_connection_is_lost_in_the_same_moment(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of which grpclib tells in the place of the cancellation."""
    connecting = asyncio.Event()

    @asynccontextmanager
    async def lost(*_: object, **__: object) -> AsyncIterator[None]:
        first = not connecting.is_set()
        connecting.set()
        try:
            await asyncio.Event().wait()
        finally:
            if first:
                raise StreamLost("lost")
        yield

    async def main() -> None:
        pki.node(NODE)
        monkeypatch.setattr(agent_link, "connect", lost)
        link = ControllerLink([("127.0.0.1", 1)], NODE, pki.directory / NODE, lambda: hello(NODE))
        task = asyncio.create_task(link.run())
        await asyncio.wait_for(connecting.wait(), PATIENCE)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=PATIENCE)
        assert done
        assert task.cancelled()

    asyncio.run(main())
