"""Whom one endpoint may reach, or be reached by: its tables, kept up to date.

What decides is looked at when it has changed, and then all of it; when only peers come and go, only these
are looked at. A table is a new one only if something in it has changed, so that whoever has rendered
the old one knows when there is nothing to do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from tsujiban.policy.addresses import contains
from tsujiban.policy.program import Direction, EndpointProgram, Frozen, JwtRule, NodeState, Tier
from tsujiban.proxy.compiler import Compiler
from tsujiban.proxy.peers import Peers
from tsujiban.proxy.table import Intervals, Row, Table


class Program(Frozen, frozen=True):
    """By which policies an endpoint is judged in one direction: replicas of a workload have the same."""

    direction: Direction
    staged: bool
    pod_cidrs: tuple[str, ...]
    tiers: tuple[Tier, ...]
    profiles: tuple[str, ...]
    no_profile_id: str
    authorization: tuple[str, ...] = ()
    no_allow_id: str = ""
    jwt: tuple[JwtRule, ...] = ()


def program(
    endpoint: EndpointProgram, direction: Direction, pod_cidrs: tuple[str, ...] = (), *, staged: bool = False
) -> Program:
    """That of one endpoint."""
    incoming = direction is Direction.INGRESS
    return Program(
        direction=direction,
        staged=staged,
        pod_cidrs=pod_cidrs,
        tiers=endpoint.ingress if incoming else endpoint.egress,
        profiles=endpoint.profiles,
        no_profile_id=endpoint.no_profile_id,
        authorization=endpoint.authorization if incoming else (),
        no_allow_id=endpoint.no_allow_id if incoming else "",
        jwt=endpoint.jwt if incoming else (),
    )


class Reach:
    """One direction of one endpoint, and of all that are alike to it."""

    def __init__(
        self,
        state: NodeState,
        endpoint: EndpointProgram,
        direction: Direction,
        peers: Peers,
        pod_cidrs: tuple[str, ...] = (),
        *,
        staged: bool = False,
    ) -> None:
        """`pod_cidrs` matter on the way out: an address in them is a known peer's, or nobody's."""
        self._direction = direction
        self._peers = peers
        self._pod_cidrs = pod_cidrs
        self._compiler = Compiler(state, endpoint, direction, staged=staged)
        self._program = program(endpoint, direction, pod_cidrs, staged=staged)
        self._decided_by = _inputs(state, self._program, self._compiler.names)
        self._rest = self._compiler.rest()
        # Networks prove nothing; on the way in, neither does plaintext from any address.
        prefixes = sorted(self._compiler.vocabulary.prefixes())
        outgoing = direction is Direction.EGRESS
        owned = [one for one in prefixes if outgoing and self._inside(one)]
        self._closed = tuple(one for one in owned if not self._compiler.judge(one, "").opens)
        unproven = sorted(set(prefixes) - set(owned))
        self._unproven = {one: self._compiler.judge(one, "").intervals for one in unproven}
        self._listed: dict[str, tuple[str, Intervals]] = {}
        for address in list(self._compiler.candidates(peers)):
            self._look(address)
        for address in peers.outside(pod_cidrs) if outgoing else ():
            self._look(address)
        self.table = self._build()

    @property
    def headers(self) -> frozenset[str]:
        """The request headers that policy asks for, in lower case."""
        authorization = self._compiler.authorization
        return frozenset() if authorization is None else authorization.headers

    @property
    def revoked(self) -> frozenset[str]:
        """Serial numbers of certificates that are not taken, hex."""
        authorization = self._compiler.authorization
        return frozenset() if authorization is None else authorization.revoked

    @property
    def crl(self) -> str:
        """The same, signed by the authority; "" for none."""
        authorization = self._compiler.authorization
        return "" if authorization is None else authorization.crl

    @property
    def revoked_identities(self) -> frozenset[str]:
        """Whose certificates are not taken."""
        authorization = self._compiler.authorization
        return frozenset() if authorization is None else authorization.revoked_identities

    def is_of(self, state: NodeState, endpoint: EndpointProgram) -> bool:
        """Whether what decides about this endpoint, whose `program` is the same, is the same in this
        state: then `follow` is enough."""
        inputs = _inputs(state, self._program, self._compiler.names)
        return self._decided_by == inputs and self._compiler.ends(endpoint) == self._compiler.own

    def follow(self, addresses: Iterable[str]) -> None:
        """These addresses have other owners than before."""
        moved = [self._look(address) for address in addresses]
        if any(moved):
            self.table = self._build()

    def _inside(self, prefix: str) -> bool:
        return any(contains(cidr, prefix) for cidr in self._pod_cidrs)

    def _look(self, address: str) -> bool:
        """List an address, or not; whether that is another word than before."""
        identity = self._peers.owner(address)
        listed: tuple[str, Intervals] | None = None
        if identity or (identity is not None and self._direction is Direction.EGRESS):
            judged = self._compiler.judge(address, identity)
            outside = self._direction is Direction.EGRESS and not judged.opens and not self._inside(address)
            if judged.opens or outside:
                listed = (identity, judged.intervals)
        if listed == self._listed.get(address):
            return False
        if listed is None:
            del self._listed[address]
        else:
            self._listed[address] = listed
        return True

    def _build(self) -> Table:
        groups: defaultdict[str, defaultdict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
        meaning: dict[int, Intervals] = {}
        for prefix, identity, intervals in self._points():
            meaning[id(intervals)] = intervals
            groups[identity][id(intervals)].append(prefix)
        rows = {
            identity: tuple(
                sorted(
                    (
                        Row(prefixes=tuple(sorted(found)), intervals=meaning[key])
                        for key, found in alike.items()
                    ),
                    key=lambda row: row.prefixes,
                )
            )
            for identity, alike in groups.items()
        }
        return Table(rows, self._rest, self._unlisted, self._pod_cidrs, self._closed)

    def _points(self) -> Iterator[tuple[str, str, Intervals]]:
        for address, (identity, intervals) in self._listed.items():
            yield address, identity, intervals
        for prefix, intervals in self._unproven.items():
            if self._direction is Direction.INGRESS or prefix not in self._peers:
                yield prefix, "", intervals

    def _unlisted(self, identity: str, address: str) -> Intervals | None:
        owner = self._peers.owner(address)
        if owner is None or owner != identity or (self._direction is Direction.INGRESS and not identity):
            return None
        return self._compiler.judge(address, identity).intervals


def _inputs(state: NodeState, program: Program, sets: frozenset[str]) -> tuple[object, ...]:
    """All that the program's names stand for."""
    names = [*(name for tier in program.tiers for name in tier.policies), *program.profiles]
    parts: list[object] = [state.policies.get(name) for name in names]
    parts += [state.authorizations.get(name) for name in program.authorization]
    for name in sorted(sets):
        parts += (state.sets.get(name), state.service_sets.get(name))
    return tuple(parts)


def ingress(state: NodeState, endpoint: EndpointProgram, *, staged: bool = False) -> Table:
    """Who may reach the endpoint: rows of every identity by the addresses that it owns; under ""
    the networks that plaintext may come from, in which no identity is proven."""
    return Reach(state, endpoint, Direction.INGRESS, Peers(state.peers), staged=staged).table


def has_staged(state: NodeState, endpoint: EndpointProgram, direction: Direction) -> bool:
    """Whether the endpoint has staged policies, or dry runs on the way in."""
    incoming = direction is Direction.INGRESS
    tiers = endpoint.ingress if incoming else endpoint.egress
    policies = (state.policies.get(name) for tier in tiers for name in tier.policies)
    programs = (state.authorizations.get(name) for name in endpoint.authorization)
    return any(one is not None and one.staged for one in policies) or any(
        incoming and one is not None and one.dry_run for one in programs
    )


def egress(state: NodeState, endpoint: EndpointProgram, pod_cidrs: Iterable[str]) -> Table:
    """Where the endpoint may connect to: rows by the identity that the destination will have to
    prove, "" for plain pods and networks. Networks inside `pod_cidrs` have no row of their own."""
    return Reach(state, endpoint, Direction.EGRESS, Peers(state.peers), tuple(pod_cidrs)).table
