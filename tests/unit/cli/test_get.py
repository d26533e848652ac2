from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from click.testing import CliRunner

from tsujiban.cli.errors import Exit
from tsujiban.cli.main import main

PODS = "/api/v1/namespaces/default/pods"
WEB = {"metadata": {"name": "web-1", "namespace": "default"}, "status": {"phase": "Running"}}
DB = {"metadata": {"name": "db-1", "namespace": "default", "labels": {"app": "db"}, "managedFields": []}}
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
    assert run("pods") == (0, "No resources found in default namespace.\n")


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


def test_a_watch_of_one_and_what_happened_to_it(serve: Callable[..., Any]) -> None:
    web = {**WEB, "metadata": {**WEB["metadata"], "resourceVersion": "9"}}
    event = {"type": "DELETED", "object": WEB}
    watched = httpx.Response(200, text=json.dumps(event) + "\n")
    server = serve("get", {("GET", f"{PODS}/web-1"): web, ("GET", PODS): watched})
    code, text = run("pod", "web-1", "-w", "--output-watch-events")
    assert [line.split()[:2] for line in text.splitlines()] == [
        ["EVENT", "NAME"],
        ["ADDED", "web-1"],
        ["DELETED", "web-1"],
    ]
    assert code == 0
    asked = server.seen[1].url.params
    assert (asked["fieldSelector"], asked["resourceVersion"]) == ("metadata.name=web-1", "9")


def test_only_what_changes_and_a_watch_that_is_ended(serve: Callable[..., Any]) -> None:
    gone = {"type": "ERROR", "object": {"message": "too old resource version"}}
    lines = "".join(json.dumps(event) + "\n" for event in ({"type": "ADDED", "object": DB}, gone))
    serve("get", {("GET", PODS): [LIST, httpx.Response(200, text=lines)]})
    code, text = run("pods", "--watch-only")
    assert [line.split()[0] for line in text.splitlines()[:2]] == ["NAME", "db-1"]
    assert code == Exit.REFUSED
    assert "too old resource version" in text


def test_pages_are_asked_for_one_after_the_other(serve: Callable[..., Any]) -> None:
    first = {"metadata": {"continue": "more"}, "items": [WEB]}
    server = serve("get", {("GET", PODS): [first, {"metadata": {}, "items": [DB]}]})
    assert run("pods", "-o", "name", "--chunk-size", "1") == (0, "pod/web-1\npod/db-1\n")
    assert [request.url.params.get("continue") for request in server.seen] == [None, "more"]
    assert server.seen[1].url.params["limit"] == "1"


def test_order_labels_and_titles(serve: Callable[..., Any]) -> None:
    both = {"metadata": {}, "items": [WEB, DB]}
    serve("get", {("GET", PODS): both})
    words = ("--sort-by", ".metadata.name", "-L", "app", "--show-labels", "--no-headers", "--show-kind")
    lines = run("pods", *words)[1].splitlines()
    assert [(line.split()[0], line.split()[-2:]) for line in lines] == [
        ("pod/db-1", ["db", "app=db"]),
        ("pod/web-1", ["<none>", "<none>"]),
    ]
    code, text = run("pods", "--sort-by", ".spec.colour")
    assert code == Exit.USAGE
    assert "none of the objects has .spec.colour" in text


def test_what_a_file_names(serve: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
    serve("get", {("GET", "/api/v1/namespaces/shop/configmaps/a"): {"metadata": {"name": "a"}}})
    assert run("-f", str(path), "-n", "shop", "-o", "name") == (0, "configmap/a\n")
    assert run("-f", str(path))[0] == Exit.NO
    assert run("-f", str(path), "--ignore-not-found") == (0, "")


def test_who_wrote_which_field_is_left_out(serve: Callable[..., Any]) -> None:
    serve("get", {("GET", f"{PODS}/db-1"): DB})
    assert "managedFields" not in run("pod", "db-1", "-o", "json")[1]


def test_impossible_wishes_are_refused(serve: Callable[..., Any]) -> None:
    serve("get", {})
    assert run("pods,svc", "-w")[0] == Exit.USAGE
    assert run("pod", "web-1", "-A")[0] == Exit.USAGE
    assert run("pod", "web-1", "--field-selector", "a=b")[0] == Exit.USAGE
    assert run()[0] == Exit.USAGE
