from __future__ import annotations

import io
import json

import msgspec
import pytest
from tests.support.manifests import world

from tsujiban.cli.answers import FastAnswers, PlainAnswers, batches
from tsujiban.cli.flowline import FlowLine, flow_of
from tsujiban.policy.bulk.lines import line_of
from tsujiban.policy.flow import Post
from tsujiban.policy.offline import UnknownName

DUAL = """
apiVersion: v1
kind: Pod
metadata: {name: d, namespace: y, labels: {app: d}, uid: ud}
spec: {nodeName: n2, containers: [{name: c, image: host}]}
status: {phase: Running, podIPs: [{ip: 10.0.0.4}, {ip: 'fd00::4'}]}
"""
POLICY = """
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: p, namespace: y}
spec: {selector: app == 'd', types: [Ingress], ingress: [
  {action: Allow, source: {nets: ['fd00::/16']}, protocol: TCP},
  {action: Allow, source: {nets: [10.0.0.1/32]}, protocol: TCP, http: {methods: [GET]}}]}
"""


def line(src: str, dst: str, **fields: object) -> FlowLine:
    return msgspec.convert({"src": src, "dst": dst, **fields}, FlowLine)


ASKED = [
    line(src, dst, **fields)
    for src in ("x/a", "y/d", "fd00::9", "192.0.2.1")
    for dst in ("x/a", "y/d", "d", "10.0.0.4")
    for fields in (
        {"port": 80},
        {"port": 80, "method": "GET"},
        {"port": 80, "headers": {"a": "b"}},
        {"protocol": "UDP", "port": 80},
    )
    if dst != "d" or src != "y/d"
]


def test_the_answers_are_the_definitions() -> None:
    """By name, by address, with addresses of two versions, and asked again."""
    where = world(DUAL.replace("namespace: y", "namespace: default"), DUAL, POLICY)
    fast, both = FastAnswers(where.world, where.end), PlainAnswers(where, Post.BOTH)
    said = set()
    for asked in (*ASKED, *ASKED):
        flow = flow_of(where, asked, where.end(asked.src), where.end(asked.dst))
        assert fast.line(asked) == both.line(asked) == line_of(where.evaluate(flow)), asked
        said.add(json.loads(fast.line(asked))["verdict"])
    assert said == {"allow", "deny"}


def test_one_post_alone_may_say_more() -> None:
    where = world(DUAL, POLICY)
    asked = line("x/a", "y/d", port=80, method="POST")
    assert json.loads(FastAnswers(where.world, where.end).line(asked))["verdict"] == "deny"
    assert json.loads(PlainAnswers(where, Post.KERNEL).line(asked))["verdict"] == "allow"


def test_what_nobody_is_called_is_refused() -> None:
    where = world()
    for answers in (FastAnswers(where.world, where.end), PlainAnswers(where, Post.BOTH)):
        with pytest.raises(UnknownName, match="x/zz"):
            answers.line(line("x/zz", "x/a"))


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsujiban.cli.answers.MAX_KNOWN", 2)
    where = world(DUAL, POLICY)
    fast, both = FastAnswers(where.world, where.end), PlainAnswers(where, Post.BOTH)
    for number in range(20):
        asked = line(f"192.0.2.{number}", "y/d", port=number)
        assert fast.line(asked) == both.line(asked)


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
