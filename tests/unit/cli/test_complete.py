"""Words that only the cluster knows, and the silence when it cannot be asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.shell_completion import ShellComplete

from tsujiban.cli.complete import ANSWER_SECONDS
from tsujiban.cli.main import COMPLETE, main
from tsujiban.local import layout
from tsujiban.local.client import ApiError
from tsujiban.local.unreachable import Unreachable

PODS = "/api/v1/namespaces/default/pods"
POD = {
    "metadata": {"name": "web-1", "namespace": "default"},
    "spec": {"containers": [{"name": "main"}, {"name": "log"}]},
}


def words(*before: str, incomplete: str = "") -> list[str]:
    found = ShellComplete(main, {}, "tsujiban", COMPLETE).get_completions(list(before), incomplete)
    return [item.value for item in found]


@pytest.fixture
def cluster(serve: Callable[..., Any]) -> Any:
    """One pod, one account, one namespace."""
    items = {"items": [POD]}
    return serve(
        "session",
        {
            ("GET", PODS): items,
            ("GET", "/api/v1/pods"): items,
            ("GET", f"{PODS}/web-1"): POD,
            ("GET", "/api/v1/namespaces"): {"items": [{"metadata": {"name": "shop"}}]},
            ("GET", "/api/v1/namespaces/default/serviceaccounts"): {"items": [{"metadata": {"name": "bot"}}]},
        },
    )


@pytest.mark.usefixtures("cluster")
def test_names_come_from_the_cluster() -> None:
    assert words("get", "pods") == ["web-1"]
    assert words("get", "pods", "web-1") == []  # it is there already
    assert words("delete", incomplete="pod/") == ["pod/web-1"]
    assert words("logs", incomplete="w") == ["web-1"]
    assert words("logs", incomplete="dep") == ["deployment/"]
    assert words("get", "pods", "-n") == ["shop"]
    assert words("create", "token") == ["bot"]
    assert words("flows", "--endpoint", incomplete="def") == ["default/web-1"]


@pytest.mark.usefixtures("cluster")
def test_containers_are_those_of_the_pod_that_is_named() -> None:
    assert words("logs", "web-1", "-c") == ["log", "main", "sidecar"]
    assert words("exec", "web-1", "-c", incomplete="m") == ["main"]
    assert words("logs", "-c") == []


def test_clusters_and_contexts_are_looked_up_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "RUN_ROOT", tmp_path / "run")
    monkeypatch.setattr(layout, "STATE_ROOT", tmp_path / "state")
    (tmp_path / "run" / "bank").mkdir(parents=True)
    assert words("status", "--cluster") == ["bank"]
    file = tmp_path / "config"
    file.write_text("contexts: [{name: east}, {name: west}]")
    assert words("--kubeconfig", str(file), "--context", incomplete="w") == ["west"]
    file.write_text("[]")
    assert words("--kubeconfig", str(file), "--context") == []
    assert words("--context") == []


@pytest.mark.parametrize(
    "error", [ApiError(403, {"message": "no"}), Unreachable("nobody there"), click.ClickException("none")]
)
def test_no_answer_is_an_answer(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_cluster: str) -> None:
        raise error

    monkeypatch.setattr("tsujiban.cli.session.connect", fail)
    assert words("get", "pods") == []
    assert words("logs", "web-1", "-c") == []


def test_nobody_waits_long(cluster: Any) -> None:
    words("get", "pods")
    assert {request.extensions["timeout"]["read"] for request in cluster.seen} == {ANSWER_SECONDS}
