from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def test_everything_of_a_kind_is_never_meant(serve: Callable[..., Any]) -> None:
    serve("delete", {})
    assert run("pods")[0] == Exit.USAGE
    assert run()[0] == Exit.USAGE
