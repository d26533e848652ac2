from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tsujiban.cli.errors import Exit
from tsujiban.cli.main import main

PATH = "/api/v1/namespaces/default/configmaps/a"


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["delete", *words])
    return result.exit_code, result.output


def test_it_waits_until_the_object_is_gone(serve: Callable[..., Any]) -> None:
    server = serve("delete", {("DELETE", PATH): {}, ("GET", PATH): [{}, {}]})
    assert run("configmap", "a") == (0, "configmap/a deleted\n")
    assert [request.method for request in server.seen] == ["DELETE", "GET", "GET", "GET"]


def test_not_waiting_does_not_look(serve: Callable[..., Any]) -> None:
    server = serve("delete", {("DELETE", PATH): {}})
    assert run("configmap/a", "--no-wait")[0] == 0
    assert len(server.seen) == 1


def test_what_is_not_there(serve: Callable[..., Any]) -> None:
    serve("delete", {})
    assert run("configmap", "a")[0] == Exit.NO
    assert run("configmap", "a", "--ignore-not-found") == (0, "")


def test_a_manifest_is_deleted_last_object_first(serve: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n"
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: shop}\n"
    )
    server = serve(
        "delete",
        {("DELETE", "/api/v1/namespaces/shop/configmaps/a"): {}, ("DELETE", "/api/v1/namespaces/shop"): {}},
    )
    assert run("-f", str(path)) == (0, "configmap/a deleted\nnamespace/shop deleted\n")
    assert [r.url.path for r in server.seen if r.method == "DELETE"][-1] == "/api/v1/namespaces/shop"


LIST = "/api/v1/namespaces/default/configmaps"
ITEM = {"metadata": {"name": "a", "namespace": "default"}}


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("--all",), {}),
        (("-l", "app=web"), {"labelSelector": "app=web"}),
        (("--field-selector", "metadata.name=a"), {"fieldSelector": "metadata.name=a"}),
    ],
)
def test_many_at_once(serve: Callable[..., Any], words: tuple[str, ...], asked: dict[str, str]) -> None:
    server = serve("delete", {("GET", LIST): {"items": [ITEM]}, ("DELETE", PATH): {}})
    assert run("cm", *words) == (0, "configmap/a deleted\n")
    assert dict(server.seen[0].url.params) == asked
    server.answers["GET", LIST] = {"items": []}
    assert run("cm", *words) == (0, "No resources found.\n")


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (("--cascade", "orphan"), {"propagationPolicy": "Orphan"}),
        (("--now",), {"gracePeriodSeconds": 1}),
        (("--force", "--grace-period", "0"), {"gracePeriodSeconds": 0}),
        (("--grace-period=5", "--wait=false"), {"gracePeriodSeconds": 5}),
    ],
)
def test_how_it_ends(serve: Callable[..., Any], words: tuple[str, ...], options: dict[str, Any]) -> None:
    server = serve("delete", {("DELETE", PATH): {}})
    assert run("cm", "a", *words)[0] == 0
    assert json.loads(server.seen[0].content) == {"apiVersion": "v1", "kind": "DeleteOptions", **options}


def test_what_is_still_there_is_named(serve: Callable[..., Any]) -> None:
    serve("delete", {("DELETE", PATH): {}, ("GET", PATH): ITEM})
    code, text = run("cm", "a", "--timeout", "0.01")
    assert code == Exit.REFUSED
    assert "configmap/a" in text.splitlines()[-2]
    assert "finalizers" in text


def test_contradictions_are_refused(serve: Callable[..., Any]) -> None:
    server = serve("delete", {})
    for words in (("--grace-period", "0"), ("--force", "--grace-period", "5"), ("--all",)):
        assert run("cm", "a", *words)[0] == Exit.USAGE
    assert server.seen == []


def test_everything_of_a_kind_is_never_meant(serve: Callable[..., Any]) -> None:
    serve("delete", {})
    code, text = run("pods")
    assert code == Exit.USAGE
    assert "tsujiban delete pods --all" in text
    assert run()[0] == Exit.USAGE
