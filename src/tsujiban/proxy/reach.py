"""Whom one endpoint may reach, or be reached by: its tables, kept up to date.

What decides is looked at when it has changed, and then all of it; when only peers come and go, or some
members of sets, only these are looked at. A table is a new one only if something in it has changed, so that
whoever has rendered the old one knows when there is nothing to do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from typing import NamedTuple

from tsujiban.policy.addresses import canonical, contains
from tsujiban.policy.program import (
    AddressSet,
    Direction,
    EndpointProgram,
    Frozen,
    JwtRule,
    NodeState,
    Tier,
)
from tsujiban.proxy import names
from tsujiban.proxy.compiler import Compiler, Judgement
from tsujiban.proxy.peers import Peers
from tsujiban.proxy.signature import inside, text
from tsujiban.proxy.table import Crowd, Intervals, Row, Table
from tsujiban.resources import spiffe

MANY_CHANGES = 256  # members of sets; when more come or go at once, all is looked at
MANY = 64  # peers with rows of their own; more are judged as crowds, by address


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
    trust_domain: str = ""


def program(
    endpoint: EndpointProgram, direction: Direction, pod_cidrs: tuple[str, ...] = (), *, staged: bool = False
) -> Program:
    """That of one endpoint."""
    incoming = direction is Direction.INGRESS
    domain = spiffe.parse(endpoint.identity)
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
        trust_domain=domain.trust_domain if incoming and domain is not None else "",
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
        self._closed: dict[str, None] = {}
        self._networks: dict[str, tuple[str, Intervals]] = {}
        self._listed: dict[str, tuple[str, Intervals]] = {}
        self._crowds: dict[str, str] = {}
        if direction is Direction.INGRESS:
            self._crowds = self._compiler.crowds(self._program.trust_domain)
        self._crowded: dict[str, dict[str, Judgement]] = {prefix: {} for prefix in self._crowds}
        for prefix in sorted(self._compiler.vocabulary.prefixes() | set(map(canonical, pod_cidrs))):
            self._look_around(prefix)
        self._greet()
        if direction is Direction.EGRESS:
            candidates = {*peers.plain(), *peers.outside(pod_cidrs)}
        else:
            candidates = set(self._compiler.candidates(peers, lambda one: bool(self._crowd(one))))
        for address in candidates:
            self._look(address)
        self.table = self._build()

    def with_members(self, state: NodeState, endpoint: EndpointProgram, moved: Iterable[str]) -> Reach | None:
        """One for a state in which only some members of sets are others, made of this; None if more has
        changed. `moved`: as for `follow`, which this one has not been told of."""
        inputs = _inputs(state, self._program, self._compiler.names)
        if inputs.decides != self._decided_by.decides:
            return None
        compiler, changed = self._compiler.with_members(state)
        if len(changed) > MANY_CHANGES or compiler.ends(endpoint) != compiler.own:
            return None
        made = copy(self)
        made._compiler, made._decided_by = compiler, inputs
        made._closed, made._networks, made._listed = (
            dict(self._closed),
            dict(self._networks),
            dict(self._listed),
        )
        made._crowded = {prefix: dict(judged) for prefix, judged in self._crowded.items()}
        touched = {text(one) for one in changed if one[0]}
        if wide := {one for one in changed if one[1] < one[2]}:
            touched |= inside({*self._networks, *self._closed}, wide)
        for prefix in touched:
            made._look_around(prefix)
        made._greet()
        for address in {*moved, *(one for net in changed for one in self._peers.inside(net))}:
            made._look(address)
        made.table = made._build()
        return made

    def _look_around(self, prefix: str) -> None:
        """List a network, or not, in which nobody is known."""
        named = self._compiler.vocabulary.names(prefix)
        self._closed.pop(prefix, None)
        self._networks.pop(prefix, None)
        for crowded in self._crowded.values():
            crowded.pop(prefix, None)
        if self._direction is Direction.EGRESS:
            if named or prefix in map(canonical, self._pod_cidrs):
                self._divide(prefix)
        elif named:
            # Networks prove nothing, and neither does plaintext from any address.
            self._networks[prefix] = ("", self._compiler.judge(prefix, "").intervals)
            for begin, stands_for in self._crowds.items():
                self._crowded[begin][prefix] = self._compiler.judge(prefix, stands_for)

    def _divide(self, prefix: str) -> None:
        """On the way out an address is judged by what it lies in, not by whose it is: so the networks that
        rules name are all that has to be told of the pods' networks, however many live there."""
        judged = self._compiler.judge(prefix, "")
        inside = self._inside(prefix)
        if inside and not judged.opens:
            self._closed[prefix] = None
        else:
            self._networks[prefix] = (names.MESH if inside else "", judged.intervals)

    def _greet(self) -> None:
        """Make the crowds of what is known of the networks."""
        self._crowding = {prefix: self._of_crowd(prefix) for prefix in self._crowds}
        self._welcome = any(one.rows or any(one.rest.values()) for one in self._crowding.values())

    def _of_crowd(self, begin: str) -> Crowd:
        """What is made of a crowd, but for those of it who are told from the others."""
        stands_for = self._crowds[begin]
        judged = self._crowded[begin]
        closed = tuple(sorted(prefix for prefix, one in judged.items() if not one.opens))
        rest = {
            version: one.intervals if one.opens else None
            for version, one in self._compiler.rest_of(stands_for).items()
        }
        opened = {prefix: one.intervals for prefix, one in judged.items() if one.opens}
        return Crowd(begin, _rows(opened), closed, rest)

    def _crowd(self, identity: str) -> str:
        """In which crowd an identity is; "" for none."""
        return max((one for one in self._crowds if identity.startswith(one)), key=len, default="")

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

    def opens(self, address: str) -> bool:
        """On the way out: whether anything is open at an address, whoever owns it."""
        return self._compiler.judge(address, "").opens

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
        listed = self._word(address)
        if listed == self._listed.get(address):
            return False
        if listed is None:
            del self._listed[address]
        else:
            self._listed[address] = listed
        return True

    def _word(self, address: str) -> tuple[str, Intervals] | None:
        """What has to be said of an address. On the way out: if it is not what the network around it
        would be taken for."""
        identity = self._peers.owner(address)
        if identity is None:
            return None
        leads = identity
        if self._direction is Direction.EGRESS:
            leads = names.MESH if identity else ""
            if bool(identity) is self._inside(address):
                return None
        elif not identity:
            return None
        judged = self._compiler.judge(address, identity)
        if crowd := self._crowd(identity):
            usual = self._compiler.judge(address, self._crowds[crowd])
            told = judged.intervals is not usual.intervals and (judged.opens or usual.opens)
        else:
            told = judged.opens
        return (leads, judged.intervals) if told else None

    def _build(self) -> Table:
        crowded = self._welcome or (bool(self._crowds) and len(self._listed) > MANY)
        rows: defaultdict[str, dict[str, Intervals]] = defaultdict(dict)
        members: defaultdict[str, dict[str, Intervals]] = defaultdict(dict)
        for prefix, leads, intervals in self._points():
            crowd = self._crowd(leads) if crowded else ""
            (members[crowd] if crowd else rows[leads])[prefix] = intervals
        crowds = [
            one if one.prefix not in members else _with(one, members[one.prefix])
            for one in (self._crowding.values() if crowded else ())
        ]
        return Table(
            {leads: _rows(said) for leads, said in rows.items()},
            self._rest,
            self._unlisted,
            self._pod_cidrs,
            tuple(sorted(self._closed)),
            tuple(crowds),
        )

    def _points(self) -> Iterator[tuple[str, str, Intervals]]:
        for address, (identity, intervals) in self._listed.items():
            yield address, identity, intervals
        for prefix, (leads, intervals) in self._networks.items():
            if self._direction is Direction.INGRESS or prefix not in self._listed:
                yield prefix, leads, intervals

    def _unlisted(self, identity: str, address: str) -> Intervals | None:
        owner = self._peers.owner(address)
        if owner is None or owner != identity or (self._direction is Direction.INGRESS and not identity):
            return None
        return self._compiler.judge(address, identity).intervals


def _rows(said: Mapping[str, Intervals]) -> tuple[Row, ...]:
    """A row for each decision."""
    groups: defaultdict[int, list[str]] = defaultdict(list)
    for prefix, intervals in said.items():
        groups[id(intervals)].append(prefix)
    rows = (Row(prefixes=tuple(sorted(found)), intervals=said[found[0]]) for found in groups.values())
    return tuple(sorted(rows, key=lambda row: row.prefixes))


def _with(crowd: Crowd, members: Mapping[str, Intervals]) -> Crowd:
    """A crowd with those of it who are told from the others."""
    said = {prefix: row.intervals for row in crowd.rows for prefix in row.prefixes} | dict(members)
    closed = tuple(one for one in crowd.closed if one not in members)
    return crowd._replace(rows=_rows(said), closed=closed)


class _Inputs(NamedTuple):
    """All that a program's names stand for."""

    decides: tuple[object, ...]  # and which sets there are
    sets: tuple[AddressSet | None, ...]


def _inputs(state: NodeState, program: Program, sets: frozenset[str]) -> _Inputs:
    policies = [*(name for tier in program.tiers for name in tier.policies), *program.profiles]
    parts: list[object] = [state.policies.get(name) for name in policies]
    parts += [state.authorizations.get(name) for name in program.authorization]
    ordered = sorted(sets)
    parts += [state.service_sets.get(name) for name in ordered]
    parts += [name in state.sets for name in ordered]
    return _Inputs(tuple(parts), tuple(state.sets.get(name) for name in ordered))


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
    """Where the endpoint may connect to: under `names.MESH` the networks and addresses whose owner has to
    prove who he is, under "" plain pods and networks outside of `pod_cidrs`."""
    return Reach(state, endpoint, Direction.EGRESS, Peers(state.peers), tuple(pod_cidrs)).table
