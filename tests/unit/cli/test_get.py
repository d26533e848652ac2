from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
from click.testing import CliRunner

from tsujiban.cli.errors import Exit
from tsujiban.cli.main import main

PODS = "/api/v1/namespaces/default/pods"
WEB = {"metadata": {"name": "web-1", "namespace": "default"}, "status": {"phase": "Running"}}
LIST = {"metadata": {"resourceVersion": "7"}, "items": [WEB]}


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["get", *words])
    return result.exit_code, result.output


def test_a_table(serve: Callable[..., Any]) -> None:
    serve("get", {("GET", PODS): LIST})
    assert run("pods") == (
        0,
        "NAME    READY   STATUS    RESTARTS   AGE\nweb-1   0/0     Running   0          <unknown>\n",
    )


def test_labels_go_to_the_server(serve: Callable[..., Any]) -> None:
    server = serve("get", {("GET", PODS): LIST})
    run("pods", "-l", "app=web")
    assert server.seen[0].url.params["labelSelector"] == "app=web"


def test_one_object_as_json_and_a_list_as_a_list(serve: Callable[..., Any]) -> None:
    serve("get", {("GET", PODS): LIST, ("GET", f"{PODS}/web-1"): WEB})
    assert json.loads(run("pod/web-1", "-o", "json")[1]) == WEB
    assert json.loads(run("pods", "-o", "json")[1])["kind"] == "List"
    assert "kind: List" in run("pods", "-o", "yaml")[1]


def test_names(serve: Callable[..., Any]) -> None:
    serve("get", {("GET", PODS): LIST})
    assert run("pods", "-o", "name") == (0, "pod/web-1\n")


def test_all_namespaces_and_several_kinds(serve: Callable[..., Any]) -> None:
    serve("get", {("GET", "/api/v1/pods"): LIST, ("GET", "/api/v1/services"): {"items": []}})
    code, text = run("pods,svc", "-A")
    assert code == 0
    assert text.splitlines()[0].split() == ["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE"]


def test_nothing_found_is_said(serve: Callable[..., Any]) -> None:
    serve("get", {("GET", PODS): {"items": []}})
    assert run("pods") == (0, "No objects found in namespace default.\n")


def test_all_is_what_runs_and_what_leads_to_it(serve: Callable[..., Any]) -> None:
    empty: dict[str, Any] = {"items": []}
    kinds = {
        "/api/v1": ("pods", "services"),
        "/apis/apps/v1": ("deployments", "replicasets", "statefulsets", "daemonsets"),
        "/apis/batch/v1": ("jobs", "cronjobs"),
    }
    paths = [f"{root}/namespaces/default/{kind}" for root, of in kinds.items() for kind in of]
    serve("get", {("GET", path): LIST if path == PODS else empty for path in paths})
    assert run("all", "-o", "name") == (0, "pod/web-1\n")


def test_what_is_not_there_is_an_error(serve: Callable[..., Any]) -> None:
    serve("get", {})
    code, text = run("pod", "gone")
    assert code == Exit.NO
    assert "not found" in text


def test_watch_goes_on_from_the_list(serve: Callable[..., Any]) -> None:
    event = {"type": "MODIFIED", "object": {**WEB, "metadata": {"name": "web-2"}}}
    server = serve("get", {("GET", PODS): [LIST, httpx.Response(200, text=json.dumps(event) + "\n")]})
    code, text = run("pods", "-w")
    assert code == 0
    assert [line.split()[0] for line in text.splitlines()] == ["NAME", "web-1", "web-2"]
    assert server.seen[1].url.params["resourceVersion"] == "7"


def test_impossible_wishes_are_refused(serve: Callable[..., Any]) -> None:
    serve("get", {})
    assert run("pods,svc", "-w")[0] == Exit.USAGE
    assert run("pod", "web-1", "-A")[0] == Exit.USAGE
