from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.session import connect, find_pod, kind_of, kubeconfig_path, split_target
from tsujiban.local.client import ApiError, Client
from tsujiban.local.kubeconfig import Access

ACCESS = Access("https://127.0.0.1:1", Path("ca"), Path("cert"), Path("key"))


@pytest.mark.parametrize(
    ("words", "pairs"),
    [
        (("pods",), [("pods", "")]),
        (("pods,svc",), [("pods", ""), ("svc", "")]),
        (("pod", "a", "b"), [("pod", "a"), ("pod", "b")]),
        (("pod/a", "svc/b"), [("pod", "a"), ("svc", "b")]),
    ],
)
def test_split_target(words: tuple[str, ...], pairs: list[tuple[str, str]]) -> None:
    assert split_target(words) == pairs


@pytest.mark.parametrize("words", [("pod/a", "b"), ("pods,svc", "a"), ("pod/",), ("/a",)])
def test_mixed_forms_are_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(Failure) as caught:
        split_target(words)
    assert caught.value.exit_code == Exit.USAGE


def test_an_unknown_kind_gets_a_suggestion() -> None:
    with pytest.raises(Failure) as caught:
        kind_of("deploymnets")
    assert "deployments" in caught.value.hint


def test_a_cluster_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tsujiban.local.layout.STATE_ROOT", tmp_path)
    with pytest.raises(Failure) as caught:
        connect("nowhere")
    assert caught.value.exit_code == Exit.UNREACHABLE
    assert "tsujiban up --cluster nowhere" in caught.value.hint


def test_an_impossible_cluster_name() -> None:
    with pytest.raises(Failure) as caught:
        kubeconfig_path("../etc")
    assert caught.value.exit_code == Exit.USAGE


def _client(objects: dict[str, Any]) -> Client:
    def answer(request: httpx.Request) -> httpx.Response:
        found = objects.get(request.url.path)
        return (
            httpx.Response(200, json=found) if found else httpx.Response(404, json={"message": "not found"})
        )

    return Client(ACCESS, httpx.MockTransport(answer))


def _pod(name: str, phase: str = "Running") -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"phase": phase}}


def test_find_pod_by_name() -> None:
    client = _client({"/api/v1/namespaces/default/pods/web-1": _pod("web-1")})
    assert find_pod(client, "default", "web-1")["metadata"]["name"] == "web-1"


@pytest.mark.parametrize(
    ("target", "plural"),
    [
        ("web", "apps/v1/namespaces/default/deployments"),
        ("deployment/web", "apps/v1/namespaces/default/deployments"),
        ("deploy/web", "apps/v1/namespaces/default/deployments"),
        ("ds/web", "apps/v1/namespaces/default/daemonsets"),
        ("sts/web", "apps/v1/namespaces/default/statefulsets"),
        ("job/web", "batch/v1/namespaces/default/jobs"),
    ],
)
def test_find_the_running_pod_of_a_workload(target: str, plural: str) -> None:
    client = _client(
        {
            f"/apis/{plural}/web": {
                "metadata": {"name": "web"},
                "spec": {"selector": {"matchLabels": {"app": "web"}}},
            },
            "/api/v1/namespaces/default/pods": {"items": [_pod("web-1", "Pending"), _pod("web-2")]},
        }
    )
    assert find_pod(client, "default", target)["metadata"]["name"] == "web-2"


def test_a_pod_that_does_not_exist() -> None:
    with pytest.raises(ApiError, match="not found"):
        find_pod(_client({}), "default", "nobody")


def test_kinds_without_pods_are_refused() -> None:
    with pytest.raises(Failure, match="has no pods"):
        find_pod(_client({}), "default", "configmap/x")
