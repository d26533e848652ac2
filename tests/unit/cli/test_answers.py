from __future__ import annotations

import io
import json

import pytest

from tsujiban.cli.answers import Answers, batches
from tsujiban.policy.flow import Layer, Post, Verdict
from tsujiban.policy.program import Action

ALLOWED = Layer(layer="egress", endpoint="x/b", verdict=Action.ALLOW, rule='r"\\é', post=Post.KERNEL)
REFUSED = Layer(
    layer="authorization", endpoint="x/a", verdict=Action.DENY, rule="_authz/no-allow", post=Post.PROXY
)
SILENT = Layer(layer="authentication", endpoint="x/a", verdict=Action.ALLOW, rule="", post=Post.PROXY)


def test_a_verdict_is_one_object_on_one_line() -> None:
    verdict = Verdict(verdict=Action.DENY, decided_by=("_authz/no-allow",), layers=(ALLOWED, SILENT, REFUSED))
    answers = Answers()
    line = answers.line(verdict)
    assert line == answers.line(verdict)  # from what is kept
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == {
        "verdict": "deny",
        "decidedBy": ["_authz/no-allow"],
        "layers": [
            {"layer": "egress", "endpoint": "x/b", "verdict": "allow", "rule": 'r"\\é', "post": "kernel"},
            {"layer": "authentication", "endpoint": "x/a", "verdict": "allow", "post": "proxy"},
            {
                "layer": "authorization",
                "endpoint": "x/a",
                "verdict": "deny",
                "rule": "_authz/no-allow",
                "post": "proxy",
            },
        ],
    }


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsujiban.cli.answers.MAX_KNOWN", 2)
    answers = Answers()
    for number in range(20):
        layer = Layer(layer="egress", endpoint=f"x/{number}", verdict=Action.ALLOW, rule=f"r/{number}")
        verdict = Verdict(verdict=Action.ALLOW, decided_by=(layer.rule,), layers=(layer,))
        assert json.loads(answers.line(verdict))["layers"][0]["endpoint"] == f"x/{number}"


class Trickle:
    """Gives a text in pieces of a size."""

    def __init__(self, text: bytes, size: int) -> None:
        self._inner, self._size = io.BytesIO(text), size

    def read1(self, size: int, /) -> bytes:
        return self._inner.read(min(size, self._size))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("text", [b"", b"a", b"a\n", b"a\n\nbcd\nef", b"\n\n", b"abcdefgh\nij\n"])
def test_lines_are_the_same_however_they_come(text: bytes, size: int) -> None:
    found = [line for lines in batches(Trickle(text, size)) for line in lines]
    assert found == text.split(b"\n")[: None if text and not text.endswith(b"\n") else -1]


def test_what_has_come_is_given_at_once() -> None:
    stream = Trickle(b"a\nb\n", 2)
    given = batches(stream)
    assert next(given) == [b"a"]
