"""No allowed request fails because a proxy is just taking a change, be it about others or about itself."""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from collections.abc import Callable

import msgspec
import pytest
from tests.support.meshapps import READS, allow, ask, echo_http, web_client
from tests.support.proxybed import Bed, Pod, tier
from tests.support.wait import PATIENCE

from tsujiban.policy.program import (
    Authentication,
    Backend,
    Mesh,
    MtlsMode,
    Peer,
    ServicePort,
    ServiceProgram,
)

pytestmark = pytest.mark.system
SERVICE = "10.96.0.9"
ENOUGH = 20  # questions


class Hammer:
    """Asks without a pause, on a connection each or always on one; keeps what failed."""

    def __init__(self, pod: Pod, address: str, *, keep: bool = False) -> None:
        self.count = 0
        self.failures: list[str] = []
        self._keep = keep
        self._pod, self._address = pod, address
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self._stop.is_set():
            begun = time.monotonic()
            try:
                if connection is None or not self._keep:
                    connection = web_client(self._pod, self._address, 80)
                status = ask(connection, "GET", "/v1/x")[0]
                if status != 200:
                    self.failures.append(f"{self.count}: status {status}")
            except (OSError, http.client.HTTPException) as error:
                took = time.monotonic() - begun
                self.failures.append(f"{self.count}: {error!r} after {took:.3f} s")
                connection = None
            self.count += 1

    def stop(self) -> None:
        """End it. Raises AssertionError for the first requests that failed."""
        self._stop.set()
        self._thread.join()
        assert self.count > ENOUGH, "hardly asked"
        assert self.failures == [], f"{len(self.failures)} of {self.count} failed: {self.failures[:5]}"


def during(bed: Bed, change: Callable[[int], None], *hammers: Hammer, seconds: float = 1.5) -> None:
    """Make changes while the hammers ask; they go on until changed listeners have let go of what they end."""
    begun = time.monotonic()
    for index in itertools.count():
        change(index)
        spent = time.monotonic() - begun
        if (spent > seconds and all(one.count > ENOUGH for one in hammers)) or spent > PATIENCE:
            break
        time.sleep(0.02)
    bed.drained()
    for hammer in hammers:
        hammer.stop()


def service(*pods: Pod, name: str = "default/web", address: str = SERVICE) -> ServiceProgram:
    """A service with these pods behind it."""
    backends = tuple(Backend(address=pod.address, port=80) for pod in pods)
    return ServiceProgram(
        id=name, addresses=(address,), ports=(ServicePort(protocol=6, port=80, backends=backends),)
    )


def peer(bed: Bed, name: str, address: str) -> Peer:
    """Somebody of the mesh who is not there."""
    return Peer(address=address, endpoint=f"default/{name}", identity=bed.identity(name), mesh=Mesh.SIDECAR)


def web(bed: Bed, *names: str) -> tuple[list[Pod], Pod]:
    """Web servers of one policy, and their customer."""
    pods = [bed.pod(name, ingress=(tier("default/web"),), named_ports=(("http", 6, 80),)) for name in names]
    customer = bed.pod("customer")
    for pod in pods:
        pod.listen(80, echo_http)
    bed.update(**allow(customer, http=READS), services={"default/web": service(*pods)})
    bed.settle()
    return pods, customer


def test_peers_and_services_of_others_come_and_go(bed: Bed) -> None:
    (server,), customer = web(bed, "web")

    def change(index: int) -> None:
        one = peer(bed, f"p{index % 7}", f"10.244.9.{index % 7}")
        other = service(server, name=f"default/s{index % 7}", address=f"10.96.1.{index % 7}")
        gone = index % 14 >= 7
        changes = {one.address: None if gone else one}, {other.id: None if gone else other}
        assert bed.update(peers=changes[0], services=changes[1]) == ()

    asking = [Hammer(customer, SERVICE), Hammer(customer, SERVICE, keep=True)]
    during(bed, change, *asking, Hammer(customer, server.address))


def test_backends_come_and_go(bed: Bed) -> None:
    (server, second), customer = web(bed, "web", "second")
    known = bed.state.peers[second.address]

    def change(index: int) -> None:
        here = index % 2 == 0
        behind = service(server, second) if here else service(server)
        peers = {second.address: known if here else None}
        assert bed.update(peers=peers, services={behind.id: behind}) == ()

    asking = [Hammer(customer, SERVICE), Hammer(customer, SERVICE)]
    during(bed, change, *asking, Hammer(customer, server.address, keep=True))


def test_a_service_is_there_once_it_is_in_force(bed: Bed) -> None:
    (server,), customer = web(bed, "web")
    for index in range(40):
        new = service(server, name=f"default/s{index}", address=f"10.96.1.{index}")
        assert bed.update(services={new.id: new}) == ()
        assert ask(web_client(customer, f"10.96.1.{index}", 80), "GET", "/v1")[0] == 200


def test_policy_changes_around_what_stays_allowed(bed: Bed) -> None:
    _, customer = web(bed, "web", "second")
    stranger = bed.pod("stranger")
    bed.settle()

    def change(index: int) -> None:
        clients = (customer, stranger) if index % 2 else (customer,)
        ports = (80,) if index % 3 else (80, 443)
        assert bed.update(**allow(*clients, ports=ports, http=READS)) == ()

    during(bed, change, Hammer(customer, SERVICE), Hammer(customer, SERVICE, keep=True))


def test_a_policy_begins_to_look_at_requests_and_ceases(bed: Bed) -> None:
    """New connections are allowed under both; what was opened as bytes is ended, by itself alone."""
    _, customer = web(bed, "web", "second")

    def change(index: int) -> None:
        assert bed.update(**allow(customer, http=READS if index % 2 else None)) == ()

    during(bed, change, Hammer(customer, SERVICE), Hammer(customer, SERVICE))


def test_plaintext_is_accepted_and_refused_again(bed: Bed) -> None:
    (server, _), customer = web(bed, "web", "second")
    endpoint = bed.state.endpoints[server.id]

    def change(index: int) -> None:
        mode = MtlsMode.PERMISSIVE if index % 2 else MtlsMode.STRICT
        changed = msgspec.structs.replace(endpoint, authentication=Authentication(mode=mode))
        assert bed.update(endpoints={server.id: changed}) == ()

    during(bed, change, Hammer(customer, SERVICE), Hammer(customer, server.address, keep=True))


def test_keys_are_renewed(bed: Bed) -> None:
    pods, customer = web(bed, "web", "second")

    def change(_: int) -> None:
        async def rotate() -> None:
            assert bed.post is not None
            for pod in (*pods, customer):
                bed.post.set_secret(pod.id, bed.issue(pod.identity))
            await bed.post.enforced(bed.state.revision)

        bed.agent(rotate())

    during(bed, change, Hammer(customer, SERVICE), Hammer(customer, SERVICE, keep=True))
