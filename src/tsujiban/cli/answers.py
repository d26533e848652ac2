"""Flow records in, answers out, for streams of millions.

Kept apart from the command because it is about speed: names and questions are looked up once, and
lines are taken in batches as they come, so that whoever asks one and waits gets its answer, and
whoever asks a million does not pay for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from tsujiban.cli.flowline import FlowLine, flow_of, parts_of, request_in
from tsujiban.policy.bulk import BulkEvaluator
from tsujiban.policy.bulk.asked import Asked
from tsujiban.policy.bulk.judge import Party
from tsujiban.policy.bulk.lines import Lines, line_of
from tsujiban.policy.flow import Post
from tsujiban.policy.offline import End, OfflineWorld, pair
from tsujiban.policy.world import World

MAX_KNOWN = 1 << 17
"""Most names, and most questions, that are kept."""


class PlainAnswers:
    """Answers of the definition, for what one post alone says."""

    def __init__(self, world: OfflineWorld, post: Post) -> None:
        self._world, self._post = world, post

    def line(self, asked: FlowLine) -> bytes:
        """The answer to one line. Raises UnknownName and ValueError."""
        world = self._world
        flow = flow_of(world, asked, world.end(asked.src), world.end(asked.dst))
        return line_of(world.evaluate(flow, self._post))


class FastAnswers:
    """The verdict's answers. Names and questions are looked up once: streams repeat them."""

    def __init__(self, world: World, end: Callable[[str], End]) -> None:
        self._named = end
        self._judge = BulkEvaluator(world)
        self._line = Lines(self._judge).line
        self._ends: dict[str, End] = {}
        self._parties: dict[str, Party] = {}  # of ends with one address, which is theirs whoever the peer is
        self._asked: dict[tuple[object, ...], Asked] = {}

    def line(self, asked: FlowLine) -> bytes:
        """The answer to one line. Raises UnknownName and ValueError."""
        source, destination = self._parties.get(asked.src), self._parties.get(asked.dst)
        if source is None or destination is None:
            source, destination = self._pair(asked.src, asked.dst)
        key = (
            asked.protocol,
            asked.port,
            asked.source_port,
            asked.icmp_type,
            asked.icmp_code,
            asked.method,
            asked.path,
            asked.host,
            asked.principal,
            asked.sni,
        )
        if asked.headers or asked.claims is not None:
            question = self._question(asked)
        else:
            question = self._asked.get(key) or self._remembered(key, asked)
        return self._line(source, destination, question)

    def _remembered(self, key: tuple[object, ...], asked: FlowLine) -> Asked:
        if len(self._asked) >= MAX_KNOWN:
            self._asked.clear()
        found = self._asked[key] = self._question(asked)
        return found

    def _question(self, asked: FlowLine) -> Asked:
        return self._judge.ask(parts_of(asked), request_in(asked))

    def _pair(self, src: str, dst: str) -> tuple[Party, Party]:
        source, destination = self._end(src), self._end(dst)
        here, there = pair(source.addresses, destination.addresses)
        parties = self._judge.party(source.endpoint, here), self._judge.party(destination.endpoint, there)
        for name, end, party in zip((src, dst), (source, destination), parties, strict=True):
            if len(end.addresses) == 1:
                if len(self._parties) >= MAX_KNOWN:
                    self._parties.clear()
                self._parties[name] = party
        return parties

    def _end(self, name: str) -> End:
        found = self._ends.get(name)
        if found is None:
            if len(self._ends) >= MAX_KNOWN:
                self._ends.clear()
            found = self._ends[name] = self._named(name)
        return found


CHUNK = 1 << 16
"""Bytes read at once, at most."""


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
