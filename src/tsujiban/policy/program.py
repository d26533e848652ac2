"""The compiled program: what policy means, in the one form that everything enforces.

The evaluator walks it, `kernel/` renders it as nftables, `proxy/` renders it as Envoy
configuration, and the controller sends it to nodes. It exists so that there is exactly one
place where dialects have already been understood: nothing behind it knows Kubernetes,
Calico or Istio. Every struct is immutable and serialises with msgspec.

Matching rules, for every struct below: an absent (None or empty) clause matches everything;
clauses of one struct are a conjunction; the members of one clause are a disjunction.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar, cast

import msgspec

from tsujiban.policy.versions import VersionedSet

T = TypeVar("T")


class Action(StrEnum):
    """What a rule, or a tier without a matching rule, does with a flow."""

    ALLOW = "allow"
    DENY = "deny"
    PASS = "pass"  # go on with the next tier
    LOG = "log"  # record, then go on with the next rule


class Direction(StrEnum):
    """Seen from the endpoint that the program belongs to."""

    INGRESS = "ingress"
    EGRESS = "egress"


class Mesh(StrEnum):
    """How an endpoint takes part in the mesh."""

    NONE = "none"  # plain: no proxy, no identity on the wire
    SIDECAR = "sidecar"
    NODE = "node"  # the node's shared proxy


class Frozen(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of every program struct."""


class Origin(Frozen, frozen=True):
    """Where a user wrote it."""

    file: str = ""
    line: int = 0


class PortRange(Frozen, frozen=True):
    """First to last, both included, 0 to 65535."""

    first: int
    last: int


class Ports(Frozen, frozen=True):
    """A port clause: any of the ranges, or any of the (address, protocol, port) sets."""

    ranges: tuple[PortRange, ...] = ()
    named: tuple[str, ...] = ()  # ids of ServiceSets: named ports of the endpoints concerned


class Icmp(Frozen, frozen=True):
    """ICMP or ICMPv6 type and code; None matches any."""

    type: int | None = None
    code: int | None = None


class Side(Frozen, frozen=True):
    """What a rule asks of one end of a flow."""

    nets: tuple[str, ...] | None = None  # CIDRs; () matches nothing
    not_nets: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()  # AddressSet ids; the end must be in every one
    not_sets: tuple[str, ...] = ()  # AddressSet ids; the end must be in none
    services: tuple[str, ...] = ()  # ServiceSet ids; (address, protocol, port) must be in one
    ports: Ports | None = None
    not_ports: Ports | None = None


class PathMatch(Frozen, frozen=True):
    """One HTTP path clause, on the normalised path."""

    exact: str | None = None
    prefix: str | None = None  # on segment boundaries, as Calico's `prefix`


class Http(Frozen, frozen=True):
    """HTTP clause of a network policy rule. Never matches a connection that is not HTTP."""

    methods: tuple[str, ...] = ()
    paths: tuple[PathMatch, ...] = ()


class Rule(Frozen, frozen=True):
    """One match and its action. Several rules may carry one id: one rule of the user's,
    whose alternatives had to be written apart (say a selector peer beside an ipBlock)."""

    id: str
    action: Action
    ip_version: int | None = None  # 4 or 6
    protocols: tuple[int, ...] = ()  # IANA numbers; () is any
    not_protocols: tuple[int, ...] = ()
    icmp: Icmp | None = None
    not_icmp: Icmp | None = None
    src: Side = Side()
    dst: Side = Side()
    http: Http | None = None
    origin: Origin = Origin()


class PolicyProgram(Frozen, frozen=True):
    """One network policy (or profile), compiled; shared by all endpoints that it selects."""

    id: str  # e.g. default/summary-reads, _global/deny-all, default/knp:web, _profile/kns.default
    staged: bool = False  # evaluated and counted, never enforced
    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()
    # host endpoints only: which traffic the policy is about
    apply_on_forward: bool = False
    pre_dnat: bool = False
    do_not_track: bool = False
    origin: Origin = Origin()


class Tier(Frozen, frozen=True):
    """One tier of one endpoint and direction: the policies that select it, in order.

    A tier without an enforced policy does not count: its default action is not taken.
    """

    name: str
    default_action: Action  # ALLOW never; DENY or PASS
    default_id: str  # the rule id of the default action, e.g. _tier/default/ingress/default
    policies: tuple[str, ...] = ()  # PolicyProgram ids, staged ones included


class StringMatch(Frozen, frozen=True):
    """Istio's value forms. Exactly one field is set; `present` matches any non-empty value."""

    exact: str | None = None
    prefix: str | None = None
    suffix: str | None = None
    present: bool = False
    template: str | None = None  # a path template with {*} and {**}


class AuthzSource(Frozen, frozen=True):
    """Istio `source`: conjunction of its fields."""

    principals: tuple[StringMatch, ...] = ()  # spiffe ids without the scheme
    not_principals: tuple[StringMatch, ...] = ()
    trust_domains: tuple[StringMatch, ...] = ()
    not_trust_domains: tuple[StringMatch, ...] = ()
    namespaces: tuple[StringMatch, ...] = ()
    not_namespaces: tuple[StringMatch, ...] = ()
    request_principals: tuple[StringMatch, ...] = ()
    not_request_principals: tuple[StringMatch, ...] = ()
    ip_blocks: tuple[str, ...] = ()
    not_ip_blocks: tuple[str, ...] = ()
    remote_ip_blocks: tuple[str, ...] = ()
    not_remote_ip_blocks: tuple[str, ...] = ()


class AuthzOperation(Frozen, frozen=True):
    """Istio `operation`: conjunction of its fields."""

    hosts: tuple[StringMatch, ...] = ()
    not_hosts: tuple[StringMatch, ...] = ()
    ports: tuple[int, ...] = ()
    not_ports: tuple[int, ...] = ()
    methods: tuple[StringMatch, ...] = ()
    not_methods: tuple[StringMatch, ...] = ()
    paths: tuple[StringMatch, ...] = ()
    not_paths: tuple[StringMatch, ...] = ()


class AuthzCondition(Frozen, frozen=True):
    """Istio `when`: a key with values and not_values."""

    key: str
    values: tuple[StringMatch, ...] = ()
    not_values: tuple[StringMatch, ...] = ()
    cidrs: tuple[str, ...] = ()  # for source.ip, remote.ip, destination.ip
    not_cidrs: tuple[str, ...] = ()


class AuthzRule(Frozen, frozen=True):
    """One AuthorizationPolicy rule: (any source) and (any operation) and (every condition)."""

    id: str
    sources: tuple[AuthzSource, ...] = ()
    operations: tuple[AuthzOperation, ...] = ()
    conditions: tuple[AuthzCondition, ...] = ()
    origin: Origin = Origin()


class AuthzAction(StrEnum):
    """Istio's actions, in the order in which they are taken."""

    CUSTOM = "custom"
    DENY = "deny"
    ALLOW = "allow"
    AUDIT = "audit"


class ExternalAuthorizer(Frozen, frozen=True):
    """Who decides what a CUSTOM policy's rules match, and how it is asked (Istio's
    `extensionProviders`). Names of headers are in lower case; a `*` at either end stands for anything."""

    service: str  # namespace/name
    port: int
    grpc: bool = True  # else plain HTTP/1.1
    timeout_ms: int = 600_000
    fail_open: bool = False
    status_on_error: int = 403
    path_prefix: str = ""  # HTTP
    request_headers: tuple[str, ...] = ()  # HTTP: of the request, that it is told
    added_headers: tuple[tuple[str, str], ...] = ()  # HTTP: that it is told besides
    headers_upstream: tuple[str, ...] = ()  # HTTP: of its yes, that the application is told
    headers_on_deny: tuple[str, ...] = ()  # HTTP: of its no, that the client is told; () is all
    headers_on_allow: tuple[str, ...] = ()  # HTTP: of its yes, that the client is told
    body_bytes: int = 0  # of the request's body, that it is told; 0 is none
    partial_body: bool = False  # a longer body is cut, and else refused (413)
    body_as_bytes: bool = False  # gRPC
    clear_route_cache: bool = False


class AuthzProgram(Frozen, frozen=True):
    """One AuthorizationPolicy, compiled."""

    id: str  # e.g. default/authz:database
    action: AuthzAction
    provider: str = ""  # CUSTOM
    external: ExternalAuthorizer | None = None  # CUSTOM: the provider of that name; None: there is none
    rules: tuple[AuthzRule, ...] = ()  # none: matches nothing
    dry_run: bool = False
    revokes: tuple[str, ...] | None = None  # the mesh's own list of revoked certificates: serial numbers, hex
    crl: str = ""  # the same, signed by the authority: PEM, one for each issuer; "": none is revoked
    origin: Origin = Origin()


class MtlsMode(StrEnum):
    """PeerAuthentication: what a mesh endpoint accepts."""

    STRICT = "strict"
    PERMISSIVE = "permissive"
    DISABLE = "disable"


class Authentication(Frozen, frozen=True):
    """The effective PeerAuthentication of one endpoint."""

    mode: MtlsMode = MtlsMode.STRICT
    ports: dict[int, MtlsMode] = {}
    id: str = "_mesh/strict"  # the rule id of a plaintext refusal
    port_ids: dict[int, str] = {}  # the same for the ports of `ports`; `id` for one that is not here


class JwtRule(Frozen, frozen=True):
    """One issuer of a RequestAuthentication."""

    issuer: str  # "" is any: the keys alone say whose tokens are taken
    id: str = ""  # e.g. default/ra:NAME/0
    audiences: tuple[str, ...] = ()
    jwks: str = ""  # inline JSON; a jwks_uri is resolved by the proxy
    jwks_uri: str = ""
    from_headers: tuple[tuple[str, str], ...] = ()  # (name, prefix)
    from_params: tuple[str, ...] = ()
    from_cookies: tuple[str, ...] = ()
    forward: bool = False
    required: bool = False  # a request without such a token is refused
    space_delimited: tuple[str, ...] = ()  # claims, besides scope and permission, whose words are a list
    claims_to_headers: tuple[tuple[str, str], ...] = ()  # (header, claim): told to the application
    payload_header: str = ""  # the whole payload, base64url
    origin: Origin = Origin()


class EndpointProgram(Frozen, frozen=True):
    """All that is enforced at one endpoint. Policies and sets are named, and travel apart."""

    id: str  # namespace/name of the pod, or host/<name>
    node: str
    host: bool = False  # a host endpoint
    interface: str = ""  # host side of the pod's link; "*" for all interfaces of a node
    mac: str = ""
    addresses: tuple[str, ...] = ()  # without prefix length
    identity: str = ""  # spiffe://...; "" is: no identity, never matches an identity clause
    mesh: Mesh = Mesh.NONE
    # (name, protocol number, port) as declared by the workload
    named_ports: tuple[tuple[str, int, int], ...] = ()
    ingress: tuple[Tier, ...] = ()
    egress: tuple[Tier, ...] = ()
    profiles: tuple[str, ...] = ()  # PolicyProgram ids, after the tiers, in order
    no_profile_id: str = "_profile/none"  # rule id of the deny when no profile rule matches
    authentication: Authentication = Authentication()
    jwt: tuple[JwtRule, ...] = ()
    authorization: tuple[str, ...] = ()  # AuthzProgram ids in order CUSTOM, DENY, ALLOW, AUDIT
    no_allow_id: str = "_authz/no-allow"  # rule id of the deny when ALLOW policies exist and none matches


class Member(Frozen, frozen=True):
    """One member of an AddressSet: an address or a CIDR, and whose it is."""

    net: str  # "10.0.0.7" or "10.1.0.0/16"
    identity: str = ""  # spiffe id of the endpoint that owns it; "" for networks and plain pods


class AddressSet(Frozen, frozen=True):
    """The endpoints and networks that a selector selects. The kernel looks at `net`; the proxy
    at `net` and, for members with an identity, at the authenticated identity as well."""

    id: str
    members: frozenset[Member] = frozenset()


class ServiceMember(Frozen, frozen=True):
    """An address, a protocol (IANA number), a port."""

    address: str
    protocol: int
    port: int


class ServiceSet(Frozen, frozen=True):
    """(address, protocol, port) triples: named ports, or the endpoints of a Service."""

    id: str
    members: frozenset[ServiceMember] = frozenset()


class Peer(Frozen, frozen=True):
    """Who owns an address: what a client's proxy must find there, and a server's must see."""

    address: str
    endpoint: str  # namespace/name
    identity: str = ""
    mesh: Mesh = Mesh.NONE
    node: str = ""


class Backend(Frozen, frozen=True):
    """One ready endpoint of a service port."""

    address: str
    port: int


class ServicePort(Frozen, frozen=True):
    """One port of a service and where it leads."""

    protocol: int
    port: int
    name: str = ""
    backends: tuple[Backend, ...] = ()


class ServiceProgram(Frozen, frozen=True):
    """A service: its virtual addresses and the ready endpoints behind each port."""

    id: str  # namespace/name
    addresses: tuple[str, ...] = ()  # virtual IPs; () is headless
    ports: tuple[ServicePort, ...] = ()
    endpoint_addresses: tuple[str, ...] = ()  # ready endpoints, for headless DNS answers
    hostnames: tuple[tuple[str, str], ...] = ()  # of those with another name than their pod's, by address


class SetChange(Frozen, frozen=True):
    """A difference of one AddressSet or ServiceSet. `full` replaces; otherwise added/removed apply."""

    full: bool = False
    added: frozenset[Member] = frozenset()
    removed: frozenset[Member] = frozenset()
    added_services: frozenset[ServiceMember] = frozenset()
    removed_services: frozenset[ServiceMember] = frozenset()
    service: bool = False  # a ServiceSet


class NodeDelta(Frozen, frozen=True):
    """What changes at one node. None removes. Applying to the state `revision` was sent for
    gives the new state; a delta with `full` replaces everything."""

    revision: int
    full: bool = False
    endpoints: dict[str, EndpointProgram | None] = {}
    policies: dict[str, PolicyProgram | None] = {}
    authorizations: dict[str, AuthzProgram | None] = {}
    sets: dict[str, SetChange | None] = {}
    peers: dict[str, Peer | None] = {}  # by address
    services: dict[str, ServiceProgram | None] = {}


class NodeState(msgspec.Struct):
    """Everything one node enforces; `apply` folds a delta into it. Mutable, not thread-safe."""

    revision: int = 0
    endpoints: dict[str, EndpointProgram] = {}
    policies: dict[str, PolicyProgram] = {}
    authorizations: dict[str, AuthzProgram] = {}
    sets: dict[str, AddressSet] = {}
    service_sets: dict[str, ServiceSet] = {}
    peers: dict[str, Peer] = {}
    services: dict[str, ServiceProgram] = {}

    def apply(self, delta: NodeDelta) -> None:
        """Fold `delta` in."""
        if delta.full:
            self.clear()
        _fold(self.endpoints, delta.endpoints)
        _fold(self.policies, delta.policies)
        _fold(self.authorizations, delta.authorizations)
        _fold(self.peers, delta.peers)
        _fold(self.services, delta.services)
        for name, change in delta.sets.items():
            self._change_set(name, change)
        self.revision = delta.revision

    def clear(self) -> None:
        """Forget everything."""
        for name in self.__struct_fields__:
            if name != "revision":
                getattr(self, name).clear()

    def _change_set(self, name: str, change: SetChange | None) -> None:
        if change is None:
            self.sets.pop(name, None)
            self.service_sets.pop(name, None)
        elif change.service:
            triples = None if change.full else self.service_sets[name].members
            triples = _changed(triples, change.removed_services, change.added_services)
            self.service_sets[name] = ServiceSet(id=name, members=triples)
        else:
            members = None if change.full else self.sets[name].members
            self.sets[name] = AddressSet(id=name, members=_changed(members, change.removed, change.added))


def _changed(members: frozenset[T] | None, removed: frozenset[T], added: frozenset[T]) -> frozenset[T]:
    """The members after a change, at the cost of the change: a `VersionedSet`, which is as good as a
    frozenset to whoever looks at it (encoding it takes a real one)."""
    if not isinstance(members, VersionedSet):
        return cast(frozenset[T], VersionedSet(added if members is None else (members - removed) | added))
    return cast(frozenset[T], members.changed(removed, added))


def _fold(table: dict[str, T], changes: dict[str, T | None]) -> None:
    for name, value in changes.items():
        if value is None:
            table.pop(name, None)
        else:
            table[name] = value
