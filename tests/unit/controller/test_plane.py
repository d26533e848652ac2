"""The control plane on a real store: nodes come and go, say odd things, and nothing falls over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs
from tests.support.wait import PATIENCE

from tsujiban.controller import events, heartbeats, serviceclaims
from tsujiban.controller import plane as module
from tsujiban.controller.config import ControllerConfig
from tsujiban.controller.plane import Plane
from tsujiban.controller.world import ENDPOINT_SLICES, NAMESPACES, NODES, PODS, SERVICES, Json, Ref, is_ready
from tsujiban.store.protocol import MAX_VALUE_BYTES, Key
from tsujiban.store.sqlite import SqliteStore
from tsujiban.wire.messages import (
    PROTOCOL_VERSION,
    Component,
    Enforced,
    Hello,
    NodeConfig,
    NodeStatus,
    PodsDelta,
    PodStatus,
    Policy,
    ToNode,
)
from tsujiban.wire.transport import StreamRefused

NODE = Ref(*NODES, "", "n1")
POD = Ref(*PODS, "default", "web")


class Scene:
    """A control plane, its store, and what it sends to nodes."""

    def __init__(self, store: SqliteStore, plane: Plane) -> None:
        self.store = store
        self.plane = plane
        self.sent: list[tuple[str, ToNode]] = []
        self.cut: list[str] = []

    async def send(self, node: str, message: ToNode) -> bool:
        self.sent.append((node, message))
        return True

    async def hello(self, node: str, address: str) -> None:
        message = Hello(node=node, protocol=PROTOCOL_VERSION, addresses=(address,), version="1")
        await self.plane.hello(node, message)

    async def until(self, test: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not test():
                await self.settled()

    async def settled(self) -> None:
        """Wait for one turn of the loop."""
        turned = asyncio.Event()

        async def turn() -> None:
            turned.set()

        await self.plane.loop.submit(turn)
        await turned.wait()

    async def pod(self) -> Json:
        spec = {"containers": [{"name": "m", "image": "host"}]}
        metadata = {"name": "web", "namespace": "default"}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        await self.store.create(Key(*POD), msgspec.json.encode(pod))
        await self.until(lambda: bool((self.get(POD).get("status") or {}).get("podIP")))
        return self.get(POD)

    def get(self, ref: Ref) -> Json:
        return self.plane.loop.world.get(ref) or {}

    async def say(self, pod: Json, status: object, node: str = "n1") -> None:
        message = PodStatus(pod="default/web", uid=pod["metadata"]["uid"], status=msgspec.json.encode(status))
        await self.plane.message(node, message)
        await self.settled()


@asynccontextmanager
async def scene(path: Path, before: tuple[tuple[Ref, Json], ...] = ()) -> AsyncIterator[Scene]:
    store = await SqliteStore.open(path / "store.db")
    for ref, obj in before:
        await store.create(Key(*ref), msgspec.json.encode(obj))
    plane = Plane(ControllerConfig(cluster="t", state_dir=str(path)), store, "bundle")
    made = Scene(store, plane)
    plane.send = made.send
    plane.disconnect = lambda node, _reason: made.cut.append(node)
    task = asyncio.create_task(plane.run())
    try:
        await plane.loop.synced.wait()
        yield made
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await store.close()


def play(path: Path, story: Callable[[Scene], Awaitable[None]]) -> None:
    async def run() -> None:
        async with scene(path) as made:
            await story(made)

    asyncio.run(run())


def test_a_node_gets_configuration_policy_and_pods_and_is_registered(tmp_path: Path) -> None:
    async def story(made: Scene) -> None:
        await made.hello("n1", "172.16.0.1")
        kinds = [type(message) for node, message in made.sent if node == "n1"]
        assert kinds.index(NodeConfig) < kinds.index(Policy) < kinds.index(PodsDelta)
        assert is_ready(made.get(NODE))
        assert made.get(NODE)["spec"]["podCIDR"] == "10.244.0.0/26"
        assert made.get(Ref(*NAMESPACES, "", "default"))

    play(tmp_path, story)


def test_a_node_cannot_have_anothers_address(tmp_path: Path) -> None:
    async def story(made: Scene) -> None:
        await made.hello("n1", "172.16.0.1")
        with pytest.raises(StreamRefused, match="is the address of node 'n1'"):
            await made.hello("n2", "172.16.0.1")

    play(tmp_path, story)


def test_a_node_claims_no_other_address_that_is_somebodys(tmp_path: Path) -> None:
    """Policy knows a node by its addresses as well: a pod's, or a service's, was its own. Of a node
    with two addresses only the last was looked at."""

    async def story(made: Scene) -> None:
        both = Hello(
            node="n1", protocol=PROTOCOL_VERSION, addresses=("172.16.0.1", "172.16.1.1"), version="1"
        )
        await made.plane.hello("n1", both)
        await made.until(lambda: bool(made.get(NODE)))
        for address, why in (
            ("172.16.0.1", "address of node 'n1'"),
            ("172.16.1.1", "address of node 'n1'"),
            ("10.244.0.5", "where no node is"),
            ("10.96.0.1", "where no node is"),
        ):
            with pytest.raises(StreamRefused, match=why):
                await made.hello("n2", address)
        await made.hello("n2", "172.16.0.2")

    play(tmp_path, story)


def test_a_stream_that_ends_during_its_hello_does_no_harm(tmp_path: Path) -> None:
    async def story(made: Scene) -> None:
        task = asyncio.create_task(made.hello("n1", "172.16.0.1"))
        await asyncio.sleep(0)  # it has submitted its call; the loop has not run it
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await made.plane.gone("n1")
        await made.hello("n2", "172.16.0.2")
        assert not made.plane.distributor.nodes["n1"].connected

    play(tmp_path, story)


def test_a_pods_status_reaches_the_store_though_somebody_else_writes(tmp_path: Path) -> None:
    async def story(made: Scene) -> None:
        await made.hello("n1", "172.16.0.1")
        pod = await made.pod()
        held, go = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            held.set()
            await go.wait()

        await made.plane.loop.submit(hold)  # the loop does not see the label's event first
        await held.wait()
        labelled = {**pod, "metadata": {**pod["metadata"], "labels": {"a": "b"}}}
        saying = asyncio.create_task(made.say(pod, {"phase": "Running", "podIP": "6.6.6.6"}))
        await asyncio.sleep(0)
        version = int(pod["metadata"]["resourceVersion"])
        await made.store.update(Key(*POD), msgspec.json.encode(labelled), version)
        go.set()
        await saying
        stored = msgspec.json.decode((await made.store.get(Key(*POD))).value)
        assert stored["metadata"]["labels"] == {"a": "b"}
        assert stored["status"]["phase"] == "Running"
        assert stored["status"]["podIP"] == pod["status"]["podIP"]  # not the node's to give

    play(tmp_path, story)


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"phase": 5},
        {"phase": "Running", "conditions": 7},
        {"phase": "Running", "conditions": [1]},
        {"phase": "Running", "conditions": None},
        {"phase": "Running", "hostIP": 5},
        {"phase": "Running", "startTime": []},
        {"phase": "Running", "containerStatuses": "all"},
        {"phase": "Running", "containerStatuses": [{"name": "m", "state": "well"}]},
        {"phase": "Running", "containerStatuses": [{"name": "m", "state": {"waiting": "long"}}]},
        {"phase": "Running", "containerStatuses": [{"name": ["m"], "state": {}}]},
        {"phase": "Running", "initContainerStatuses": [{"name": "m", "ready": "yes"}]},
    ],
)
def test_a_status_that_is_none_is_not_written(tmp_path: Path, status: object) -> None:
    """A node that lied so ended the controller, and the next one: policy and events rely on what it says."""

    async def story(made: Scene) -> None:
        await made.hello("n1", "172.16.0.1")
        pod = await made.pod()
        await made.say(pod, status)
        assert made.get(POD) == pod

    play(tmp_path, story)


def test_a_node_gives_no_address_to_a_pod_that_has_none_yet(tmp_path: Path) -> None:
    """What owns an address is what policy takes it for, everywhere."""

    async def story(made: Scene) -> None:
        await made.hello("n1", "172.16.0.1")
        spec = {"nodeName": "n1", "containers": [{"name": "m", "image": "host"}]}
        head = {"name": "web", "namespace": "default", "uid": "u"}
        pod: Json = {"apiVersion": "v1", "kind": "Pod", "metadata": head, "spec": spec}
        made.plane._addresses.allocate = lambda *_: ()  # type: ignore[method-assign]  # the pools are exhausted
        await made.store.create(Key(*POD), msgspec.json.encode(pod))
        await made.until(lambda: bool(made.get(POD).get("status")))
        await made.say(
            made.get(POD), {"phase": "Running", "podIP": "10.244.9.9", "podIPs": [{"ip": "10.244.9.9"}]}
        )
        assert not made.get(POD)["status"].keys() & {"podIP", "podIPs"}

    play(tmp_path, story)


def test_an_object_that_leaves_no_room_for_its_status_stops_nothing(tmp_path: Path) -> None:
    """A user's policy, as large as an object may be, ended the controller when it added the status."""
    ref = Ref("networking.k8s.io", "networkpolicies", "default", "all")
    policy: Json = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "all", "namespace": "default", "annotations": {"a": ""}},
        "spec": {"podSelector": {}},
    }

    async def story(made: Scene) -> None:
        room = MAX_VALUE_BYTES - len(msgspec.json.encode(policy))
        policy["metadata"]["annotations"]["a"] = "x" * room
        await made.hello("n1", "192.0.2.1")
        with capture_logs() as told:
            await made.store.create(Key(*ref), msgspec.json.encode(policy))
            await made.until(lambda: any(line["event"] == "an object is not written" for line in told))
        pod = await made.pod()
        await made.say(pod, {"phase": "Running"})
        assert made.get(POD)["status"]["phase"] == "Running"
        annotations = {"a": "x" * (MAX_VALUE_BYTES - 2000)}
        large = {**made.get(POD), "metadata": {**made.get(POD)["metadata"], "annotations": annotations}}
        await made.store.update(Key(*POD), msgspec.json.encode(large), None)
        await made.until(lambda: bool(made.get(POD)["metadata"].get("annotations")))
        await made.say(pod, {"phase": "Running", "message": "y" * 4000})
        assert "message" not in made.get(POD)["status"]

    play(tmp_path, story)


def test_a_node_speaks_of_its_own_pods_only(tmp_path: Path) -> None:
    async def story(made: Scene) -> None:
        await made.hello("n1", "172.16.0.1")
        pod = await made.pod()
        await made.say(pod, {"phase": "Failed"}, node="n2")
        await made.say({"metadata": {"uid": "older"}}, {"phase": "Failed"})
        assert made.get(POD) == pod
        assert made.plane.pod_identity("n1", "default/web") == "spiffe://cluster.local/ns/default/sa/default"
        assert made.plane.pod_identity("n2", "default/web") is None
        assert made.plane.pod_identity("n1", "default/other") is None

    play(tmp_path, story)


def test_a_deleted_node_is_disconnected_loses_its_pods_and_may_still_speak(tmp_path: Path) -> None:
    async def story(made: Scene) -> None:
        await made.hello("n1", "172.16.0.1")
        await made.pod()
        component = Component(name="agent", healthy=True)
        await made.plane.message("n1", NodeStatus(components=(component,)))
        await made.store.delete(Key(*NODE))
        await made.until(lambda: not made.get(NODE) and not made.get(POD))
        await made.plane.message("n1", Enforced(revision=1, took_us=1))
        await made.settled()
        assert made.cut == ["n1"]
        assert made.plane.components == {}

    play(tmp_path, story)


def test_a_node_of_before_that_does_not_come_back_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NODE_GRACE", 0.05)
    old = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "n1"},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }

    async def run() -> None:
        async with scene(tmp_path, ((NODE, old),)) as made:
            assert is_ready(made.get(NODE))
            await made.until(lambda: not is_ready(made.get(NODE)))

    asyncio.run(run())


def test_a_node_that_goes_and_comes_back_in_time_stays_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NODE_GRACE", 0.1)

    async def story(made: Scene) -> None:
        await made.hello("n1", "172.16.0.1")
        await made.plane.gone("n1")
        await made.hello("n1", "172.16.0.1")
        while made.plane._later:
            await asyncio.gather(*made.plane._later)
        await made.settled()
        assert is_ready(made.get(NODE))
        await made.plane.gone("n1")
        await made.until(lambda: not is_ready(made.get(NODE)))

    play(tmp_path, story)


def test_a_node_that_outgrows_its_block_announces_the_next_one_too(tmp_path: Path) -> None:
    async def story(made: Scene) -> None:
        await made.hello("n1", "172.16.0.1")
        configs = [m for _, m in made.sent if isinstance(m, NodeConfig)]
        assert len(configs) == 1  # what is no news is not sent again
        for number in range(65):
            spec = {"containers": [{"name": "m", "image": "host"}]}
            metadata = {"name": f"p{number}", "namespace": "default"}
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
            key = Key(*PODS, "default", f"p{number}")
            await made.store.create(key, msgspec.json.encode(pod))
        await made.until(lambda: len(made.get(NODE)["spec"]["podCIDRs"]) == 2)
        await made.settled()
        (_, last) = [m for _, m in made.sent if isinstance(m, NodeConfig)]
        assert last.pod_blocks == ("10.244.0.0/26", "10.244.0.64/26")

    play(tmp_path, story)


def test_a_policys_status_follows_the_pods_it_selects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RECOUNT_SECONDS", 0.05)
    ref = Ref("networking.k8s.io", "networkpolicies", "default", "all")
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "all", "namespace": "default"},
        "spec": {"podSelector": {}},
    }

    async def story(made: Scene) -> None:
        def selected() -> object:
            return (made.get(ref).get("status") or {}).get("selectedEndpoints")

        await made.hello("n1", "192.0.2.1")
        await made.store.create(Key(*ref), msgspec.json.encode(policy))
        await made.until(lambda: selected() == 0)
        await made.pod()
        await made.until(lambda: selected() == 1)


def test_a_node_has_a_lease_and_is_not_ready_while_it_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)

    async def story(made: Scene) -> None:
        await made.hello("n1", "172.16.0.1")
        await made.hello("n2", "172.16.0.2")
        lease = made.get(heartbeats.lease_of("n1"))
        assert lease["spec"]["holderIdentity"] == "n1"
        monkeypatch.setattr(heartbeats, "SILENT_SECONDS", 0.0)
        await made.until(lambda: not is_ready(made.get(NODE)))
        assert made.plane.distributor.is_connected("n1")
        await made.until(lambda: len(made.get(NODE)["spec"].get("taints", ())) == 2)
        monkeypatch.setattr(heartbeats, "SILENT_SECONDS", 1000.0)
        monkeypatch.setattr(heartbeats, "RENEW_SECONDS", 0.0)
        await made.plane.message("n1", NodeStatus(components=()))
        await made.until(lambda: is_ready(made.get(NODE)) and "taints" not in made.get(NODE)["spec"])
        assert made.get(heartbeats.lease_of("n1"))["spec"]["renewTime"] > lease["spec"]["renewTime"]

    play(tmp_path, story)


def test_a_lease_goes_with_its_node_and_none_is_kept_without_the_namespace(tmp_path: Path) -> None:
    async def story(made: Scene) -> None:
        await made.hello("n1", "172.16.0.1")
        await made.store.delete(Key(*NODE))
        await made.until(lambda: not made.get(heartbeats.lease_of("n1")))
        await made.plane.message("n1", NodeStatus(components=()))
        await made.settled()
        assert not made.get(heartbeats.lease_of("n1"))

    play(tmp_path, story)


def test_services_of_before_that_share_an_address_are_told_so(tmp_path: Path) -> None:
    def service(name: str) -> tuple[Ref, Json]:
        metadata = {"name": name, "namespace": "default"}
        spec = {"clusterIP": "10.96.0.7", "ports": [{"port": 80}]}
        made = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
        return Ref(*SERVICES, "default", name), made

    async def run() -> None:
        async with scene(tmp_path, (service("a"), service("b"))) as made:

            def said() -> set[tuple[str, str]]:
                found = [event for _, event in made.plane.loop.world.all(events.EVENTS)]
                return {(event["reason"], event["involvedObject"]["name"]) for event in found}

            await made.until(lambda: ("ClusterIPAlreadyAllocated", "b") in said())
            assert ("ClusterIPAlreadyAllocated", "a") not in said()
            (claim,) = (await made.store.list(serviceclaims.GROUP, serviceclaims.RESOURCE)).items
            assert claim.key.name == "10.96.0.7"

    asyncio.run(run())


def test_endpoints_by_hand_go_with_their_service(tmp_path: Path) -> None:
    def made_by_hand(resource: str, kind: str, **parts: Json | list[Json]) -> tuple[Ref, Json]:
        metadata = {"name": "db", "namespace": "default"}
        found = {"apiVersion": "v1", "kind": kind, "metadata": metadata, **parts}
        return Ref("", resource, "default", "db"), found

    service = made_by_hand("services", "Service", spec={"ports": [{"port": 5432}]})
    listed = made_by_hand("endpoints", "Endpoints", subsets=[{"addresses": [{"ip": "192.0.2.1"}]}])

    async def run() -> None:
        async with scene(tmp_path, (service, listed)) as made:
            mirror = Ref(*ENDPOINT_SLICES, "default", "db-mirror-0")
            await made.until(lambda: bool(made.get(mirror)))
            await made.store.delete(Key(*service[0]))
            await made.until(lambda: not made.get(listed[0]) and not made.get(mirror))

    asyncio.run(run())


def test_who_waits_for_a_place_near_others_is_placed_when_one_has_come(tmp_path: Path) -> None:
    near = Ref(*PODS, "default", "near")
    selector = {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}
    term = {"labelSelector": selector, "topologyKey": "kubernetes.io/hostname"}
    affinity = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": near.name, "namespace": near.namespace, "labels": {"app": "near"}},
        "spec": {"containers": [{"name": "m", "image": "host"}], "affinity": affinity},
    }

    async def story(made: Scene) -> None:
        await made.hello("n1", "172.16.0.1")
        await made.store.create(Key(*near), msgspec.json.encode(pod))
        await made.until(lambda: bool(made.get(near).get("status")))
        assert made.get(near)["status"]["conditions"][0]["reason"] == "Unschedulable"
        await made.pod()
        await made.until(lambda: bool(made.get(near)["status"].get("podIP")))

    play(tmp_path, story)
