"""Verdicts as lines of JSON, for streams of millions: what is the same in many is encoded once.

Kept apart from the command because it is only about speed: the fast evaluator gives the same
layer object for the same decision, so its text is looked up by the object.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import msgspec

from tsujiban.policy.flow import Layer, Verdict

CHUNK = 1 << 16
"""Bytes read at once, at most."""

MAX_KNOWN = 1 << 17
"""Most layers, and most rule ids, whose text is kept."""


class LayerLine(msgspec.Struct, rename="camel", omit_defaults=True):
    """One layer of an answer."""

    layer: str
    endpoint: str
    verdict: str
    rule: str = ""
    post: str = ""


class Answers:
    """Encodes verdicts."""

    def __init__(self) -> None:
        self._encode = msgspec.json.Encoder().encode
        self._layers: dict[int, tuple[Layer, bytes]] = {}  # the layer is kept, so that its id stays its own
        self._rules: dict[str, bytes] = {}

    def line(self, judged: Verdict) -> bytes:
        """A verdict as one line, with its end."""
        known, rules = self._layers, self._rules
        layers = [(known.get(id(layer)) or self._layer(layer))[1] for layer in judged.layers]
        decided = [rules.get(name) or self._rule(name) for name in judged.decided_by]
        return b'{"verdict":"%b","decidedBy":[%b],"layers":[%b]}\n' % (
            judged.verdict.encode(),
            b",".join(decided),
            b",".join(layers),
        )

    def _layer(self, layer: Layer) -> tuple[Layer, bytes]:
        if len(self._layers) >= MAX_KNOWN:
            self._layers.clear()
        line = LayerLine(
            layer=layer.layer,
            endpoint=layer.endpoint,
            verdict=str(layer.verdict),
            rule=layer.rule,
            post=str(layer.post),
        )
        found = self._layers[id(layer)] = layer, self._encode(line)
        return found

    def _rule(self, name: str) -> bytes:
        if len(self._rules) >= MAX_KNOWN:
            self._rules.clear()
        found = self._rules[name] = self._encode(name)
        return found


class Readable(Protocol):
    """A stream of bytes that gives what it has."""

    def read1(self, size: int, /) -> bytes:
        """At most `size` bytes, as soon as there are any; none at the end."""


def batches(stream: Readable) -> Iterator[list[bytes]]:
    """The lines of a stream, as many at once as have come: whoever asks one and waits gets its
    answer, and whoever asks a million does not pay for each."""
    pending: list[bytes] = []
    while chunk := stream.read1(CHUNK):
        first, newline, rest = chunk.partition(b"\n")
        pending.append(first)
        if newline:
            *lines, last = rest.split(b"\n")
            yield [b"".join(pending), *lines]
            pending = [last]
    if any(pending):
        yield [b"".join(pending)]
