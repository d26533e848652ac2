"""Objects of every kind that somebody might write: odd in all that their kind leaves open, and yet such that
the API stores them, for what it refuses is taken out of them."""

from __future__ import annotations

import re
import types
import typing
from random import Random
from typing import Any

import msgspec

from tsujiban.controller.api import defaulting, documents
from tsujiban.resources import load
from tsujiban.resources.findings import errors
from tsujiban.resources.registry import Kind
from tsujiban.resources.shape import fields

Json = dict[str, Any]

WORDS = (
    *("a", "b", "web", "default", "kube-system", "n1", "all()", "a == 'b'", "10.0.0.1", "10.96.0.1"),
    *(
        "10.244.0.1/32",
        "fd00::1",
        "TCP",
        "UDP",
        "Pod",
        "ReplicaSet",
        "Job",
        "Service",
        "Node",
        "v1",
        "apps/v1",
    ),
    *("Allow", "Deny", "Pass", "Log", "Ingress", "Egress", "In", "Exists", "Always", "Never", "OnFailure"),
    *(
        "True",
        "False",
        "Ready",
        "IPv4",
        "None",
        "NoSchedule",
        "NoExecute",
        "50%",
        "0",
        "-1",
        "9" * 5000,
        "é",
        "",
    ),
    *("2026-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "RollingUpdate", "Recreate"),
    *(
        "STRICT",
        "ALLOW",
        "DENY",
        "AUDIT",
        "CUSTOM",
        "Indexed",
        "sidecar",
        "uid",
        "source.ip",
        "*",
        "/x",
        "1s",
    ),
)
KEYS = (*("a", "b", "tsujiban.io/mesh", "kubernetes.io/service-name"), *WORDS[:6])
NUMBERS = (0, 1, 2, 3, 80, 65535, -1, 2**31 - 1, 2**31, 2**63 - 1)
_POD = {"containers": [{"name": "c", "image": "host"}]}
_TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": _POD}
_SELECTED = {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": _TEMPLATE}}
# without these, an object of the kind is none
_BASES: dict[str, Json] = {
    "Pod": {"spec": _POD},
    "Service": {"spec": {"ports": [{"port": 80}]}},
    **dict.fromkeys(("DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"), _SELECTED),
    "Job": {"spec": {"template": {**_TEMPLATE, "spec": {**_POD, "restartPolicy": "Never"}}}},
    "HostEndpoint": {"spec": {"node": "n1", "interfaceName": "eth0"}},
    "IPPool": {"spec": {"cidr": "10.250.0.0/16"}},
    "EndpointSlice": {"addressType": "IPv4"},
}
_STEP = re.compile(r'\["([^"]*)"\]|\[(\d+)\]|([^.\[\]]+)')


class Odd:
    """Makes them, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def stored(self, kind: Kind) -> Json | None:
        """An object as it would be stored; None when nothing of it is left."""
        made = self._value(kind.type, 0)
        base = _BASES.get(kind.kind, {})
        made |= {
            key: {**made.get(key, {}), **part} if isinstance(part, dict) else part
            for key, part in base.items()
        }
        head = made.get("metadata", {})
        kept = {
            key: head[key]
            for key in ("labels", "annotations", "ownerReferences", "finalizers")
            if key in head
        }
        where = {"namespace": self._random.choice(("default", "kube-system"))} if kind.namespaced else {}
        name = self._random.choice(("a", "b", "default.a", "n1", "web"))
        made |= {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {**kept, "name": name, **where},
        }
        spec = made.get("spec")
        if isinstance(spec, dict):  # each of them is a pod that is written
            spec |= {key: 3 for key in ("replicas", "parallelism") if spec.get(key, 0) not in (0, 1, 2)}
        return _accepted(documents.without_nulls(made), kind)

    def _value(self, of: Any, depth: int) -> Any:
        choose, origin = self._random.choice, typing.get_origin(of)
        if origin in (typing.Union, types.UnionType):
            return self._value(choose([one for one in typing.get_args(of) if one is not type(None)]), depth)
        if origin is tuple:
            return [self._value(typing.get_args(of)[0], depth + 1) for _ in range(choose((0, 1, 1, 2)))]
        if origin is dict:
            return {
                choose(KEYS): self._value(typing.get_args(of)[1], depth + 1) for _ in range(choose((0, 1, 2)))
            }
        if isinstance(of, type) and issubclass(of, msgspec.Struct):
            part = 0.5 if depth < 2 else 0.25
            known = fields(of).items()
            return {key: self._value(one, depth + 1) for key, one in known if self._random.random() < part}
        simple = {str: WORDS, int: NUMBERS, bool: (True, False), float: (0.0, 1.0, -5.5, 1e300)}
        if of in simple:
            return choose(simple[of])
        return self._anything(depth)

    def _anything(self, depth: int) -> Any:
        kind = self._random.randrange(8 if depth < 6 else 4)
        if kind < 4:
            return self._random.choice((*WORDS, *NUMBERS, True, False, 1.5))
        if kind < 6:
            return {self._random.choice(WORDS): self._anything(depth + 1) for _ in range(kind - 4)}
        return [self._anything(depth + 1) for _ in range(kind - 5)]


def _accepted(document: Json, kind: Kind) -> Json | None:
    """The object without all that is wrong with it."""
    for _ in range(30):
        filled = defaulting.filled(document, kind)
        found = errors(load.check(filled).findings)
        if not found:
            return filled
        document = filled
        dropped = [_drop(document, finding.field) for finding in found]
        if not any(dropped):
            return None
    return None


def _drop(document: Any, field: str) -> bool:
    steps = [quoted or (int(index) if index else plain) for quoted, index, plain in _STEP.findall(field)]
    if not steps:
        return False
    for step in steps[:-1]:
        document = _at(document, step)
    last = steps[-1]
    there = last in document if isinstance(document, dict) else _at(document, last) is not None
    if there:
        del document[last]
    return there


def _at(value: Any, step: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(str(step))
    return value[step] if isinstance(value, list) and isinstance(step, int) and step < len(value) else None
