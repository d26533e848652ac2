"""How a pod's processes are found, and what is said when they are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tsujiban.local import layout as layouts
from tsujiban.local.cluster import LocalCluster, NotRunning, Record, open_cluster
from tsujiban.local.layout import Layout
from tsujiban.supervise.client import Refused

RECORD = Record(cluster="t", nodes=("node-1",), api_port=5)


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setattr(layouts, "RUN_ROOT", tmp_path / "run")
    monkeypatch.setattr(layouts, "STATE_ROOT", tmp_path / "state")
    made = Layout("t")
    made.run.mkdir(parents=True)
    return made


def cluster(layout: Layout, monkeypatch: pytest.MonkeyPatch, **spec: Any) -> LocalCluster:
    made = LocalCluster(layout, RECORD)
    pod = {
        "metadata": {"uid": "u1"},
        "spec": {"containers": [{"name": "main"}, {"name": "helper"}], **spec},
    }

    class Client:
        def __enter__(self) -> Client:
            return self

        def __exit__(self, *_error: object) -> None:
            return None

        def get(self, _kind: object, _namespace: str, _name: str) -> dict[str, Any]:
            return pod

    monkeypatch.setattr(made, "client", Client)
    return made


def test_a_cluster_is_what_up_recorded(layout: Layout) -> None:
    with pytest.raises(NotRunning, match="start one with"):
        open_cluster("t")
    layout.record.write_bytes(msgspec.json.encode(RECORD))
    assert open_cluster("t").record == RECORD


def test_the_first_container_one_by_name_and_the_sidecar(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = cluster(layout, monkeypatch, nodeName="node-1")
    assert made.process_name("default", "web") == "node-1/pods/u1/main"
    assert made.process_name("default", "web", "helper") == "node-1/pods/u1/helper"
    assert made.process_name("default", "web", "sidecar") == "node-1/pods/u1/sidecar"
    with pytest.raises(NotRunning, match="no container 'other'; it has main, helper"):
        made.process_name("default", "web", "other")


def test_a_pod_without_a_node_has_no_process(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    made = cluster(layout, monkeypatch)
    with pytest.raises(NotRunning, match="has no node yet"):
        made.process_name("default", "web")


def test_without_a_supervisor_it_says_how_to_start(layout: Layout) -> None:
    with pytest.raises(NotRunning, match="start it with `tsujiban up`"):
        LocalCluster(layout, RECORD).processes()


def test_a_process_that_ended_since_it_was_listed_is_not_running(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = LocalCluster(layout, RECORD)

    def gone(_question: object) -> None:
        raise Refused("no process is named 'node-1/proxy'")

    monkeypatch.setattr(made, "_ask", gone)
    with pytest.raises(NotRunning, match="no process 'node-1/proxy' in cluster 't'"):
        made.specification("node-1/proxy")
