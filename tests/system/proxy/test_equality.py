"""Random worlds in real Envoys, asked over HTTP/1.1, HTTP/2 and with plain bytes, against `policy.evaluate`.

IPv4 and IPv6: each address of a world has a twin. The Envoys live through all worlds, so each world is
a change of the one before. Every verdict and every deciding rule id is compared. A connection that is
not HTTP may be refused where the definition allows it, and only there where requests have to be read.
TSUJIBAN_SOAK is how many worlds to try; the seed is hypothesis's, which shrinks what differs to the
smallest world.
"""

from __future__ import annotations

import http.client
import re
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

import h2.config
import h2.connection
import h2.events
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.property.proxy.test_table import MESH, PLAIN, SERVER, requests, worlds
from tests.support import soaking
from tests.support.jwts import Issuer
from tests.support.proxybed import Bed, Pod, twin, until

from tsujiban.policy.authorize import request_path
from tsujiban.policy.evaluate import evaluate
from tsujiban.policy.flow import Flow, Post, Request, Verdict
from tsujiban.policy.program import Action, AuthzProgram, Mesh, NodeState, PolicyProgram
from tsujiban.proxy.accesslog import ProxyEvent
from tsujiban.proxy.decisions import Admission, Class, admit
from tsujiban.proxy.reach import ingress

pytestmark = [pytest.mark.system, pytest.mark.timeout(soaking.SECONDS)]
WORLDS = soaking.worlds(12)
FLOWS = 40 if soaking.REPORT else 10  # of one world at least: a soak is about flows, a test about worlds
RAW = b"raw"  # bytes that are no HTTP
PORTS = (79, 80, 81, 443)
IPV4 = re.compile(r"\d+\.\d+\.\d+\.\d+(/\d+)?")
OPEN = 50000  # any source port that a client's kernel may choose lies where this one does
KEYS = Issuer("i")
NAMES = {SERVER: "server", **{one: f"m{one[-1]}" for one in MESH}, PLAIN[0]: f"m{PLAIN[0][-1]}"}


class EqualityBed(Bed):
    """The property test's cluster: the same identities, the same addresses but for their net."""

    def identity(self, name: str) -> str:
        """See `Bed`."""
        found = {NAMES[address]: identity for address, identity in MESH.items()}.get(name, "")
        path = found.rpartition("/ns/")[2] or f"a/sa/{name}"
        return f"spiffe://{self.pki.trust_domain}/ns/{path}"

    def translated(self, drawn: NodeState) -> NodeState:
        """A drawn world, with the addresses, the trust domain and the keys of this one."""
        text = msgspec.json.encode(drawn)
        domain = self.pki.trust_domain.encode()
        for old, new in ((b"10.0.0.", b"10.244.0."), (b"10.0.1.", b"10.244.1."), (b"t.example", domain)):
            text = text.replace(old, new)
        return msgspec.convert(doubled(msgspec.json.decode(text)), NodeState)


def doubled(value: Any) -> Any:
    """JSON with the IPv6 twin of every IPv4 address and network that is in a list."""
    if isinstance(value, dict):
        return {key: doubled(inner) for key, inner in value.items()}
    if not isinstance(value, list):
        return value
    found = [doubled(inner) for inner in value]
    for inner in value:
        if isinstance(inner, str) and IPV4.fullmatch(inner):
            found.append(twin(inner))
        for field in ("net", "address") if isinstance(inner, dict) else ():
            if field in inner:
                found.append({**inner, field: twin(inner[field])})
    return found


def serve(connection: socket.socket) -> None:
    """HTTP/1.1, HTTP/2, or an echo, by what comes first."""
    data = connection.recv(65536)
    if data.startswith(RAW):
        connection.sendall(data)
    elif data.startswith(b"PRI"):
        serve_h2(connection, data)
    else:
        while data:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            data = connection.recv(65536)


def serve_h2(connection: socket.socket, data: bytes) -> None:
    """Answer every request with 200."""
    state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    state.initiate_connection()
    while data:
        for event in state.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                state.send_headers(event.stream_id, [(":status", "200")], end_stream=True)
        connection.sendall(state.data_to_send())
        data = connection.recv(65536)


class Asked(NamedTuple):
    """One flow: from where, to which port, and how."""

    source: str
    port: int
    request: Request | None  # None: plain bytes
    http2: bool
    version: int  # of IP

    def address(self, pod: Pod) -> str:
        """Where a pod is, in this version."""
        return pod.address if self.version == 4 else twin(pod.address)


@pytest.fixture(scope="module", params=[Mesh.SIDECAR, Mesh.NODE], ids=str)
def equal(request: pytest.FixtureRequest) -> Iterator[EqualityBed]:
    directory = Path(mkdtemp(prefix="tsujiban-proxy-"))
    directory.chmod(0o755)
    bed = EqualityBed(directory, request.param)
    try:
        for address, name in sorted(NAMES.items()):
            pod = bed.pod(name, mesh=Mesh.NONE if address in PLAIN else None)
            assert pod.address == address.replace("10.0.0.", "10.244.0.")
            pod.add_ipv6()
        for port in PORTS:
            bed.pods["server"].listen(port, serve, dual=True)
        bed.settle()
        yield bed
    finally:
        bed.close()


def headers(asked: Asked, mark: str) -> list[tuple[str, str]]:
    request = asked.request
    assert request is not None
    listed = [*request.headers.items(), *((name, "a") for name in request.repeated), ("x-mark", mark)]
    listed += [(name, "a") for name in request.repeated - request.headers.keys()]  # twice in any case
    if request.claims is not None:
        token = Issuer(str(request.claims["iss"]), KEYS).token(**request.claims)
        listed.append(("authorization", f"Bearer {token}"))
    return listed


def marked(path: str, mark: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}mark={mark}"


def ask(pod: Pod, server: Pod, asked: Asked, mark: str) -> bool:
    """Whether it passed."""
    address = asked.address(server)
    try:
        with pod.connect(address, asked.port) as connection:
            if asked.request is None:
                # read as a request, it ends here, is none, and is answered: nobody waits for the rest
                connection.sendall(RAW + mark.encode() + b"\r\n\r\n")
                return connection.recv(100).startswith(RAW)
            path = marked(asked.request.path, mark)
            if asked.http2:
                return ask_h2(connection, asked, path, mark) == 200
            client = http.client.HTTPConnection(address)
            client.sock = connection
            client.putrequest(asked.request.method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in (("Host", asked.request.host), *headers(asked, mark)):
                client.putheader(name, value)
            client.endheaders()
            return client.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False


def ask_h2(connection: socket.socket, asked: Asked, path: str, mark: str) -> int:
    assert asked.request is not None
    state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    state.initiate_connection()
    pseudo = [(":method", asked.request.method), (":scheme", "http"), (":path", path)]
    pseudo.append((":authority", asked.request.host))
    state.send_headers(1, [*pseudo, *headers(asked, mark)], end_stream=True)
    connection.sendall(state.data_to_send())
    while data := connection.recv(65536):
        for event in state.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                return int(dict(event.headers)[b":status"])
        connection.sendall(state.data_to_send())
    return 0


def judged(bed: EqualityBed, asked: Asked, mark: str) -> tuple[Flow, Verdict]:
    pod = bed.pods[asked.source]
    request = asked.request
    if request is not None:
        known = {"x-mark": mark, **request.headers}
        request = msgspec.structs.replace(request, path=marked(request.path, mark), headers=known)
    flow = Flow(
        source=asked.address(pod),
        destination=asked.address(bed.pods["server"]),
        port=asked.port,
        source_port=OPEN,
        destination_endpoint="default/server",
        peer=pod.identity if pod.mesh is not Mesh.NONE else "",
        http=request,
    )
    return flow, evaluate(bed.state, flow, Post.PROXY)


def first_look(bed: EqualityBed, flow: Flow) -> Class:
    decision = ingress(bed.state, bed.state.endpoints["default/server"]).find(
        flow.peer or "", flow.source, flow.port
    )
    assert decision is not None
    while not isinstance(seen := admit(decision), Admission):
        decision = seen.otherwise
    return seen.kind


def record(bed: EqualityBed, asked: Asked, mark: str, since_ns: int) -> ProxyEvent | None:
    """The record of this flow: of the request, or of a connection alike that was refused."""
    pod = bed.pods[asked.source]
    for event in bed.events:
        if event.time_ns < since_ns:  # of the world before, told late
            continue
        if event.endpoint == "default/server" and event.destination_port == asked.port:
            if event.log == "http" and event.path.endswith(f"mark={mark}"):
                return event
            if event.log in {"tunnel", "connection"} and event.source == asked.address(pod):
                return event
    return None


def recorded(bed: EqualityBed, asked: Asked, mark: str, since_ns: int) -> ProxyEvent:
    """Wait for the record; when there is none, say what there was and whether an Envoy has ended."""
    try:
        event = until(f"a record of {asked} ({mark})", partial(record, bed, asked, mark, since_ns))
    except AssertionError as error:
        listing = "\n".join(map(str, bed.events))
        raise AssertionError(f"{error}\n{bed.trouble()}\nthere were:\n{listing}") from None
    assert event is not None
    return event


def take(bed: EqualityBed, drawn: NodeState) -> None:
    """Bring a drawn world into force."""
    world = bed.translated(drawn)
    policies: dict[str, PolicyProgram | None] = dict.fromkeys(("p1", "p2", "p3", "profile"))
    programs: dict[str, AuthzProgram | None] = dict.fromkeys(("z0", "z1", "z2"))
    jwt = tuple(msgspec.structs.replace(rule, jwks=KEYS.jwks) for rule in world.endpoints["server"].jwt)
    server = msgspec.structs.replace(world.endpoints["server"], id="default/server", jwt=jwt)
    if bed.mesh is Mesh.NODE:
        server = msgspec.structs.replace(server, mesh=Mesh.NODE)
    server = msgspec.structs.replace(server, identity=bed.identity("server"))
    refused = bed.update(
        policies={**policies, **world.policies},
        authorizations={**programs, **world.authorizations},
        sets=world.sets,
        service_sets=world.service_sets,
        endpoints={server.id: server},
    )
    assert refused == ()


def malformed(asked: Asked) -> bool:
    """Whether HTTP/2 knows no such request, whatever policy says: without a host, or with a user before it
    (RFC 9113, 8.3.1)."""
    return (
        asked.request is not None and asked.http2 and (asked.request.host == "" or "@" in asked.request.host)
    )


def compare(bed: EqualityBed, listed: list[Asked]) -> None:
    """Try all flows; each must end as the definition says, and leave the record that it says."""
    bed.events.clear()
    begun = time.time_ns()
    server = bed.pods["server"]
    expected_records: list[tuple[Asked, str, Flow, Verdict]] = []
    for number, asked in enumerate(listed):
        mark = f"{bed.state.revision}-{number}"
        flow, expected = judged(bed, asked, mark)
        passed = ask(bed.pods[asked.source], server, asked, mark)
        assert bed.trouble() == ""
        allowed = expected.verdict is Action.ALLOW
        look = first_look(bed, flow)
        if asked.request is None and allowed and not passed:
            assert look is Class.INSPECT, (flow, expected)
        elif asked.request is not None and passed and not allowed:
            # An ambiguous path or header where no rule reads requests: bytes.
            assert look is Class.TCP, (flow, expected)
            odd = request_path(marked(asked.request.path, mark)) is None or asked.request.repeated
            assert odd, (flow, expected)
        elif malformed(asked) and look is not Class.TCP:
            assert not passed, (flow, expected)
        else:
            assert passed is allowed, (flow, expected, bed.events)
            if asked.request is not None and look is not Class.TCP:
                expected_records.append((asked, mark, flow, expected))
    for asked, mark, flow, expected in expected_records:
        event = recorded(bed, asked, mark, begun)
        if expected.verdict is Action.ALLOW:
            assert event.rules == expected.decided_by, (flow, event)
            assert event.audits == expected.layers[-1].logged, (flow, event)
        else:
            rules = expected.decided_by
            if event.log != "http":  # refused before a request was seen, for every request would be
                bare = msgspec.structs.replace(flow, http=None)
                rules += evaluate(bed.state, bare, Post.PROXY).decided_by
            assert event.rules[0] in rules, (flow, expected, event)


flows = st.builds(
    Asked,
    st.sampled_from([name for address, name in NAMES.items() if address != SERVER]),
    st.sampled_from(PORTS),
    st.none() | requests | requests,
    st.booleans(),
    st.sampled_from((4, 6)),
)


@settings(
    max_examples=WORLDS,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(drawn=worlds(authorization=True), listed=st.lists(flows, min_size=FLOWS, max_size=60))
def test_envoy_says_what_the_definition_says(
    equal: EqualityBed, drawn: NodeState, listed: list[Asked]
) -> None:
    with soaking.world("proxy") as compared:
        take(equal, drawn)
        compare(equal, listed)
        compared.flows = len(listed)
