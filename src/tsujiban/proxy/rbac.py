"""Tables of decisions as Envoy matchers: who, from where, to which port, then the request.

The tree is keyed: an exact map on the authenticated identity, a trie on the source address, an
exact map on the port, and only then the short ordered list of what looks at the request. So the
cost of a request does not grow with the number of policies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from tsujiban.proxy import blocks, matchers, names
from tsujiban.proxy.decisions import (
    Admission,
    Class,
    Decision,
    Leaf,
    admit,
    decision_name,
)
from tsujiban.proxy.matchers import Json
from tsujiban.proxy.signature import minimal
from tsujiban.proxy.table import Intervals, Row, Table
from tsujiban.resources.names import SPIFFE_SCHEME

Render = Callable[[Decision], Json]

_NARROW = 16  # ports of an interval that are listed one by one, rather than as an expression
ANYWHERE = {4: "0.0.0.0/0", 6: "::/0"}
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


def by_network(
    source: Json,
    rows: Iterable[Row],
    render: Render,
    rest: Mapping[int, Intervals | None],
    closed: Iterable[str] = (),
) -> Json:
    """Look any address up: rows, and `rest` for what none of them holds. `closed` are networks in which only
    rows are open. What says no more than the network around it is left out."""
    listed: dict[str, Intervals | None] = dict.fromkeys(closed)
    listed |= {prefix: row.intervals for row in rows for prefix in row.prefixes}
    said: dict[str, Intervals | None]
    said = {ANYWHERE[version]: intervals for version, intervals in rest.items()} | minimal(listed, rest)
    groups: dict[int, list[str]] = {}
    for prefix in sorted(said):
        groups.setdefault(id(said[prefix]), []).append(prefix)
    ranges = []
    for nets in groups.values():
        intervals = said[nets[0]]
        refuse = matchers.rbac_action(UNLISTED, allow=False)
        ranges.append((nets, refuse if intervals is None else by_port(intervals, render)))
    return matchers.longest_prefix(source, ranges, None)


def by_identity(source: Json, table: Table, render: Render, plaintext: bool) -> Json:
    """Look the authenticated identity up, then the source address among those that it owns. Of a crowd,
    look up the address alone: that whoever is there owns it was found out before the CONNECT was judged
    (`owners`); what is `plaintext`, or has come out of a tunnel, was judged then."""
    refuse = matchers.rbac_action(UNLISTED, allow=False)
    known = {
        identity: by_address(matchers.SOURCE_IP, rows, render, refuse)
        for identity, rows in table.rows.items()
        if identity
    }
    if plaintext:
        known[names.PLAINTEXT] = by_network(matchers.SOURCE_IP, table.rows.get("", ()), render, table.rest)
    crowds = {
        one.prefix: by_network(matchers.SOURCE_IP, one.rows, render, one.rest, one.closed)
        for one in table.crowds
    }
    unlisted = refuse
    if crowds:
        proven = _PROVEN if plaintext else _OWNED
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
        return by_identity(matchers.URI_SAN, one, admission(connect_verdict), plaintext=False)

    return _http_filter(by_serial(revoked, tree(table)), tree(staged) if staged else None)


def http_rbac(table: Table, staged: Table | None = None, revoked: frozenset[str] = frozenset()) -> Json:
    """The HTTP RBAC filter in front of the application; in its shadow what staged policies would say."""

    def tree(one: Table) -> Json:
        return by_identity(matchers.filter_state(names.PEER_STATE), one, request, plaintext=True)

    return _http_filter(by_serial(revoked, tree(table)), tree(staged) if staged else None)


def marking_rbac(table: Table, prefix: str) -> Json:
    """An HTTP RBAC filter that denies nothing, and leaves the table's verdict in the metadata of requests,
    in keys that begin with `prefix`."""
    tree = by_identity(matchers.filter_state(names.PEER_STATE), table, request, plaintext=True)
    kind = "envoy.extensions.filters.http.rbac.v3.RBAC"
    return matchers.typed(kind, shadow_matcher=_matcher(tree), shadow_rules_stat_prefix=prefix)


def egress_rbac(table: Table) -> Json:
    """The network RBAC filter of outgoing connections. The same tree in the shadow, for only
    that one leaves the deciding rule's name for the access log."""
    rows = (row for rows in table.rows.values() for row in rows)
    render = admission(bytes_verdict)
    tree = by_network(matchers.DESTINATION_IP, rows, render, table.rest, table.closed)["matcher"]
    return matchers.typed(
        "envoy.extensions.filters.network.rbac.v3.RBAC",
        stat_prefix="egress",
        matcher=tree,
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
