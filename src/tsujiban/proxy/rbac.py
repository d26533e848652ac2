"""Tables of decisions as Envoy matchers: who, from where, to which port, then the request.

The tree is keyed: an exact map on the authenticated identity, a trie on the source address, an
exact map on the port, and only then the short ordered list of what looks at the request. So the
cost of a request does not grow with the number of policies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from tsujiban.proxy import blocks, matchers, names
from tsujiban.proxy.decisions import (
    Admission,
    Class,
    Decision,
    Leaf,
    admit,
    decision_name,
)
from tsujiban.proxy.division import Division, divide
from tsujiban.proxy.matchers import Json
from tsujiban.proxy.table import Intervals, Row, Table
from tsujiban.resources.names import SPIFFE_SCHEME

T = TypeVar("T")
Render = Callable[[Decision], Json]

_NARROW = 16  # ports of an interval that are listed one by one, rather than as an expression
UNLISTED = decision_name(Class.DENY, (names.UNLISTED_RULE,))
_OWNED = matchers.noted(names.OWNERS, (names.OWNED,), {"string_match": {"exact": names.YES}})
_PROVEN = matchers.value(matchers.filter_state(names.PEER_STATE), prefix=SPIFFE_SCHEME)


def admission(render: Callable[[Admission], Json]) -> Render:
    """Render the first look at a connection."""

    def one(decision: Decision) -> Json:
        seen = admit(decision)
        if isinstance(seen, Admission):
            return render(seen)
        return matchers.ordered([(matchers.predicate(seen.test), one(seen.then))], one(seen.otherwise))

    return one


def connect_verdict(seen: Admission) -> Json:
    """RBAC on a tunnel's CONNECT: refuse what nothing could be allowed on."""
    return matchers.rbac_action(seen.name, allow=seen.kind is not Class.DENY)


def bytes_verdict(seen: Admission) -> Json:
    """RBAC on a connection that is not inspected: refuse what is not allowed as plain bytes."""
    kind = Class.TCP if seen.kind is Class.TCP else Class.DENY
    return matchers.rbac_action(decision_name(kind, seen.rules), allow=kind is Class.TCP)


def request(decision: Decision) -> Json:
    """RBAC on one HTTP request, to the letter."""
    steps: list[blocks.Step] = []
    while not isinstance(decision, Leaf):
        steps.append((decision.test, decision.then))
        decision = decision.otherwise
    kind = Class.INSPECT if decision.allow else Class.DENY
    name = decision_name(kind, decision.rules, decision.audits)
    verdict = matchers.rbac_action(name, allow=decision.allow)
    return blocks.ordered(steps, request, verdict)


def by_port(intervals: Intervals, render: Render) -> Json:
    """Look the destination port up."""
    width: Counter[Decision] = Counter()
    for one in intervals:
        width[one.decision] += one.last - one.first + 1
    common = width.most_common(1)[0][0]
    listed: dict[str, Json] = {}
    steps: list[tuple[Json, Json]] = []
    for one in intervals:
        if one.decision == common:
            continue
        target = render(one.decision)
        if one.last - one.first < _NARROW:
            listed.update({str(port): target for port in range(one.first, one.last + 1)})
        else:
            regex = matchers.regex(matchers.range_regex(one.first, one.last))
            test = matchers.value(matchers.DESTINATION_PORT, safe_regex=regex)
            steps.append((test, target))
    otherwise = matchers.ordered(steps, render(common))
    return matchers.exact(matchers.DESTINATION_PORT, listed, otherwise)


def by_address(source: Json, rows: Iterable[Row], render: Render, otherwise: Json) -> Json:
    """Look an address up among those of one identity."""
    ranges = [(row.prefixes, by_port(row.intervals, render)) for row in rows]
    return matchers.longest_prefix(source, ranges, otherwise)


def division(
    table: Table,
    name: str,
    rows: Iterable[Row],
    rest: Mapping[int, Intervals | None],
    closed: Iterable[str] = (),
) -> Division[Intervals | None]:
    """All addresses by what rows say, and `rest` of what none of them holds; None: refused. `closed` are
    networks in which only rows are open. It is made once for all places in which the part of the table that
    is called `name` is looked up."""

    def make() -> Division[Intervals | None]:
        said: dict[str, Intervals | None] = dict.fromkeys(closed)
        said |= {prefix: row.intervals for row in rows for prefix in row.prefixes}
        return divide(said, rest, id)

    return table.once(f"division of {name}", (), make)


def by_network(source: Json, parts: Division[Intervals | None], render: Render) -> Json:
    """Look any address up."""

    def target(intervals: Intervals | None) -> Json:
        if intervals is None:
            return matchers.rbac_action(UNLISTED, allow=False)
        return by_port(intervals, render)

    return parted(source, parts, target)


def parted(source: Json, parts: Division[T], target: Callable[[T], Json]) -> Json:
    """Look any address up in a division."""
    rest = matchers.anywhere(source, {version: target(one) for version, one in parts.rest.items()})
    return matchers.longest_prefix(source, [(nets, target(one)) for nets, one in parts.groups], rest)


def plain(table: Table) -> Division[Intervals | None]:
    """All addresses by what becomes of plaintext from there."""
    return division(table, "plaintext", table.rows.get("", ()), table.rest)


def by_identity(source: Json, table: Table, render: Render, plaintext: Json | None) -> Json:
    """Look the authenticated identity up, then the source address among those that it owns. Of a crowd,
    look up the address alone: that whoever is there owns it was found out before the CONNECT was judged
    (`owners`); what is plaintext, which goes on as `plaintext` says, or has come out of a tunnel, was judged
    then."""
    refuse = matchers.rbac_action(UNLISTED, allow=False)
    known = {
        identity: by_address(matchers.SOURCE_IP, rows, render, refuse)
        for identity, rows in table.rows.items()
        if identity
    }
    if plaintext is not None:
        known[names.PLAINTEXT] = plaintext
    crowds = {}
    for one in table.crowds:
        parts = division(table, one.prefix, one.rows, one.rest, one.closed)
        crowds[one.prefix] = by_network(matchers.SOURCE_IP, parts, render)
    unlisted = refuse
    if crowds:
        proven = _OWNED if plaintext is None else _PROVEN
        unlisted = matchers.ordered([(proven, matchers.prefixes(source, crowds, refuse))], refuse)
    return matchers.exact(source, known, unlisted)


def by_serial(revoked: frozenset[str], otherwise: Json) -> Json:
    """Look the serial number of the peer's certificate up among those that are not taken. Envoy writes
    whole bytes."""
    refuse = matchers.rbac_action(decision_name(Class.DENY, (names.REVOKED_RULE,)), allow=False)
    spelled = {one.zfill(len(one) + len(one) % 2) for one in revoked} | revoked
    listed = dict.fromkeys(sorted(spelled), refuse)
    return matchers.exact(matchers.filter_state(names.SERIAL_STATE), listed, otherwise)


def ended_rbac() -> Json:
    """The HTTP RBAC filter in front of the tunnels of a pod that takes none any more."""
    name = decision_name(Class.DENY, (names.ENDING_RULE,))
    return _http_filter(matchers.rbac_action(name, allow=False), None)


def connect_rbac(table: Table, staged: Table | None = None, revoked: frozenset[str] = frozenset()) -> Json:
    """The HTTP RBAC filter in front of tunnels; in its shadow what staged policies would say."""

    def tree(one: Table) -> Json:
        return by_identity(matchers.URI_SAN, one, admission(connect_verdict), None)

    return _http_filter(by_serial(revoked, tree(table)), tree(staged) if staged else None)


def http_rbac(
    table: Table,
    staged: Table | None = None,
    revoked: frozenset[str] = frozenset(),
    strict: Json | None = None,
) -> Json:
    """The HTTP RBAC filter in front of the application; in its shadow what staged policies would say.
    `strict`: what becomes of all plaintext, where none is taken."""

    def tree(one: Table) -> Json:
        return _requests(one, strict)

    return _http_filter(by_serial(revoked, tree(table)), tree(staged) if staged else None)


def _requests(table: Table, plaintext: Json | None = None) -> Json:
    if plaintext is None:
        plaintext = by_network(matchers.SOURCE_IP, plain(table), request)
    return by_identity(matchers.filter_state(names.PEER_STATE), table, request, plaintext)


def marking_rbac(table: Table, prefix: str) -> Json:
    """An HTTP RBAC filter that denies nothing, and leaves the table's verdict in the metadata of requests,
    in keys that begin with `prefix`."""
    kind = "envoy.extensions.filters.http.rbac.v3.RBAC"
    tree = _matcher(_requests(table))
    return matchers.typed(kind, shadow_matcher=tree, shadow_rules_stat_prefix=prefix)


# whether a tunnel leads there (`names.MESH`) and what is decided; None: refused
Where = tuple[str, Intervals] | None


def outgoing(table: Table) -> Division[Where]:
    """All addresses by where they lead: once for the listener and the filter."""

    def make() -> Division[Where]:
        said: dict[str, Where] = dict.fromkeys(table.closed)
        for leads, rows in table.rows.items():
            for row in rows:
                said.update(dict.fromkeys(row.prefixes, (leads, row.intervals)))
        rest: dict[int, Where] = {version: ("", intervals) for version, intervals in table.rest.items()}
        return divide(said, rest, lambda where: None if where is None else (where[0], id(where[1])))

    return table.once("division of what leaves", (), make)


def egress_rbac(table: Table) -> Json:
    """The network RBAC filter of outgoing connections. The tree is its shadow, for only that one leaves the
    deciding rule's name for the access log; the shadow is asked first, and what it has said is the law."""

    def target(where: Where) -> Json:
        if where is None:
            return matchers.rbac_action(UNLISTED, allow=False)
        return by_port(where[1], admission(bytes_verdict))

    tree = parted(matchers.DESTINATION_IP, outgoing(table), target)["matcher"]
    said = {
        "filter": names.NETWORK_RBAC_FILTER,
        "path": [{"key": "shadow_engine_result"}],
        "value": {"string_match": {"exact": "allowed"}},
    }
    as_said = {"permissions": [{"metadata": said}], "principals": [{"any": True}]}
    return matchers.typed(
        "envoy.extensions.filters.network.rbac.v3.RBAC",
        stat_prefix="egress",
        rules={"action": "ALLOW", "policies": {"as the shadow says": as_said}},
        shadow_matcher=tree,
    )


def _http_filter(tree: Json, shadow: Json | None) -> Json:
    kind = "envoy.extensions.filters.http.rbac.v3.RBAC"
    if shadow is None:
        return matchers.typed(kind, matcher=_matcher(tree))
    return matchers.typed(kind, matcher=_matcher(tree), shadow_matcher=_matcher(shadow))


def _matcher(on_match: Json) -> Json:
    if "matcher" in on_match:
        inner: Json = on_match["matcher"]
        return inner
    return {"on_no_match": on_match}
