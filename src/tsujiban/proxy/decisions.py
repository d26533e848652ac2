"""A decision: what becomes of a connection, as far as addresses and ports do not settle it.

Addresses, identities and ports are resolved when configuration is rendered. What remains is a
small tree whose leaves name a verdict and its rule, and whose branches look at the request (or
the source port). The three views of one tree are three promises: what a tunnel is told before
any byte passes, what each request is told, and what a connection that is not HTTP is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import lru_cache

from tsujiban.policy.program import Frozen


class Predicate(Frozen, frozen=True, tag=True):
    """What a branch looks at."""


class Text(Predicate, frozen=True):
    """A request header (`:method`, `:path`, ...) compared with one value."""

    header: str
    exact: str | None = None
    prefix: str | None = None
    suffix: str | None = None
    regex: str | None = None  # RE2, whole value
    ignore_case: bool = False


class Claim(Predicate, frozen=True):
    """A claim of the request's verified token compared with one value. Numbers are not compared."""

    path: tuple[str, ...]
    exact: str | None = None
    prefix: str | None = None
    suffix: str | None = None
    regex: str | None = None  # RE2, whole value
    listed: bool = True  # of a claim that is a list, any member counts
    words: bool = False  # of a claim that is a string, any word counts


class Unreadable(Predicate, frozen=True):
    """A header that rules name can be read in two ways: it is given twice, or has white space around."""


class SourcePort(Predicate, frozen=True):
    """Source port in a range, both ends included."""

    first: int
    last: int


class AllOf(Predicate, frozen=True):
    """Conjunction of at least one."""

    terms: tuple[Predicate, ...]


class AnyOf(Predicate, frozen=True):
    """Disjunction of at least one."""

    terms: tuple[Predicate, ...]


class Not(Predicate, frozen=True):
    """Negation."""

    term: Predicate


# A predicate that is already settled is a bool.
Settled = Predicate | bool


def all_of(terms: list[Settled]) -> Settled:
    """Conjunction, simplified."""
    if any(term is False for term in terms):
        return False
    rest = tuple(term for term in terms if not isinstance(term, bool))
    return True if not rest else rest[0] if len(rest) == 1 else AllOf(terms=rest)


def any_of(terms: list[Settled]) -> Settled:
    """Disjunction, simplified. No terms: false."""
    if any(term is True for term in terms):
        return True
    rest = tuple(term for term in terms if not isinstance(term, bool))
    return False if not rest else rest[0] if len(rest) == 1 else AnyOf(terms=rest)


def negate(term: Settled) -> Settled:
    """Negation, simplified."""
    if isinstance(term, bool):
        return not term
    return term.term if isinstance(term, Not) else Not(term=term)


class Leaf(Frozen, frozen=True, tag="leaf"):
    """A verdict, the rules behind it, one for each layer that had a say, and those that only audit."""

    allow: bool
    rules: tuple[str, ...]
    audits: tuple[str, ...] = ()


class Branch(Frozen, frozen=True, tag="branch"):
    """Go on with `then` if the predicate holds, else with `otherwise`."""

    test: Predicate
    then: Decision
    otherwise: Decision
    hardening: bool = False  # refuses odd requests where requests are read; is no reason to read them


Decision = Leaf | Branch


def branch(test: Settled, then: Decision, otherwise: Decision, *, hardening: bool = False) -> Decision:
    """A branch, or the side that is already certain."""
    if isinstance(test, bool):
        return then if test else otherwise
    if then == otherwise:
        return then
    return Branch(test=test, then=then, otherwise=otherwise, hardening=hardening)


def at_leaves(decision: Decision, change: Callable[[Leaf], Decision]) -> Decision:
    """The decision with every leaf, but those that refuse odd requests, changed."""
    if isinstance(decision, Leaf):
        return change(decision)
    then = decision.then if decision.hardening else at_leaves(decision.then, change)
    otherwise = at_leaves(decision.otherwise, change)
    return branch(decision.test, then, otherwise, hardening=decision.hardening)


class Class(StrEnum):
    """What a connection's first look settles, before any byte of it passes."""

    DENY = "deny"  # nothing on it can be allowed
    TCP = "tcp"  # everything on it is allowed: bytes may flow uninspected
    INSPECT = "http"  # only as HTTP, each request judged


class Admission(Frozen, frozen=True):
    """Class and rules of a connection's first look."""

    kind: Class
    rules: tuple[str, ...]
    audits: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """How access logs and filter state carry it."""
        return decision_name(self.kind, self.rules, self.audits)


_AUDIT = "audit="


def decision_name(kind: Class, rules: tuple[str, ...], audits: tuple[str, ...] = ()) -> str:
    """`class:rule rule audit=rule`. Rule ids hold neither spaces nor `=`, nor a class before their first
    colon."""
    return f"{kind.value}:{' '.join((*rules, *(_AUDIT + one for one in audits)))}"


_CLASSES = frozenset(Class)


@lru_cache(4096)  # each record has one, and there are few
def parse_decision_name(name: str) -> Admission | None:
    """Inverse of `decision_name`; None for what is not one."""
    kind, colon, rules = name.partition(":")
    if not colon or kind not in _CLASSES:
        return None
    found = rules.split()
    return Admission(
        kind=Class(kind),
        rules=tuple(one for one in found if not one.startswith(_AUDIT)),
        audits=tuple(one.removeprefix(_AUDIT) for one in found if one.startswith(_AUDIT)),
    )


def leaves(decision: Decision) -> Iterator[Leaf]:
    """Every reachable leaf, but those that refuse odd requests."""
    stack = [decision]
    while stack:
        one = stack.pop()
        if isinstance(one, Leaf):
            yield one
        elif one.hardening:
            stack.append(one.otherwise)
        else:
            stack += (one.then, one.otherwise)


def looks_at_request(test: Predicate) -> bool:
    """Whether any part of it needs an HTTP request."""
    if isinstance(test, Text | Claim | Unreadable):
        return True
    if isinstance(test, Not):
        return looks_at_request(test.term)
    if isinstance(test, AllOf | AnyOf):
        return any(looks_at_request(term) for term in test.terms)
    return False


def holds_for_port(test: Predicate, port: int) -> bool:
    """Settle a predicate on the source port alone. Raises TypeError for one on the request."""
    if isinstance(test, SourcePort):
        return test.first <= port <= test.last
    if isinstance(test, Not):
        return not holds_for_port(test.term, port)
    if isinstance(test, AllOf):
        return all(holds_for_port(term, port) for term in test.terms)
    if isinstance(test, AnyOf):
        return any(holds_for_port(term, port) for term in test.terms)
    raise TypeError(f"{test!r} looks at more than the source port")


def admit(decision: Decision) -> Admission | Branch:
    """The first look. A branch on the source port alone stays a branch: Envoy asks it.

    Bytes pass uninspected only if a connection that is not HTTP is allowed *and* no HTTP clause
    on the way could have denied: then no request that it may carry would be denied either, and a
    client gains nothing from how it opens the connection.
    """
    if isinstance(decision, Branch) and not looks_at_request(decision.test):
        return decision
    plain = decision
    could_deny = False
    while isinstance(plain, Branch):
        if plain.hardening:
            pass
        elif looks_at_request(plain.test):
            could_deny |= any(not leaf.allow for leaf in leaves(plain.then))
        else:
            could_deny |= any(not leaf.allow for leaf in leaves(plain))
        plain = plain.otherwise
    if plain.allow and not could_deny:
        kind = Class.TCP
    elif any(leaf.allow for leaf in leaves(decision)):
        kind = Class.INSPECT
    else:
        kind = Class.DENY
    return Admission(kind=kind, rules=plain.rules, audits=plain.audits)
