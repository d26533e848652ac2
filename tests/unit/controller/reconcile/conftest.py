"""A small world to plan in: a kit that carries actions out as the loop would."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import pytest

from tsujiban.controller.reconcile.actions import Action, Create, Delete
from tsujiban.controller.world import DEPLOYMENTS, NODES, PODS, SERVICES, Json, Ref, World


class Kit:
    """Builds objects, and applies what a plan asks for."""

    def __init__(self) -> None:
        self.world = World()
        self._uids = itertools.count(1)

    def put(self, ref: Ref, obj: Json) -> Ref:
        obj["metadata"].setdefault("uid", f"uid-{next(self._uids)}")
        self.world.put(ref, obj)
        return ref

    def node(self, name: str, **labels: str) -> Ref:
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        return self.put(
            Ref(*NODES, "", name), {"metadata": {"name": name, "labels": labels}, "status": ready}
        )

    def deployment(self, name: str, replicas: int, **spec: Any) -> Ref:
        template = {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "main", "image": "host"}]},
        }
        obj = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": "default", "generation": 1},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": name}},
                "template": template,
                **spec,
            },
        }
        return self.put(Ref(*DEPLOYMENTS, "default", name), obj)

    def pod(self, name: str, *, ip: str = "", node: str = "", ready: bool = False, **labels: str) -> Ref:
        status: Json = {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}
        if ip:
            status["podIP"] = ip
        spec: Json = {"containers": [{"name": "main", "image": "host"}]}
        if node:
            spec["nodeName"] = node
        metadata = {"name": name, "namespace": "default", "labels": labels}
        obj = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}
        return self.put(Ref(*PODS, "default", name), obj)

    def service(self, name: str, **spec: Any) -> Ref:
        metadata = {"name": name, "namespace": "default"}
        obj = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
        return self.put(Ref(*SERVICES, "default", name), obj)

    def carry_out(self, actions: Iterable[Action]) -> int:
        count = 0
        for action in actions:
            count += 1
            if isinstance(action, Delete):
                self.world.drop(action.ref)
            elif isinstance(action, Create):
                assert self.world.get(action.ref) is None
                self.put(action.ref, action.obj)
            else:
                self.put(action.ref, action.obj)
        return count

    def ready(self, ref: Ref) -> None:
        pod = self.world.get(ref)
        assert pod is not None
        self.world.put(ref, {**pod, "status": {"conditions": [{"type": "Ready", "status": "True"}]}})


@pytest.fixture
def kit() -> Kit:
    return Kit()
