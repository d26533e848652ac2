from __future__ import annotations

from typing import Any

import pytest

from tsujiban.cli import printers
from tsujiban.resources.registry import KINDS, resolve

POD: dict[str, Any] = {
    "metadata": {"name": "web-1", "namespace": "shop", "labels": {"app": "web", "a": "b"}},
    "spec": {"nodeName": "node-1", "containers": [{"name": "a"}, {"name": "b"}]},
    "status": {
        "phase": "Running",
        "podIP": "10.244.0.7",
        "containerStatuses": [{"ready": True, "restartCount": 2}, {"ready": False, "restartCount": 1}],
    },
}


def test_a_row_is_the_servers() -> None:
    titles, rows = printers.table(resolve("pods"), [POD], wide=True, with_namespace=True)
    assert titles[:8] == ["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"]
    assert rows[0][:8] == ["shop", "web-1", "1/2", "Running", "3", "<unknown>", "10.244.0.7", "node-1"]


def test_prefix_tells_kinds_apart() -> None:
    _, rows = printers.table(resolve("pods"), [POD], prefix=True)
    assert rows[0][0] == "pod/web-1"
    event = {"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "web"}}
    _, rows = printers.table(resolve("events"), [event], prefix=True, wide=True)
    assert rows[0][-1] == "event/e"


def test_labels_in_columns_of_their_own() -> None:
    titles, rows = printers.table(resolve("pods"), [POD], label_columns=("app", "x/tier"), show_labels=True)
    assert titles[-3:] == ["APP", "TIER", "LABELS"]
    assert rows[0][-3:] == ["web", "<none>", "a=b,app=web"]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize(
    "status", [None, "x", ["x"], {"conditions": "x"}, {"conditions": ["x", None, {}, {"type": "Ready"}]}]
)
def test_whatever_an_object_holds_there_is_a_row(kind: Any, status: Any) -> None:
    titles, rows = printers.table(kind, [{"metadata": {"name": "a"}, "status": status}], wide=True)
    assert len(titles) == len(rows[0])


def test_order_by_a_field() -> None:
    objects = [{"metadata": {"name": name}, "spec": {"n": [n]}} for name, n in (("b", 10), ("a", 9))]
    objects.append({"metadata": {"name": "c"}, "spec": {}})
    assert [o["metadata"]["name"] for o in printers.ordered(objects, "{.metadata.name}")] == ["a", "b", "c"]
    assert [o["metadata"]["name"] for o in printers.ordered(objects, ".spec.n[0]")] == ["c", "a", "b"]
    with pytest.raises(KeyError):
        printers.ordered(objects, ".spec.none")
    assert printers.ordered([], ".x") == []
