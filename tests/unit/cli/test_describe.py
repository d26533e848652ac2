from __future__ import annotations

from tsujiban.cli import describe

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


def test_events_of_others_do_not_concern() -> None:
    assert describe.concerns(EVENT, POD)
    assert not describe.concerns({"regarding": {"kind": "Pod", "name": "other"}}, POD)


def test_a_broken_origin_is_no_origin() -> None:
    assert describe.origin({"annotations": {"tsujiban.io/origin": "{"}}) == ""
    assert describe.origin({}) == ""
