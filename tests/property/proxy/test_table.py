"""The proxy's tables against the definition: `policy.evaluate`, asked for the proxy's word."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from tsujiban.policy.authorize import request_path
from tsujiban.policy.evaluate import evaluate
from tsujiban.policy.flow import Flow, Post, Request
from tsujiban.policy.program import (
    Action,
    AddressSet,
    Authentication,
    AuthzAction,
    AuthzCondition,
    AuthzOperation,
    AuthzProgram,
    AuthzRule,
    AuthzSource,
    EndpointProgram,
    Http,
    JwtRule,
    Member,
    Mesh,
    MtlsMode,
    NodeState,
    PathMatch,
    Peer,
    PolicyProgram,
    PortRange,
    Ports,
    Rule,
    ServiceMember,
    ServiceSet,
    Side,
    StringMatch,
    Tier,
)
from tsujiban.proxy.authorization import Authorization
from tsujiban.proxy.decisions import (
    Admission,
    AllOf,
    AnyOf,
    Claim,
    Class,
    Decision,
    Leaf,
    Not,
    Predicate,
    SourcePort,
    Text,
    Unreadable,
    admit,
)
from tsujiban.proxy.reach import ingress
from tsujiban.proxy.table import Table

DOMAIN = "t.example"
SERVER = "10.0.0.1"
MESH = {
    "10.0.0.2": f"spiffe://{DOMAIN}/ns/a/sa/x",
    "10.0.0.3": f"spiffe://{DOMAIN}/ns/a/sa/y",
    "10.0.0.4": f"spiffe://{DOMAIN}/ns/b/sa/x",
    "10.0.0.5": f"spiffe://{DOMAIN}/ns/a/sa/x",
}
PLAIN = ("10.0.0.6", "10.0.1.7", "192.0.2.9")
SOURCES = (*MESH, *PLAIN)
NETS = ("10.0.0.0/29", "10.0.0.2/32", "10.0.0.4/31", "10.0.1.0/24", "0.0.0.0/0", "192.0.2.9/32")
SETS = ("s1", "s2", "missing")
SERVICES = ("n1", "n2", "gone")
PORTS = (0, 79, 80, 81, 443, 1024, 65535)

nets = st.lists(st.sampled_from(NETS), max_size=2).map(tuple)
some_sets = st.lists(st.sampled_from(SETS), max_size=1).map(tuple)
services = st.lists(st.sampled_from(SERVICES), max_size=1).map(tuple)
ranges = st.tuples(st.sampled_from(PORTS), st.sampled_from(PORTS)).map(
    lambda pair: PortRange(first=min(pair), last=max(pair))
)
ports = st.builds(Ports, ranges=st.lists(ranges, max_size=2).map(tuple), named=services)
one_net = st.sampled_from(NETS).map(lambda net: (net,))
one_set = st.sampled_from((*SETS[:2] * 4, "missing")).map(lambda name: (name,))
# Mostly one clause at a time: a conjunction of many hardly ever matches.
some_sides = st.one_of(
    st.just(Side()),
    st.builds(Side, nets=nets),
    st.builds(Side, nets=one_net),
    st.builds(Side, not_nets=one_net),
    st.builds(Side, sets=one_set),
    st.builds(Side, not_sets=one_set),
    st.builds(Side, services=services),
    st.builds(Side, ports=ports),
    st.builds(Side, not_ports=ports),
    st.builds(Side, sets=some_sets, not_sets=some_sets, not_nets=nets),
    st.builds(Side, nets=st.none() | nets, services=services, ports=ports, not_ports=ports),
)
paths = st.one_of(
    st.builds(PathMatch, exact=st.sampled_from(("/", "/a", "/a/b"))),
    st.builds(PathMatch, prefix=st.sampled_from(("/", "/a", "/a/b"))),
)
https = st.builds(
    Http,
    methods=st.lists(st.sampled_from(("GET", "PUT", "*")), max_size=1).map(tuple),
    paths=st.lists(paths, max_size=2).map(tuple),
)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    action = draw(st.sampled_from(tuple(Action)))
    return Rule(
        id=f"r/{draw(st.integers(0, 99))}",
        action=action,
        ip_version=draw(st.sampled_from((None,) * 6 + (4, 6))),
        protocols=draw(st.sampled_from(((),) * 6 + ((6,), (17,)))),
        not_protocols=draw(st.sampled_from(((),) * 6 + ((6,), (17,)))),
        src=draw(some_sides),
        dst=draw(st.just(Side()) | some_sides),
        # The manifests' kinds have HTTP clauses in Allow rules only.
        http=draw(st.none() | https) if action is Action.ALLOW else None,
    )


values = st.one_of(
    st.builds(
        StringMatch, exact=st.sampled_from(("a", "GET", "/a", "i/a", f"{DOMAIN}/ns/a/sa/x", DOMAIN, "80"))
    ),
    st.builds(StringMatch, prefix=st.sampled_from(("a", "G", "/a", "i", "j/k/", DOMAIN))),
    st.builds(StringMatch, suffix=st.sampled_from(("x", "T", "/b", "k/x"))),
    st.just(StringMatch(present=True)),
)
clause = st.lists(values, max_size=1).map(tuple)
path_values = st.one_of(
    values, st.just(StringMatch(template="/a/{*}")), st.just(StringMatch(template="/{**}"))
)
path_clause = st.lists(path_values, max_size=1).map(tuple)
port_clause = st.lists(st.sampled_from(PORTS), max_size=1).map(tuple)
sources = st.one_of(
    st.builds(AuthzSource, principals=clause, not_principals=clause),
    st.builds(AuthzSource, trust_domains=clause, not_trust_domains=clause),
    st.builds(AuthzSource, namespaces=clause, not_namespaces=clause),
    st.builds(AuthzSource, request_principals=clause, not_request_principals=clause),
    st.builds(AuthzSource, ip_blocks=nets, not_ip_blocks=nets),
)
operations = st.one_of(
    st.builds(AuthzOperation, ports=port_clause, not_ports=port_clause),
    st.builds(AuthzOperation, methods=clause, not_methods=clause),
    st.builds(AuthzOperation, hosts=clause, not_hosts=clause),
    st.builds(AuthzOperation, paths=path_clause, not_paths=path_clause),
    st.builds(AuthzOperation, ports=port_clause, methods=clause, paths=path_clause),
)
KEYS = (
    "request.headers[x-a]",
    "request.headers[:method]",
    "request.headers[Host]",
    "source.namespace",
    "source.principal",
    "destination.port",
    "request.auth.principal",
    "request.auth.audiences",
    "request.auth.claims[n][m]",
    "request.auth.claims[scope]",
    "request.auth.claims[azp]",
    "connection.sni",
    "no.such.key",
)
conditions = st.builds(AuthzCondition, key=st.sampled_from(KEYS), values=clause, not_values=clause)
authz_rules = st.builds(
    AuthzRule,
    id=st.integers(0, 99).map("z/{}".format),
    sources=st.lists(sources, max_size=1).map(tuple),
    operations=st.lists(operations, max_size=2).map(tuple),
    conditions=st.lists(conditions, max_size=1).map(tuple),
)


TOKEN_RULES: tuple[tuple[JwtRule, ...], ...] = (
    (),
    (JwtRule(issuer="i", id="ra/0", space_delimited=("azp",)), JwtRule(issuer="j/k", id="ra/1")),
    (JwtRule(issuer="", id="ra/2"), JwtRule(issuer="i", id="ra/3", required=True)),
)


@st.composite
def worlds(draw: st.DrawFn, authorization: bool) -> NodeState:
    state = NodeState(revision=1)
    for address, identity in MESH.items():
        state.peers[address] = Peer(address=address, endpoint=address, identity=identity, mesh=Mesh.SIDECAR)
    for name in SETS[:2]:
        hosts = draw(st.lists(st.sampled_from(SOURCES), max_size=3))
        members = {Member(net=host, identity=MESH.get(host, "")) for host in hosts}
        members |= {Member(net=net) for net in draw(nets)}
        state.sets[name] = AddressSet(id=name, members=frozenset(members))
    for name in SERVICES[:2]:
        triples = draw(st.lists(st.sampled_from(((SERVER, 80), (SERVER, 81), ("10.0.0.2", 79))), max_size=2))
        state.service_sets[name] = ServiceSet(
            id=name,
            members=frozenset(ServiceMember(address=host, protocol=6, port=port) for host, port in triples),
        )
    names = ("p1", "p2", "p3", "profile")
    for name in names:
        state.policies[name] = PolicyProgram(
            id=name,
            staged=name == "p3",
            ingress=tuple(draw(st.lists(rules(), max_size=4))),
        )
    tiers = tuple(
        Tier(
            name=f"t{index}",
            default_action=draw(st.sampled_from((Action.DENY, Action.PASS))),
            default_id=f"_tier/t{index}",
            policies=tuple(draw(st.lists(st.sampled_from((*names[:3], "lost")), max_size=2))),
        )
        for index in range(draw(st.integers(0, 2)))
    )
    programs: tuple[str, ...] = ()
    if authorization:
        for index in range(draw(st.integers(0, 3))):
            program = AuthzProgram(
                id=f"z{index}",
                action=draw(st.sampled_from((AuthzAction.ALLOW, AuthzAction.DENY, AuthzAction.AUDIT))),
                rules=tuple(draw(st.lists(authz_rules, max_size=2))),
            )
            state.authorizations[program.id] = program
        programs = tuple(draw(st.lists(st.sampled_from((*state.authorizations, "lost")), max_size=3)))
    state.endpoints["server"] = EndpointProgram(
        id="server",
        node="n",
        addresses=(SERVER,),
        identity=f"spiffe://{DOMAIN}/ns/a/sa/server",
        mesh=Mesh.SIDECAR,
        ingress=tiers,
        profiles=draw(st.sampled_from((("profile",),) * 4 + ((), ("lost",)))),
        authentication=Authentication(mode=MtlsMode.PERMISSIVE),
        authorization=programs,
        jwt=draw(st.sampled_from(TOKEN_RULES)) if authorization else (),
    )
    return state


def find(table: Table, identity: str, address: str, port: int) -> Decision:
    decision = table.find(identity, address, port)
    assert decision is not None
    return decision


Claims = dict[str, object] | None
TWICE = "given twice"  # what Envoy's script says of a header that rules name


def holds(test: Predicate, headers: dict[str, str], source_port: int, claims: Claims = None) -> bool:
    """What Envoy's matchers would say."""
    if isinstance(test, SourcePort):
        return test.first <= source_port <= test.last
    if isinstance(test, Not):
        return not holds(test.term, headers, source_port, claims)
    if isinstance(test, AllOf):
        return all(holds(term, headers, source_port, claims) for term in test.terms)
    if isinstance(test, AnyOf):
        return any(holds(term, headers, source_port, claims) for term in test.terms)
    if isinstance(test, Unreadable):
        return TWICE in headers
    if isinstance(test, Claim):
        return any(matches(test, value) for value in claimed(test, claims))
    assert isinstance(test, Text)
    value = headers.get(test.header)
    return value is not None and matches(test, value)


def claimed(test: Claim, claims: Claims) -> list[str]:
    found: object = claims
    for part in test.path:
        found = found.get(part) if isinstance(found, dict) else None
    values = found if isinstance(found, list) and test.listed else [found]
    if test.words and isinstance(found, str):
        values = found.split(" ")
    return [value for value in values if isinstance(value, str)]


def matches(test: Text | Claim, value: str) -> bool:
    if test.exact is not None:
        return value == test.exact
    if test.prefix is not None:
        return value.startswith(test.prefix)
    if test.suffix is not None:
        return value.endswith(test.suffix)
    return re.fullmatch(test.regex or "", value) is not None


def verdict(decision: Decision, headers: dict[str, str], source_port: int, claims: Claims = None) -> Leaf:
    while not isinstance(decision, Leaf):
        held = holds(decision.test, headers, source_port, claims)
        decision = decision.then if held else decision.otherwise
    return decision


def flow(source: str, port: int, source_port: int, plaintext: bool, http: Request | None) -> Flow:
    peer = "" if plaintext else MESH.get(source, "")
    return Flow(
        source=source,
        destination=SERVER,
        port=port,
        source_port=source_port,
        destination_endpoint="server",
        peer=peer,
        http=http,
    )


tokens = st.fixed_dictionaries(
    {"iss": st.sampled_from(("i", "j/k"))},
    optional={
        "sub": st.sampled_from(("a", "", "x")),  # RFC 7519: a string, or no proxy takes the token
        "aud": st.sampled_from(("a", ["a", "b"], [])),
        "azp": st.just("a"),
        "scope": st.sampled_from(("a", "x a", "", ["x a"])),
        "n": st.sampled_from(({"m": "a"}, {"m": ["x", 3]}, "a")),
    },
)
# No escaped slash: Envoy refuses it before authorization is asked.
requests = st.builds(
    Request,
    method=st.sampled_from(("GET", "PUT")),
    path=st.sampled_from(
        (
            "/",
            "/a",
            "/a/",
            "/a/b",
            "/ab",
            "/c?x=/a",
            "/a?/b",
            "/a;x/b",
            "/%61%2c",
            "/%3b",
            "/a/%zz",
            "/a/;/",
            "/;",
        )
    ),
    host=st.sampled_from(
        (
            *(
                "a",
                "A:80",
                "x",
                "A.",
                "xa..",
                "a:",
                "a.:80",
                "b@a",
                "u:p@xA.:80",
                "a:+80",
                "a:80:80",
                "b@a@x",
                "",
            ),
            *("[::a]", "[::a]:80", "[::a]x", "x@[::A].", "ax.", "x.a:"),
        )
    ),
    headers=st.sampled_from(({}, {"x-a": ""}, {"x-a": "a"}, {"x-a": "bx"}, {"x_a": "a"}, {"x.b": "a"})),
    repeated=st.sampled_from((frozenset(),) * 4 + (frozenset({"x-a"}),)),
    claims=st.none() | tokens,
)
ends = st.tuples(
    st.sampled_from(SOURCES),
    st.sampled_from(PORTS),
    st.sampled_from((79, 50000)),
    st.booleans(),
)


@settings(deadline=None, max_examples=250)
@given(worlds(authorization=True), st.lists(st.tuples(ends, requests), min_size=1, max_size=8))
def test_every_request_is_decided_as_defined(
    state: NodeState, asked: list[tuple[tuple[str, int, int, bool], Request]]
) -> None:
    table = ingress(state, state.endpoints["server"])
    for (source, port, source_port, plaintext), request in asked:
        one = flow(source, port, source_port, plaintext, request)
        expected = evaluate(state, one, Post.PROXY)
        decision = find(table, one.peer or "", source, port)
        if expected.decided_by[:1] in {
            ("ra/0",),
            ("ra/2",),
        }:  # refused by Envoy before authorization is asked
            continue
        headers = {":method": request.method, ":path": request.path, ":authority": request.host}
        headers |= request.headers
        if request.claims is not None:
            headers["authorization"] = "Bearer x"
        named = Authorization(state, state.endpoints["server"]).headers
        if request.repeated & named or {"x_a", "x-a"} <= request.headers.keys() | named:
            headers[TWICE] = ""
        leaf = verdict(decision, headers, source_port, request.claims)
        assert leaf.allow is (expected.verdict is Action.ALLOW), (one, decision, expected)
        if leaf.allow:
            assert leaf.rules == expected.decided_by
            assert leaf.audits == expected.layers[-1].logged
        else:
            assert leaf.rules[0] in expected.decided_by
        first = decision
        while not isinstance(seen := admit(first), Admission):
            first = seen.then if holds(seen.test, {}, source_port) else seen.otherwise
        assert seen.kind is not Class.DENY or not leaf.allow
        # Bytes that no rule wants to read hold no path and no header that a rule could misread.
        readable = request_path(request.path) is not None and not request.repeated
        assert seen.kind is not Class.TCP or leaf.allow or not readable


@settings(deadline=None, max_examples=400)
@given(worlds(authorization=True), st.lists(ends, min_size=1, max_size=8))
def test_no_connection_that_is_not_http_gets_further_than_defined(
    state: NodeState, asked: list[tuple[str, int, int, bool]]
) -> None:
    table = ingress(state, state.endpoints["server"])
    for source, port, source_port, plaintext in asked:
        one = flow(source, port, source_port, plaintext, None)
        expected = evaluate(state, one, Post.PROXY)
        decision = find(table, one.peer or "", source, port)
        while not isinstance(seen := admit(decision), Admission):
            decision = seen.then if holds(seen.test, {}, source_port) else seen.otherwise
        if seen.kind is Class.TCP:
            assert expected.verdict is Action.ALLOW, (one, decision)
            assert seen.rules == expected.decided_by
            assert seen.audits == expected.layers[-1].logged


@settings(deadline=None, max_examples=200)
@given(worlds(authorization=False), st.lists(ends, min_size=1, max_size=8))
def test_network_policy_without_http_in_denials_is_exact_for_bytes(
    state: NodeState, asked: list[tuple[str, int, int, bool]]
) -> None:
    table = ingress(state, state.endpoints["server"])
    for source, port, source_port, plaintext in asked:
        one = flow(source, port, source_port, plaintext, None)
        expected = evaluate(state, one, Post.PROXY)
        decision = find(table, one.peer or "", source, port)
        plain = verdict(decision, {}, source_port)
        assert plain.allow is (expected.verdict is Action.ALLOW), (one, decision, expected)
        assert plain.rules[0] in expected.decided_by
