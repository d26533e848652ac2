"""Long lists of questions about a request, in blocks.

A client with fifty path rules would have each of its requests compared with up to fifty expressions.
Neighbours are put behind one expression that holds wherever any of theirs does, and Envoy looks at them only
then: a list that finds nothing inside a block goes on behind it, so the order is the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tsujiban.proxy import matchers
from tsujiban.proxy.decisions import AllOf, AnyOf, Decision, Predicate, Text
from tsujiban.proxy.matchers import Json

SIZE = 8
_LONG = 2 * SIZE  # shorter lists are left as they are
_PATH = ":path"

Step = tuple[Predicate, Decision]


def ordered(steps: list[Step], render: Callable[[Decision], Json], otherwise: Json) -> Json:
    """On match: the first step whose predicate holds, rendered."""
    listed = [(matchers.predicate(test), render(then)) for test, then in steps]
    if len(steps) < _LONG:
        return matchers.ordered(listed, otherwise)
    found: list[tuple[Json, Json]] = []
    block: list[tuple[Json, Json]] = []
    behind: list[str] = []

    def close() -> None:
        if len(block) > 1:
            guard = Text(header=_PATH, regex="|".join(f"(?:{one})" for one in dict.fromkeys(behind)))
            found.append((matchers.predicate(guard), matchers.ordered(block, None)))
        else:
            found.extend(block)
        block.clear()
        behind.clear()

    for (test, _), step in zip(steps, listed, strict=True):
        needs = paths(test)
        if needs is None or len(block) == SIZE:
            close()
        if needs is None:
            found.append(step)
        else:
            block.append(step)
            behind.extend(needs)
    close()
    return matchers.ordered(found, otherwise)


def paths(test: Predicate) -> tuple[str, ...] | None:
    """Expressions (RE2, whole value) of which one must match the path if a predicate is to hold; None when
    it may hold whatever the path is."""
    if isinstance(test, Text):
        return (_expression(test),) if test.header == _PATH and not test.ignore_case else None
    if isinstance(test, AllOf):
        known = [needs for needs in map(paths, test.terms) if needs is not None]
        return min(known, key=len, default=None)
    if isinstance(test, AnyOf):
        every = [paths(one) for one in test.terms]
        found = [one for needs in every if needs is not None for one in needs]
        return None if None in every else tuple(found)
    return None


def _expression(test: Text) -> str:
    if test.exact is not None:
        return re.escape(test.exact)
    if test.prefix:
        return f"(?s:{re.escape(test.prefix)}.*)"
    if test.suffix:
        return f"(?s:.*{re.escape(test.suffix)})"
    return test.regex or "(?s:.*)"
