"""What a cluster waits for is told by its objects, its components and the last lines of its logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tsujiban.local import plight
from tsujiban.local.client import ApiError
from tsujiban.local.cluster import LocalCluster, NotRunning, Record
from tsujiban.local.layout import Layout
from tsujiban.resources.registry import Kind
from tsujiban.supervise.client import ProcessStatus


def condition(kind: str, status: str, message: str = "") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": "Why", "message": message}


def pod(name: str, *conditions: dict[str, Any], **meta: Any) -> dict[str, Any]:
    state = {"waiting": {"reason": "CreateContainerConfigError"}}
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "bank", "uid": f"uid-{name}", **meta},
        "status": {
            "conditions": list(conditions),
            "message": "no key",
            "containerStatuses": [{"name": "main", "state": state}],
        },
    }


def test_what_is_so_says_nothing() -> None:
    assert plight.lacking(pod("a", condition("Ready", "True"))) == []


def test_what_is_not_so_says_why() -> None:
    ending = pod("a", condition("Ready", "False", "1/2"), deletionTimestamp="2026-01-01T00:00:00Z")
    assert plight.lacking(ending) == [
        "Pod bank/a (ending): Ready is False: Why 1/2",
        "Pod bank/a (ending): no key",
        "Pod bank/a (ending): container main: {'waiting': {'reason': 'CreateContainerConfigError'}}",
    ]
    policy = {"kind": "GlobalNetworkPolicy", "metadata": {"name": "all"}}
    assert plight.lacking(policy) == ["GlobalNetworkPolicy /all: no status yet"]


class Client:
    """Answers, or does not."""

    def __init__(self, trouble: Exception | None) -> None:
        self.trouble = trouble

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def status(self) -> dict[str, Any]:
        if self.trouble is not None:
            raise self.trouble
        sick = {"node": "node-1", "name": "dns", "healthy": False, "detail": ""}
        return {"components": [sick, {**sick, "node": "", "healthy": True}]}

    def list(self, kind: Kind) -> dict[str, Any]:
        items = {
            "Pod": [pod("late", condition("Ready", "False"))],
            "Event": [event("later", 9), event("first", 1)],
        }
        return {"items": items.get(kind.kind, [])}


def event(reason: str, second: int) -> dict[str, Any]:
    return {
        "type": "Warning",
        "metadata": {"creationTimestamp": f"2026-01-01T00:00:0{second}Z"},
        "involvedObject": {"name": "late"},
        "reason": reason,
        "message": "no",
    }


def cluster(log: Path, trouble: Exception | None = None) -> LocalCluster:
    class Cluster(LocalCluster):
        def client(self) -> Any:
            return Client(trouble)

        def processes(self, _prefix: str = "") -> list[ProcessStatus]:
            if trouble is not None:
                raise NotRunning("it is gone")
            names = ("node-1/pods/uid-late/main", "node-1/pods/uid-well/main")
            return [process("controller", log), *(process(name, log.parent / "none", 0) for name in names)]

    return Cluster(Layout("shop"), Record(cluster="shop", nodes=("node-1",), api_port=1))


def process(name: str, log: Path, restarts: int = 3) -> ProcessStatus:
    return ProcessStatus(
        name=name,
        state="backoff" if restarts else "running",
        pid=0,
        start_ticks=0,
        restarts=restarts,
        started_at=0.0,
        exited_at=0.0,
        last_exit=1,
        error="exec failed" if restarts else "",
        rss_bytes=0,
        private_bytes=0,
        log=str(log),
    )


def test_a_cluster_tells_of_its_objects_and_its_processes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("\n".join(f"{'warning' if number == 5 else 'line'} {number}" for number in range(100)))
    told = plight.tell(cluster(log)).splitlines()
    assert told[:2] == ["node-1 dns: not healthy", "Pod bank/late: Ready is False: Why"]
    assert told[4:6] == ["event late: first: no", "event late: later: no"]
    assert told[6:9] == ["controller: backoff, 3 restarts exec failed", "    warning 5", "    line 88"]
    assert told[-2:] == ["    line 99", "node-1/pods/uid-late/main: running, 0 restarts"]


@pytest.mark.parametrize("trouble", [ApiError(500, {"message": "broken"})])
def test_a_cluster_that_does_not_answer_says_so(tmp_path: Path, trouble: Exception) -> None:
    told = plight.tell(cluster(tmp_path, trouble)).splitlines()
    assert told == ["the API: broken", "the supervisor: it is gone"]
