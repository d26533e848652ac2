"""Nodes get what concerns them, and a revision is called enforced only when it is."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

import msgspec

from tsujiban.controller import enforcement
from tsujiban.controller.distribution import Distributor
from tsujiban.controller.loop import Change
from tsujiban.controller.reconcile.actions import Update
from tsujiban.controller.world import NAMESPACES, NODES, PODS, Json, Ref, World
from tsujiban.policy.graph import PolicyGraph
from tsujiban.wire.messages import Enforced, PodsDelta, Policy, ToNode

NP = ("networking.k8s.io", "networkpolicies")
POLICY = Ref(*NP, "default", "deny")


def signed(serials: Iterable[int]) -> str:
    return " ".join(("signed", *(f"{one:x}" for one in sorted(serials))))


class Scene:
    """A world, a distributor, and what it sends."""

    def __init__(self) -> None:
        self.world = World()
        self.sent: list[tuple[str, ToNode]] = []
        self.distributor = Distributor(PolicyGraph("cluster.local"), self._send, signed)
        self.revision = 0

    async def _send(self, node: str, message: ToNode) -> None:
        self.sent.append((node, message))

    async def put(self, ref: Ref, obj: Json | None) -> None:
        self.revision += 1
        old = self.world.get(ref)
        if obj is None:
            self.world.drop(ref)
        else:
            obj["metadata"].setdefault("uid", f"uid-{ref.name}")
            obj["metadata"]["resourceVersion"] = str(self.revision)
            self.world.put(ref, obj)
        await self.distributor.observe(self.world, [Change(ref, old, obj, self.revision)])

    async def basics(self) -> None:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}
        await self.put(Ref(*NAMESPACES, "", "default"), namespace)
        for name in ("n1", "n2"):
            node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
            await self.put(Ref(*NODES, "", name), node)
            await self.distributor.connected(self.world, name)
        await self.put(*pod("a", "n1", "10.0.0.1"))
        await self.put(*pod("b", "n2", "10.0.0.2"))
        for name in ("n1", "n2"):
            self.distributor.enforced(name, Enforced(revision=self.revision, took_us=1))
        self.sent.clear()

    def policies(self, node: str) -> list[Policy]:
        return [m for n, m in self.sent if n == node and isinstance(m, Policy)]

    def pods(self, node: str) -> list[PodsDelta]:
        return [m for n, m in self.sent if n == node and isinstance(m, PodsDelta)]

    def status(self) -> Json | None:
        actions = enforcement.plan(self.world, POLICY, self.distributor)
        if not actions:
            return None
        assert isinstance(actions[0], Update)
        condition: Json = actions[0].obj["status"]["conditions"][1]
        return condition


def pod(name: str, node: str, ip: str, **labels: str) -> tuple[Ref, Json]:
    obj = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "spec": {"nodeName": node, "containers": [{"name": "m", "image": "host"}]},
        "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}]},
    }
    return Ref(*PODS, "default", name), obj


def deny(**labels: str) -> Json:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "deny", "namespace": "default", "generation": 1},
        "spec": {"podSelector": {"matchLabels": labels}, "policyTypes": ["Ingress"]},
    }


def story(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(coroutine)


def test_a_policy_goes_to_the_nodes_whose_pods_it_selects() -> None:
    async def run() -> None:
        scene = Scene()
        await scene.basics()
        await scene.put(*pod("c", "n2", "10.0.0.3", app="web"))
        scene.sent.clear()
        await scene.put(POLICY, deny(app="web"))
        assert scene.policies("n1") == []
        (message,) = scene.policies("n2")
        assert message.delta.revision == scene.revision
        assert not message.delta.full

    story(run())


def config_map(name: str) -> tuple[Ref, Json]:
    mesh = "extensionProviders: [{name: mine, envoyExtAuthzGrpc: {service: authz.tools, port: 9000}}]"
    meta = {"name": name, "namespace": "istio-system"}
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"mesh": mesh}}
    return Ref("", "configmaps", "istio-system", name), obj


def test_the_mesh_s_configuration_is_policy_and_no_other_config_map_is() -> None:
    async def run() -> None:
        scene = Scene()
        await scene.basics()
        asking = {
            "apiVersion": "security.istio.io/v1",
            "kind": "AuthorizationPolicy",
            "metadata": {"name": "ask", "namespace": "default", "generation": 1},
            "spec": {"action": "CUSTOM", "provider": {"name": "mine"}, "rules": [{}]},
        }
        await scene.put(Ref("security.istio.io", "authorizationpolicies", "default", "ask"), asking)
        scene.sent.clear()
        await scene.put(*config_map("other"))
        assert scene.policies("n1") == []
        await scene.put(*config_map("istio"))
        (message,) = scene.policies("n1")
        program = message.delta.authorizations["default/authz:ask"]
        assert program is not None
        assert program.external is not None
        assert program.external.service == "tools/authz"
        scene.sent.clear()
        ref, listed = config_map("tsujiban-revoked")
        listed["metadata"]["namespace"] = "kube-system"
        listed["data"] = {"revoked": "serial:1\nserial:A", "crl": "somebody's own"}
        await scene.put(ref._replace(namespace="kube-system"), listed)
        (message,) = scene.policies("n1")
        program = message.delta.authorizations["_mesh/revoked"]
        assert program is not None
        assert (program.revokes, program.crl) == (("1", "a"), "signed 1 a")

    story(run())


def test_enforced_everywhere_only_when_every_node_has_said_so() -> None:
    async def run() -> None:
        scene = Scene()
        await scene.basics()
        await scene.put(POLICY, deny())
        assert (scene.status() or {})["message"] == "0/2 nodes"
        scene.distributor.enforced("n1", Enforced(revision=scene.revision, took_us=1))
        assert (scene.status() or {})["message"] == "1/2 nodes"
        scene.distributor.enforced(
            "n2", Enforced(revision=scene.revision, took_us=1, problems=("proxy: no",))
        )
        found = scene.status() or {}
        assert found["status"] == "False"
        assert "proxy: no" in found["message"]
        scene.distributor.enforced("n2", Enforced(revision=scene.revision, took_us=1))
        found = scene.status() or {}
        assert (found["status"], found["message"], found["observedGeneration"]) == ("True", "2/2 nodes", 1)

    story(run())


def test_an_acknowledgement_of_something_older_does_not_count() -> None:
    async def run() -> None:
        scene = Scene()
        await scene.basics()
        before = scene.revision
        await scene.put(POLICY, deny())
        for name in ("n1", "n2"):
            scene.distributor.enforced(name, Enforced(revision=before, took_us=1))
        assert (scene.status() or {})["status"] == "False"

    story(run())


def test_a_node_that_is_away_has_not_enforced() -> None:
    async def run() -> None:
        scene = Scene()
        await scene.basics()
        await scene.put(POLICY, deny())
        for name in ("n1", "n2"):
            scene.distributor.enforced(name, Enforced(revision=scene.revision, took_us=1))
        scene.distributor.disconnected("n2")
        assert (scene.status() or {})["message"] == "1/2 nodes"
        await scene.distributor.connected(scene.world, "n2")
        assert (scene.status() or {})["message"] == "1/2 nodes"
        scene.distributor.enforced("n2", Enforced(revision=scene.revision, took_us=1))
        assert (scene.status() or {})["message"] == "2/2 nodes"

    story(run())


def test_a_change_of_status_alone_is_not_sent() -> None:
    async def run() -> None:
        scene = Scene()
        await scene.basics()
        await scene.put(POLICY, deny())
        scene.sent.clear()
        await scene.put(POLICY, {**deny(), "status": {"conditions": []}})
        assert scene.sent == []

    story(run())


def test_pods_go_to_their_node_with_what_they_mount_and_leave_it() -> None:
    async def run() -> None:
        scene = Scene()
        await scene.basics()
        ref, made = pod("web", "n1", "10.0.0.9")
        made["spec"]["volumes"] = [{"name": "v", "configMap": {"name": "files"}}]
        await scene.put(ref, made)
        (message,) = scene.pods("n1")
        assert msgspec.json.decode(message.pods["default/web"] or b"")["spec"]["nodeName"] == "n1"
        assert message.config_maps == {"default/files": None}
        assert scene.pods("n2") == []
        scene.sent.clear()
        files = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "files"}, "data": {"a": "1"}}
        await scene.put(Ref("", "configmaps", "default", "files"), files)
        (late,) = scene.pods("n1")
        assert b'"a":"1"' in (late.config_maps["default/files"] or b"")
        scene.sent.clear()
        await scene.put(ref, None)
        (gone,) = scene.pods("n1")
        assert gone.pods == {"default/web": None}

    story(run())


def test_secrets_go_to_the_nodes_of_the_pods_that_mount_them_as_values_alone() -> None:
    async def run() -> None:
        scene = Scene()
        await scene.basics()
        keys: dict[str, Any] = {
            "apiVersion": "v1", "kind": "Secret", "data": {"a": "MQ==", "odd": "!!!!x"},
            "metadata": {"name": "keys", "annotations": {"last-applied": "MQ=="}},
        }  # fmt: skip
        secret = Ref("", "secrets", "default", "keys")
        await scene.put(secret, keys)
        assert scene.pods("n1") == []  # nobody there mounts it
        ref, made = pod("web", "n1", "10.0.0.9")
        sources = [{"secret": {"name": "keys"}}, {"secret": {"name": "none"}}]
        made["spec"]["volumes"] = [{"name": "v", "projected": {"sources": sources}}]
        await scene.put(ref, made)
        (message,) = scene.pods("n1")
        assert message.secrets == {"default/keys": {"a": b"1"}, "default/none": None}
        assert "keys" not in repr(message)
        scene.sent.clear()
        await scene.put(secret, {**keys, "data": {"a": "Mg=="}})
        (late,) = scene.pods("n1")
        assert (late.pods, late.secrets) == ({}, {"default/keys": {"a": b"2"}})
        assert scene.pods("n2") == []
        scene.sent.clear()
        await scene.put(secret, None)
        assert scene.pods("n1")[0].secrets == {"default/keys": None}

    story(run())


def test_what_variables_come_from_goes_to_the_node_too() -> None:
    async def run() -> None:
        scene = Scene()
        await scene.basics()
        keys = {"apiVersion": "v1", "kind": "Secret", "data": {"a": "MQ=="}, "metadata": {"name": "keys"}}
        await scene.put(Ref("", "secrets", "default", "keys"), keys)
        ref, made = pod("web", "n1", "10.0.0.9")
        made["spec"]["containers"] = [
            {
                "name": "c",
                "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "a"}}}],
                "envFrom": [{"configMapRef": {"name": "settings"}}],
            }
        ]
        await scene.put(ref, made)
        (message,) = scene.pods("n1")
        assert message.secrets == {"default/keys": {"a": b"1"}}
        assert message.config_maps == {"default/settings": None}

    story(run())


def test_a_stored_pod_that_is_none_any_more_is_nobody_and_stops_nothing() -> None:
    async def run() -> None:
        scene = Scene()
        await scene.basics()
        ref, made = pod("old", "n1", "10.0.0.8")
        made["spec"]["containers"] = [{"name": "c", "env": [{"name": "A", "valueFrom": {"fieldRef": "x"}}]}]
        await scene.put(ref, made)
        assert "default/old" in scene.pods("n1")[0].pods  # the node says why it cannot be run
        assert "default/old" not in scene.distributor.graph.snapshot("n1", 1).endpoints
        ref, made = pod("web", "n1", "10.0.0.9")
        await scene.put(ref, made)
        assert "default/web" in scene.distributor.graph.snapshot("n1", 1).endpoints

    story(run())


def test_a_node_hears_of_a_pods_annotations() -> None:
    async def run() -> None:
        scene = Scene()
        await scene.basics()
        ref, made = pod("web", "n1", "10.0.0.9")
        await scene.put(ref, made)
        scene.sent.clear()
        await scene.put(ref, {**made, "metadata": {**made["metadata"], "annotations": {"a": "b"}}})
        assert len(scene.pods("n1")) == 1

    story(run())


def test_settled_policies_are_not_looked_at_again() -> None:
    async def run() -> None:
        scene = Scene()
        await scene.basics()
        await scene.put(POLICY, deny())
        for name in ("n1", "n2"):
            scene.distributor.enforced(name, Enforced(revision=scene.revision, took_us=1))
        assert [one.ref for one in enforcement.waiting(scene.world, scene.distributor)] == [POLICY]
        (update,) = enforcement.plan(scene.world, POLICY, scene.distributor)
        assert isinstance(update, Update)
        await scene.put(POLICY, update.obj)
        assert enforcement.waiting(scene.world, scene.distributor) == []
        assert scene.distributor.unsettled == set()
        scene.distributor.disconnected("n1")
        assert [one.ref for one in enforcement.waiting(scene.world, scene.distributor)] == [POLICY]

    story(run())


def test_what_a_policy_selects_is_counted_again_when_pods_come_and_go() -> None:
    async def run() -> None:
        scene = Scene()
        await scene.basics()
        await scene.put(POLICY, deny())
        assert scene.distributor.selected(POLICY) == 2
        scene.distributor.recount()
        assert not scene.distributor.moved
        await scene.put(*pod("c", "n2", "10.0.0.3"))
        assert scene.distributor.moved
        assert scene.distributor.selected(POLICY) == 3

    story(run())


def test_an_acknowledgement_of_one_delta_is_not_taken_for_the_next_of_the_same_store_revision() -> None:
    """The loop knows its own write (12) before somebody's older one (11)."""

    async def run() -> None:
        scene = Scene()
        await scene.basics()
        scene.revision += 1  # what the policy below gets; the pod's write overtakes it
        older = scene.revision
        await scene.put(*pod("c", "n1", "10.0.0.3"))
        (first,) = scene.policies("n1")
        policy = deny()
        policy["metadata"]["uid"] = "uid-deny"
        scene.world.put(POLICY, policy)
        await scene.distributor.observe(scene.world, [Change(POLICY, None, policy, older)])
        _, second = scene.policies("n1")
        assert second.delta.revision > first.delta.revision
        for name in ("n1", "n2"):
            scene.distributor.enforced(name, Enforced(revision=first.delta.revision, took_us=1))
        assert (scene.status() or {})["message"] == "0/2 nodes"
        for name in ("n1", "n2"):
            scene.distributor.enforced(name, Enforced(revision=second.delta.revision, took_us=1))
        assert (scene.status() or {})["message"] == "2/2 nodes"

    story(run())


def test_a_deleted_node_may_still_speak_and_is_not_counted() -> None:
    async def run() -> None:
        scene = Scene()
        await scene.basics()
        await scene.put(POLICY, deny())
        scene.distributor.enforced("n1", Enforced(revision=scene.revision, took_us=1))
        await scene.put(Ref(*NODES, "", "n2"), None)
        scene.distributor.enforced("n2", Enforced(revision=scene.revision, took_us=1))
        assert (scene.status() or {})["message"] == "1/1 nodes"

    story(run())
