"""A pod's redirect on real connections: everything to the sidecar, nothing past it."""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Callable, Iterator

import pytest
from tests.support.kernelbed import Bed, Pod
from tests.support.wait import PATIENCE

from tsujiban.kernel.diff import remove
from tsujiban.kernel.nft import Nft
from tsujiban.kernel.redirect import Redirect, apply
from tsujiban.supervise.netns import namespace_path

pytestmark = pytest.mark.system

VERSIONS = (4, 6)
SHORT = 0.2
PROXY = 200_001
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
_ORIGINAL_DESTINATION = 80  # SO_ORIGINAL_DST, IP6T_SO_ORIGINAL_DST


@pytest.fixture
def pod(bed: Bed) -> Iterator[Pod]:
    """Pod a, with a redirect."""
    made = bed.pods["a"]
    redirect = Redirect(
        proxy_uid=PROXY,
        excluded_outbound_ports=(9000,),
        excluded_inbound_ports=(9001,),
        excluded_addresses=(bed.address("outside", 4), bed.address("outside", 6)),
    )
    path = namespace_path(made.namespace)
    assert apply(path, redirect).commands > 0
    assert apply(path, redirect).commands == 0
    yield made
    with bed.inside("a", Nft) as nft:
        nft.run(remove("tsujiban-redirect"))


def original_destination(made: socket.socket, version: int) -> tuple[str, int]:
    if version == 4:
        data = made.getsockopt(socket.SOL_IP, _ORIGINAL_DESTINATION, 16)
        return socket.inet_ntop(socket.AF_INET, data[4:8]), struct.unpack("!H", data[2:4])[0]
    data = made.getsockopt(socket.IPPROTO_IPV6, _ORIGINAL_DESTINATION, 28)
    return socket.inet_ntop(socket.AF_INET6, data[8:24]), struct.unpack("!H", data[2:4])[0]


def as_proxy(bed: Bed, make: Callable[[], socket.socket]) -> socket.socket:
    """A socket that the proxy's uid makes, in pod a."""

    def work() -> socket.socket:
        libc = ctypes.CDLL(None)
        libc.setfsuid(PROXY)  # of this thread only, which ends after this
        return make()

    made = bed.inside("a", work)
    made.settimeout(PATIENCE)
    return made


def of_proxy(bed: Bed, version: int) -> socket.socket:
    """A client's socket of the proxy."""
    return as_proxy(bed, lambda: socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6))


def proxy_at(bed: Bed, port: int) -> socket.socket:
    """A listener of the proxy."""
    return as_proxy(
        bed, lambda: socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_outbound_goes_to_the_proxy(bed: Bed, pod: Pod, version: int) -> None:
    there = bed.address("b", version)
    client = bed.make("a", version, socket.SOCK_STREAM)
    with bed.listen("b", 8080), proxy_at(bed, 15001) as proxy, client:
        client.connect((there, 8080))
        proxy.settimeout(PATIENCE)
        caught, _ = proxy.accept()
        with caught:
            assert original_destination(caught, version) == (there, 8080)


@pytest.mark.parametrize("version", VERSIONS)
def test_inbound_goes_to_the_proxy(bed: Bed, pod: Pod, version: int) -> None:
    here = pod.address(version)
    client = bed.make("b", version, socket.SOCK_STREAM)
    with bed.listen("a", 8080), proxy_at(bed, 15006) as proxy, client:
        client.connect((here, 8080))
        proxy.settimeout(PATIENCE)
        caught, peer = proxy.accept()
        with caught:
            assert original_destination(caught, version) == (here, 8080)
            assert peer[0].removeprefix("::ffff:") == bed.address("b", version)


@pytest.mark.parametrize("version", VERSIONS)
def test_without_a_proxy_nothing_passes(bed: Bed, pod: Pod, version: int) -> None:
    with bed.listen("b", 8080), bed.listen("a", 8080):
        assert bed.tcp("a", bed.address("b", version), 8080) == "refused"
        assert bed.tcp("b", pod.address(version), 8080) == "refused"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_proxy_itself_goes_straight(bed: Bed, pod: Pod, version: int) -> None:
    with bed.listen("b", 8080) as server, of_proxy(bed, version) as client:
        client.connect((bed.address("b", version), 8080))
        server.settimeout(PATIENCE)
        made, _ = server.accept()
        made.close()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("port", [15001, 15006, 15021])
def test_nobody_outside_reaches_the_proxys_ports(bed: Bed, pod: Pod, version: int, port: int) -> None:
    with proxy_at(bed, port):
        assert bed.tcp("b", pod.address(version), port, wait=SHORT) == "silence"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("port", [15001, 15006])
def test_the_application_cannot_address_the_proxy(bed: Bed, pod: Pod, version: int, port: int) -> None:
    with proxy_at(bed, port):
        assert bed.tcp("a", LOOPBACK[version], port) == "refused"
        assert bed.tcp("a", pod.address(version), port) == "refused"


@pytest.mark.parametrize("version", VERSIONS)
def test_an_application_in_the_proxys_place_is_mute(bed: Bed, pod: Pod, version: int) -> None:
    """A container may bind the port of a proxy that has just died."""
    with bed.listen("a", 15001), bed.listen("a", 15006), bed.listen("b", 8080):
        assert bed.tcp("b", pod.address(version), 8080, wait=SHORT) == "silence"
        assert bed.tcp("a", bed.address("b", version), 8080, wait=SHORT) == "silence"


@pytest.mark.parametrize("version", VERSIONS)
def test_loopback_is_the_pods_own(bed: Bed, pod: Pod, version: int) -> None:
    with bed.listen("a", 8080), bed.listen("a", 15021):
        assert bed.tcp("a", LOOPBACK[version], 8080) == "open"
        assert bed.tcp("a", pod.address(version), 8080) == "open"
        assert bed.tcp("a", LOOPBACK[version], 15021) == "open"


@pytest.mark.parametrize("version", VERSIONS)
def test_datagrams_and_exclusions_pass(bed: Bed, pod: Pod, version: int) -> None:
    with bed.listen("b", 9000), bed.listen("a", 9001), bed.listen("outside", 8080):
        assert bed.udp("a", bed.address("b", version), 8080) == "refused"  # by b's kernel: nobody listens
        assert bed.ping("a", bed.address("b", version)) == "open"
        assert bed.tcp("a", bed.address("b", version), 9000) == "open"
        assert bed.tcp("b", pod.address(version), 9001) == "open"
        assert bed.tcp("a", bed.address("outside", version), 8080) == "open"
