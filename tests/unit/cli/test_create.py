from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from tsujiban.cli.errors import Exit
from tsujiban.cli.main import main

PATH = "/api/v1/namespaces/bank/serviceaccounts/robot/token"


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["create", "token", *words])
    return result.exit_code, result.output


def test_a_token_is_printed(serve: Callable[..., Any]) -> None:
    server = serve("create", {("POST", PATH): {"status": {"token": "a.b.c"}}})
    words = ("robot", "-n", "bank", "--audience", "vault", "--duration", "1h30m")
    bound = ("--bound-object-kind", "Pod", "--bound-object-name", "p", "--bound-object-uid", "u")
    assert run(*words, *bound) == (0, "a.b.c\n")
    (request,) = server.seen
    assert json.loads(request.content)["spec"] == {
        "audiences": ["vault"],
        "expirationSeconds": 5400,
        "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "u"},
    }


@pytest.mark.parametrize(
    "words",
    [
        ("--duration", "soon"),
        ("--duration", "5"),
        ("--duration", "5m x"),
        ("--bound-object-kind", "Pod"),
        ("--bound-object-name", "p"),
        ("--bound-object-uid", "u"),
    ],
)
def test_what_makes_no_sense(serve: Callable[..., Any], words: tuple[str, ...]) -> None:
    server = serve("create", {})
    assert run("robot", *words)[0] == Exit.USAGE
    assert server.seen == []


def test_no_such_account(serve: Callable[..., Any]) -> None:
    serve("create", {})
    assert run("robot")[0] == Exit.NO
