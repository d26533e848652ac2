"""The proxy half of `make bench-dataplane`: what authorization costs a request, what each way of being
in the mesh costs one, and the memory of a sidecar and of the node's Envoy.

Pods in network namespaces of their own on this machine, real Envoys, and the proxy post that an agent
has. All Envoys are on one core, so the rate is what a core of proxies carries; load and origin are on another
(`httpload`). All variants are interleaved round by round, and of each the best round counts: what else
the machine does makes every figure worse. Beside the rate there is the CPU time of all Envoys on the way per
request. Nothing is judged here.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import grpclib.const  # noqa: E402
from bench.classic import OUTWARD, Form, pair  # noqa: E402
from bench.httpload import cpu_seconds, load, origin  # noqa: E402
from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2  # noqa: E402
from envoy.service.auth.v3 import external_auth_pb2  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table as Grid  # noqa: E402
from tests.support.meshapps import members, reads  # noqa: E402
from tests.support.proxybed import Bed, Envoy, Pod, tier, until  # noqa: E402

from tsujiban.policy.program import (  # noqa: E402
    Action,
    AddressSet,
    Http,
    Member,
    Mesh,
    PathMatch,
    Peer,
    PolicyProgram,
    Rule,
    Side,
)
from tsujiban.proxy import channel, filters, names, rbac  # noqa: E402
from tsujiban.proxy.channel import Channel  # noqa: E402
from tsujiban.proxy.guard import GuardedServer  # noqa: E402
from tsujiban.proxy.matchers import Json, typed  # noqa: E402

T = TypeVar("T")
PORT = 8080
INSTANCES = 3  # of each Envoy: how one is laid out in memory makes up to a fifth of what it costs
PATIENCE = 120.0
CLIENTS = 20
FLAT = 1000  # policies of the flat form
FORMS = {
    Form.EQUAL: "same policy and records",
    Form.BARE: "and nothing else",
    Form.ISTIO: "as Istio has them",
}


class Variant:
    """One way from a client to a server, and the Envoys on it."""

    def __init__(self, name: str, client: Pod, server: Pod, envoys: list[Envoy], port: int = PORT) -> None:
        self.name = name
        self.client = client
        self.address = f"{server.address}"
        self.port = port
        self.envoys = envoys
        self.rates: list[float] = []
        self.cpu: list[float] = []  # microseconds of Envoy per request

    def round(self, seconds: int, connections: int) -> None:
        """Load it once."""
        pids = [pid_of(envoy) for envoy in self.envoys]
        before = cpu_seconds(pids)
        found = load(self.client.namespace, self.address, self.port, connections, seconds)
        self.rates.append(found.rate)
        self.cpu.append((cpu_seconds(pids) - before) / found.requests * 1e6)

    def join(self, other: Variant) -> None:
        """Count the rounds of the same way through other processes as well."""
        if other is not self:
            self.rates += other.rates
            self.cpu += other.cpu

    def best(self) -> tuple[float, float]:
        """Highest rate and lowest CPU time of all rounds: whatever disturbs makes both worse."""
        return max(self.rates), min(self.cpu)


def pid_of(envoy: Envoy) -> int:
    """The process that is Envoy: `ip netns exec`, `unshare` and `setpriv` become what they execute."""
    process = envoy._process
    if process is None:
        raise SystemExit("an Envoy is not running")
    return process.pid


def private_megabytes(envoy: Envoy) -> float:
    """Memory that is its own."""
    text = Path(f"/proc/{pid_of(envoy)}/smaps_rollup").read_text()
    kilobytes = [int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_Dirty:")]
    return sum(kilobytes) / 1024


class BenchBed(Bed):
    """A bed with HTTP servers, and with Envoys that no agent knows."""

    def __init__(self, directory: Path, mesh: Mesh) -> None:
        super().__init__(directory, mesh)
        self.servers: list[subprocess.Popen[bytes]] = []
        self.static: list[Envoy] = []
        self.channels: list[Channel] = []

    def serve(self, pod: Pod) -> None:
        """An HTTP server in a pod."""
        self.servers.append(origin(pod.namespace, self.directory / f"origin-{pod.name}", PORT))

    def listen(self, pod: Pod, envoy: Envoy) -> None:
        """Read the records of an Envoy that no agent knows, as an agent reads them."""
        made = Channel(envoy.socket_path, pod.uid, None, lambda: None)
        self.agent(made.open())
        self.channels.append(made)

    def agent(self, work: Coroutine[Any, Any, T], timeout: float = PATIENCE) -> T:
        """See `Bed`. A thousand peers take longer than a test's few."""
        return super().agent(work, timeout)

    def settle(self) -> None:
        """See `Bed`."""
        self.update()
        for pod in self.pods.values():
            if pod.envoy is not None and self.post is not None:
                until(f"{pod.id} ready", partial(self.post.ready, pod.id), PATIENCE)

    def close(self) -> None:
        """Leave nothing behind."""
        for server in self.servers:
            server.kill()
            server.wait()
        for envoy in self.static:
            envoy.stop()
        for one in self.channels:
            self.agent(one.close())
        super().close()


@contextmanager
def bed(mesh: Mesh) -> Iterator[BenchBed]:
    """A bed in a directory that sidecars' users may enter."""
    with tempfile.TemporaryDirectory(prefix="tsujiban-bench-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o755)
        made = BenchBed(Path(directory), mesh)
        try:
            yield made
        finally:
            made.close()


# ------------------------------------------------------------------ policies


def policies(made: BenchBed, web: str, client: Pod, count: int) -> dict[str, Any]:
    """`count` policies of a pod for CLIENTS clients; the one that allows the request is the last."""
    groups = [AddressSet(id="s:0", members=members(client).members)]
    found: dict[str, Any] = {"policies": {}, "sets": {}, "peers": {}}
    for number in range(1, CLIENTS):
        identity, address = made.identity(f"client-{number}"), f"10.244.100.{number}"
        one = frozenset({Member(net=address, identity=identity)})
        groups.append(AddressSet(id=f"s:{number}", members=one))
        found["peers"][address] = Peer(
            address=address, endpoint=f"default/client-{number}", identity=identity, mesh=Mesh.SIDECAR
        )
    found["sets"] = {group.id: group for group in groups}
    for number in range(count):
        name = f"default/{web}-{number}"
        last = number == count - 1
        path = PathMatch(exact="/") if last else PathMatch(prefix=f"/{number}")
        group = groups[0 if last else number % CLIENTS]
        http = Http(methods=("GET",), paths=(path,))
        rule = Rule(id=f"{name}/ingress/0", action=Action.ALLOW, src=Side(sets=(group.id,)), http=http)
        found["policies"][name] = PolicyProgram(id=name, ingress=(rule,))
    return found


def guarded(made: BenchBed, web: str, client: Pod, count: int) -> Pod:
    """A server with that many policies."""
    names_of = (f"default/{web}-{number}" for number in range(count))
    server = made.pod(web, ingress=(tier(*names_of),))
    made.serve(server)
    made.update(**policies(made, web, client, count))
    return server


def flat(table: Any, *_more: Any) -> Json:
    """As many policies as RBAC `rules`, one beside the other: what most meshes give Envoy. The table says
    who the clients are; the last policy allows the first client's request."""
    identities = sorted(one for one in table.rows if one) or ["nobody"]
    listed: Json = {}
    for number in range(FLAT):
        last = number == FLAT - 1
        client = [one for one in identities if one.endswith("/customer")][:1] if last else []
        identity = client[0] if client else identities[number % len(identities)]
        path = {"exact": "/"} if last else {"prefix": f"/{number}"}
        rules = [
            {"header": {"name": ":method", "string_match": {"exact": "GET"}}},
            {"url_path": {"path": path}},
        ]
        peer = {"filter_state": {"key": names.PEER_STATE, "string_match": {"exact": identity}}}
        listed[f"p{number:04}"] = {"permissions": [{"and_rules": {"rules": rules}}], "principals": [peer]}
    return typed("envoy.extensions.filters.http.rbac.v3.RBAC", rules={"action": "ALLOW", "policies": listed})


def external(site: Any, name: str, *messages: str) -> Json:
    """In place of the RBAC filter of requests: a question to the agent."""
    if name != names.RBAC_HTTP:
        return discovered(site, name, *messages)
    service = {"envoy_grpc": {"cluster_name": names.AGENT_CLUSTER}, "timeout": "1s"}
    kind = ext_authz_pb2.ExtAuthz.DESCRIPTOR.full_name
    config = typed(kind, transport_api_version="V3", grpc_service=service)
    return {"name": "authz", "typed_config": config}


discovered = filters.discovered


class Yes:
    """Allows everything, at once: the floor of what such a service costs."""

    def __mapping__(self) -> dict[str, Any]:
        async def check(stream: Any) -> None:
            await stream.recv_message()
            answer = external_auth_pb2.CheckResponse()
            answer.ok_response.SetInParent()
            await stream.send_message(answer)

        path = "/envoy.service.auth.v3.Authorization/Check"
        kind = grpclib.const.Cardinality.UNARY_UNARY
        request, response = external_auth_pb2.CheckRequest, external_auth_pb2.CheckResponse
        return {path: grpclib.const.Handler(check, kind, request, response)}


def with_yes(handlers: list[Any], authorize: Any) -> GuardedServer:
    return GuardedServer([*handlers, Yes()], authorize)


# ------------------------------------------------------------------ what is measured


def authorization(console: Console, rounds: int, seconds: int, connections: int) -> None:
    """One server, 10 and 1 000 policies; the flat form; a question to a service."""
    with ExitStack() as stack:
        variants: list[Variant] = []

        def add(name: str, count: int, patches: list[Any]) -> None:
            made = stack.enter_context(bed(Mesh.SIDECAR))
            with ExitStack() as patched:
                for patch in patches:
                    patched.enter_context(patch)
                client = made.pod("customer")
                server = guarded(made, "web", client, count)
                until(f"{name} answers", partial(answers, client, server), PATIENCE)
            variants.append(Variant(name, client, server, envoys_of(client, server)))

        add("10 policies", 10, [])
        add("1 000 policies", 1000, [])
        add("1 000, flat `rules`", 1000, [mock.patch.object(rbac, "http_rbac", flat)])
        asking = [
            mock.patch.object(filters, "discovered", external),
            mock.patch.object(channel, "GuardedServer", with_yes),
        ]
        add("ext_authz, Python, always yes", 10, asking)
        measure(variants, rounds, seconds, connections)
        show(
            console, "What authorization costs a request (two sidecars, HTTP read at the server)", variants, 0
        )


def architectures(console: Console, rounds: int, seconds: int, connections: int) -> None:
    """Sidecars and the node's Envoy, with HTTP and without."""
    found: dict[str, Variant] = {}
    for _ in range(INSTANCES):
        with bed(Mesh.SIDECAR) as one, bed(Mesh.NODE) as other:
            variants = ways(one, other)
            measure(variants, rounds, seconds, connections)
        for variant in variants:
            found.setdefault(variant.name, variant).join(variant)
    title = f"What each way costs a request, {connections} connections (of: HTTP parsed at both ends)"
    show(console, title, [*found.values()], 1)


def ways(one: BenchBed, other: BenchBed) -> list[Variant]:
    """All ways from a client to a server: by sidecars in the first bed, by a node's Envoy in the other."""
    other.workers = 1  # all proxies are on one core
    variants = []
    for form, does in FORMS.items():
        client, envoys = pair(one, form, PORT, lambda client: policies(one, "x", client, 10))
        variants.append(
            Variant(f"two sidecars, HTTP parsed at both ends, {does}", client, client, envoys, OUTWARD)
        )
    for made, what in ((one, "two sidecars"), (other, "node proxy, both pods on it")):
        client = made.pod("customer")
        plain = made.pod("plain")
        made.serve(plain)
        web = guarded(made, "web", client, 10)
        made.settle()
        for server, how in ((plain, "bytes"), (web, "HTTP read at the server")):
            variants.append(Variant(f"{what}, {how}", client, server, envoys_of(client, server)))
    return [Variant("direct, no proxy", one.pods["bare-client"], one.pods["bare-server"], []), *variants]


def growth(console: Console, sizes: tuple[int, ...], changes: int) -> None:
    """Memory of an Envoy, and how long a change takes to be in force, as the cluster around it grows."""
    grid = Grid(title="As the cluster grows (medians of changes in ms; memory in MB)", title_justify="left")
    for heading in ("", "pods in the cluster", "MB", "a stranger comes", "a friend comes"):
        grid.add_column(heading, justify="left" if not heading else "right")
    for mesh, what, count, scoped in (
        (Mesh.SIDECAR, "a sidecar, policy: ten friends", 1, True),
        (Mesh.NODE, "the node's Envoy, 1 pod, the same", 1, True),
        (Mesh.NODE, "10 pods", 10, True),
        (Mesh.NODE, "100 pods", 100, True),
        (Mesh.SIDECAR, "a sidecar without policy", 1, False),
        (Mesh.NODE, "the node's Envoy, 10 pods, the same", 10, False),
        (Mesh.NODE, "100 pods", 100, False),
    ):
        with bed(mesh) as made:
            for size in sizes:
                grow(made, count, size, scoped=scoped)
                megabytes = private_megabytes(first_envoy(made))
                stranger, friend = (came(made, changes, friend=one) for one in (False, True))
                grid.add_row(what, f"{size:,}", f"{megabytes:.0f}", f"{stranger:.1f}", f"{friend:.1f}")
    console.print(grid)


def grow(made: BenchBed, count: int, size: int, *, scoped: bool) -> None:
    """Have that many pods here, and others elsewhere; policy lets those here speak with ten of them."""
    made.state.peers.update(strangers(made, size))
    friends = [*made.state.peers.values()][:10]
    if "s:few" not in made.state.sets:
        made.state.sets["s:few"] = set_of(friends)
    rule = Rule(id="default/few/0", action=Action.ALLOW, src=Side(sets=("s:few",)))
    outward = Rule(id="default/few/1", action=Action.ALLOW, dst=Side(sets=("s:few",)))
    made.state.policies["default/few"] = PolicyProgram(id="default/few", ingress=(rule,), egress=(outward,))
    both: dict[str, Any] = {
        "ingress": (tier("default/few"),),
        "egress": (tier("default/few", direction="egress"),),
    }
    for number in range(len(made.pods), count):
        made.pod(f"pod-{number}", **(both if scoped else {}))
    made.settle()


def set_of(peers: Iterable[Peer]) -> AddressSet:
    return AddressSet(
        id="s:few", members=frozenset(Member(net=one.address, identity=one.identity) for one in peers)
    )


def came(made: BenchBed, changes: int, *, friend: bool) -> float:
    """Milliseconds from a pod's coming, somewhere, until every proxy here has taken what it means."""
    times = []
    members = made.state.sets["s:few"].members
    for number in range(changes):
        address = f"10.244.140.{number + 1}"
        name = made.identity(f"new-{number}")
        peer = Peer(address=address, endpoint=f"default/new-{number}", identity=name, mesh=Mesh.SIDECAR)
        more = members | ({Member(net=address, identity=name)} if friend else set())
        begun = time.perf_counter()
        if made.update(peers={address: peer}, sets={"s:few": AddressSet(id="s:few", members=more)}):
            raise SystemExit("a proxy has refused its configuration")
        times.append((time.perf_counter() - begun) * 1e3)
        made.update(peers={address: None}, sets={"s:few": AddressSet(id="s:few", members=members)})
    return statistics.median(times)


def first_envoy(made: BenchBed) -> Envoy:
    envoy = made.pods["pod-0"].envoy
    if envoy is None:
        raise SystemExit("a pod has no Envoy")
    return envoy


def strangers(made: BenchBed, count: int) -> dict[str, Peer]:
    """Pods of other nodes, each with an identity of its own."""
    found = {}
    for number in range(count):
        address = f"10.244.{150 + number // 250}.{number % 250 + 1}"
        found[address] = Peer(
            address=address,
            endpoint=f"default/stranger-{number}",
            identity=made.identity(f"stranger-{number}"),
            mesh=Mesh.SIDECAR,
        )
    return found


def answers(client: Pod, server: Pod) -> bool:
    return reads(client, server.address, PORT, "/") == 200


def envoys_of(*pods: Pod) -> list[Envoy]:
    return list({id(pod.envoy): pod.envoy for pod in pods if pod.envoy is not None}.values())


def measure(variants: list[Variant], rounds: int, seconds: int, connections: int) -> None:
    for number in range(rounds):
        for offset in range(len(variants)):
            variants[(number + offset) % len(variants)].round(seconds, connections)


def show(console: Console, title: str, variants: list[Variant], base: int) -> None:
    grid = Grid(title=title, title_justify="left")
    for heading in ("", "req/s", "ratio", "Envoy CPU µs/request", "ratio"):
        grid.add_column(heading, justify="left" if not heading else "right")
    carried, spent = variants[base].best()
    for one in variants:
        rate, cpu = one.best()
        costs = (f"{cpu:.0f}", f"{spent / cpu:.2f}") if cpu else ("-", "-")
        grid.add_row(one.name, f"{rate:,.0f}", f"{rate / carried:.2f}", *costs)
    console.print(grid)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of load, each time")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--part", choices=("authorization", "architectures", "growth"))
    parser.add_argument("--largest", type=int, default=10_000, help="pods of the cluster, where it grows")
    options, _ = parser.parse_known_args()
    console = Console(width=120)
    load_of = (options.rounds, options.seconds, options.connections)
    sizes = tuple(one for one in (100, 1000, 10_000) if one <= options.largest)
    parts: dict[str, Callable[[], None]] = {
        "authorization": lambda: authorization(console, *load_of),
        "architectures": lambda: architectures(console, *load_of),
        "growth": lambda: growth(console, sizes, options.rounds),
    }
    for name, part in parts.items():
        if options.part in (None, name):
            part()


if __name__ == "__main__":
    main()
