from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from tsujiban.cli.errors import Failure
from tsujiban.cli.logs import choose_container, seconds
from tsujiban.cli.main import main

POD: dict[str, object] = {
    "metadata": {"name": "web"},
    "spec": {"containers": [{"name": "a"}, {"name": "b"}]},
}


def test_the_first_container_is_meant_when_none_is_named() -> None:
    assert choose_container(POD, "") == "a"
    assert choose_container(POD, "b") == "b"
    assert choose_container(POD, "sidecar", extra=("sidecar",)) == "sidecar"


def test_a_container_that_is_not_there() -> None:
    with pytest.raises(Failure) as caught:
        choose_container(POD, "c", extra=("sidecar",))
    assert "a, b, sidecar" in caught.value.hint


@pytest.mark.parametrize(("text", "number"), [("5s", 5), ("2m", 120), ("1h30m", 5400), ("10", 10)])
def test_since(text: str, number: int) -> None:
    assert seconds(text) == number


@pytest.mark.parametrize("text", ["soon", "5d", "-5s", "5s ", "s", ""])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(Failure, match="no duration"):
        seconds(text)


def test_what_is_asked_of_the_server(serve: Callable[..., Any]) -> None:
    path = "/api/v1/namespaces/default/pods/web"
    text = httpx.Response(200, content=b"one\ntwo\n")
    server = serve("logs", {("GET", path): POD, ("GET", f"{path}/log"): text})
    words = ["web", "-c", "b", "-p", "--tail", "2", "--since", "1m", "--timestamps"]
    result = CliRunner().invoke(main, ["logs", *words])
    assert (result.exit_code, result.output) == (0, "one\ntwo\n")
    assert dict(server.seen[-1].url.params) == {
        "container": "b",
        "previous": "true",
        "tailLines": "2",
        "sinceSeconds": "60",
        "timestamps": "true",
    }
