import json

import pytest

from tsujiban.supervise.spec import Listener, ProcessSpec, Restart, SpecError

FULL = ProcessSpec(
    name="node-1/bird",
    argv=("bird", "-f"),
    env={"A": "1"},
    netns="/run/netns/x",
    uid=1,
    gid=2,
    bounding=("net_admin",),
    ambient=("net_admin",),
    restart=Restart.ON_FAILURE,
    listen=(Listener(address="127.0.0.1:1", name="api"),),
)


def test_survives_json() -> None:
    assert ProcessSpec.from_json(json.loads(json.dumps(FULL.to_json()))) == FULL


def test_what_is_as_usual_is_not_said_so_that_an_older_supervisor_understands() -> None:
    spec = ProcessSpec(name="p", argv=("app",), needs="/run/x")
    assert spec.to_json() == {"name": "p", "argv": ("app",), "needs": "/run/x"}
    assert ProcessSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"name": "../x"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a" * 201}, "name"),
        ({"argv": []}, "argv"),
        ({"argv": ["a\0b"]}, "argv"),
        ({"argv": "ls"}, "argv"),
        ({"env": {"A=B": "1"}}, "env"),
        ({"env": {"A": 1}}, "env"),
        ({"netns": "relative"}, "netns"),
        ({"cwd": "relative"}, "cwd"),
        ({"needs": "relative"}, "needs"),
        ({"uid": None}, "uid and gid"),
        ({"uid": -1}, "uid"),
        ({"uid": True}, "uid"),
        ({"bounding": ["+all"]}, "capability"),
        ({"bounding": []}, "subset"),
        ({"restart": "sometimes"}, "sometimes"),
        ({"grace": -1}, "grace"),
        ({"grace": "5"}, "grace"),
        ({"stop_signal": 0}, "stop_signal"),
        ({"order": 1.5}, "order"),
        ({"listen": [{"port": 1}]}, "not a process"),
        ({"shell": True}, "shell"),
    ],
)
def test_refuses_and_names_the_field(change: dict[str, object], word: str) -> None:
    with pytest.raises(SpecError, match=word.replace("+", r"\+")):
        ProcessSpec.from_json({**FULL.to_json(), **change})


def test_refuses_what_is_no_object() -> None:
    with pytest.raises(SpecError, match="object"):
        ProcessSpec.from_json([1])
