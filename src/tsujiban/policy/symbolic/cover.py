"""Few words for a set of classes: the patterns that users wrote, and what is excepted from them.

Classes of requests and of addresses are bitmaps inside; people read `/api/* except /api/admin`.
The words say exactly the set, never more or less.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

EVERYTHING = "*"


class Named(NamedTuple):
    """A pattern as the user wrote it, and the classes that it takes in."""

    text: str
    mask: int


class Term(NamedTuple):
    """What all of `texts` match and none of `excepts` does. No texts: everything."""

    texts: tuple[str, ...]
    excepts: tuple[str, ...] = ()

    def __str__(self) -> str:
        words = " and ".join(self.texts) or EVERYTHING
        return f"{words} except {', '.join(self.excepts)}" if self.excepts else words


def describe(target: int, patterns: Sequence[Named], universe: int) -> list[Term]:
    """Terms whose union is `target`, a subset of `universe`, in a fixed order."""
    if target == universe:
        return [Term(())]
    known = sorted((p for p in patterns if p.mask), key=lambda p: (-p.mask.bit_count(), len(p.text), p.text))
    terms: list[Term] = []
    left = target
    for pattern in known:
        if not pattern.mask & ~target and pattern.mask & left:
            terms.append(Term((pattern.text,)))
            left &= ~pattern.mask
    while left:
        term, mask = _exception(left, target, known, universe) or _single(left & -left, known)
        terms.append(term)
        left &= ~mask
    return terms


def _exception(left: int, target: int, known: Sequence[Named], universe: int) -> tuple[Term, int] | None:
    """The narrowest pattern around something that is left, less patterns that are outside."""
    around = [p for p in reversed(known) if p.mask & left] + [Named("", universe)]
    for pattern in around:
        outside = pattern.mask & ~target
        excepts: list[str] = []
        for other in known:
            if other.mask & outside and not other.mask & pattern.mask & ~outside & target:
                excepts.append(other.text)
                outside &= ~other.mask
        if not outside:
            return Term((pattern.text,) if pattern.text else (), tuple(excepts)), pattern.mask & target
    return None


def _single(bit: int, known: Sequence[Named]) -> tuple[Term, int]:
    texts = tuple(p.text for p in known if p.mask & bit)
    return Term(texts, tuple(p.text for p in known if not p.mask & bit)), bit
