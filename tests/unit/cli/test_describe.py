from __future__ import annotations

from collections.abc import Callable
from typing import Any

from click.testing import CliRunner

from tsujiban.cli import describe
from tsujiban.cli.errors import Exit
from tsujiban.cli.main import main

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "web",
        "namespace": "shop",
        "labels": {"app": "web"},
        "annotations": {"tsujiban.io/origin": '{"file": "a.yaml", "lines": {"": 4}}', "note": "x"},
    },
    "spec": {"nodeName": "node-1"},
}
EVENT = {
    "involvedObject": {"kind": "Pod", "name": "web"},
    "type": "Warning",
    "reason": "Failed",
    "message": "no",
}


def test_what_matters_comes_first() -> None:
    lines = describe.text(POD, [EVENT], 0.0).splitlines()
    assert lines[0] == "Name:        web"
    assert "Labels:      app=web" in lines
    assert "Annotations: note=x" in lines
    assert "Written in:  a.yaml:4" in lines
    assert "  nodeName: node-1" in lines
    assert lines[-1].split() == ["Warning", "Failed", "<unknown>", "no"]


def test_what_others_have_written_moves_no_cursor() -> None:
    """An annotation showed an administrator what its writer liked (CVE-2021-25743 was kubectl's)."""
    metadata: Any = POD["metadata"]
    pod = {
        **POD,
        "metadata": {**metadata, "annotations": {"note": "\x1b[2J\x9b1A all is well\nName: x"}},
    }
    shown = describe.text(pod, [{**EVENT, "message": "\x1b]0;x\x07"}], 0.0)
    assert all(line.isprintable() for line in shown.split("\n"))
    assert "Annotations: note=\\x1b[2J\\x9b1A all is well\\nName: x" in shown


def test_events_of_others_do_not_concern() -> None:
    assert describe.concerns(EVENT, POD)
    assert not describe.concerns({"regarding": {"kind": "Pod", "name": "other"}}, POD)


def test_a_broken_origin_is_no_origin() -> None:
    assert describe.origin({"annotations": {"tsujiban.io/origin": "{"}}) == ""
    assert describe.origin({}) == ""


PODS = "/api/v1/namespaces/shop/pods"
OTHER = {**POD, "metadata": {"name": "web-2", "namespace": "shop"}}


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["describe", *words, "-n", "shop"])
    return result.exit_code, result.output


def test_all_by_labels_by_the_beginning_of_a_name(serve: Callable[..., Any]) -> None:
    answers = {
        ("GET", PODS): {"items": [POD, OTHER]},
        ("GET", f"{PODS}/web"): POD,
        ("GET", "/api/v1/namespaces/shop/events"): {"items": [EVENT]},
    }
    server = serve("describe", answers)
    code, text = run("pods", "-l", "app=web")
    assert code == 0
    assert [line for line in text.splitlines() if line.startswith("Name:")] == [
        "Name:        web",
        "Name:        web-2",
    ]
    assert server.seen[0].url.params["labelSelector"] == "app=web"
    assert sum(request.url.path.endswith("/events") for request in server.seen) == 1
    assert run("pod/web")[1].count("Kind: ") == 1
    assert run("pod", "we")[1].count("Kind: ") == 2
    assert run("pod", "gone")[0] == Exit.NO
    assert run("pod", "web", "-l", "a=b")[0] == Exit.USAGE


def test_nothing_to_describe(serve: Callable[..., Any]) -> None:
    serve("describe", {("GET", PODS): {"items": []}})
    assert run("pods") == (0, "No resources found in shop namespace.\n")
