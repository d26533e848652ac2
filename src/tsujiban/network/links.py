"""A pod's link: layer 3 only, so that the node sees and decides every packet of a pod.

A veth pair; the host end (names.link_name) has a fixed MAC address and no address, the pod's
end is eth0 with a /32 (or /128). Both ends know each other as permanent neighbours: there is
no ARP to spoof and nothing to wait for. `add` and `delete` may be repeated (CNI 1.1, ADD and
DEL). They work in the calling thread's namespace, which must be the node's, and block for
about a millisecond.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from tsujiban.network import rtnetlink
from tsujiban.network.namespaces import write_sysctl
from tsujiban.resources import names
from tsujiban.supervise.netns import call_in, namespace_path

HOST_MAC = "ee:ee:ee:ee:ee:ee"
GATEWAY = "169.254.1.1"
GATEWAY6 = "fe80::ecee:eeff:feee:eeee"  # the link-local address of HOST_MAC (RFC 4291 appendix A)
POD_INTERFACE = "eth0"
LOOPBACK = 1  # index of lo in every namespace
MTU = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class PodLink:
    """What a pod's link is made from."""

    uid: str  # of the pod
    namespace: str  # name of the pod's network namespace
    addresses: tuple[str, ...]  # without prefix length, either family
    mtu: int = MTU

    @property
    def name(self) -> str:
        """Name of the host side."""
        return names.link_name(self.uid)


def add(link: PodLink) -> None:
    """Make the link, or complete it when parts of it are there. Raises OSError."""
    path = namespace_path(link.namespace)
    try:
        _create(link, path)
    except FileExistsError:
        if not call_in(path, lambda: _has_interface(POD_INTERFACE)):  # its other end is elsewhere
            delete(link.uid)
            _create(link, path)
    index = socket.if_nametoindex(link.name)
    _host_sysctls(link)
    rtnetlink.send(host_messages(link, index))
    call_in(path, lambda: _configure_pod(link))


def delete(pod_uid: str) -> None:
    """Remove a pod's link, both ends, and its routes; nothing happens without one. Raises OSError."""
    rtnetlink.send([rtnetlink.delete_link(names.link_name(pod_uid))])


def exists(pod_uid: str) -> bool:
    """True when the host side of the pod's link is in the calling thread's namespace."""
    return _has_interface(names.link_name(pod_uid))


def host_messages(link: PodLink, index: int) -> list[rtnetlink.Message]:
    """What the node gets: for each address a permanent neighbour and a route."""
    messages = []
    for address in link.addresses:
        messages.append(rtnetlink.new_neighbour(index, address, names.pod_mac(link.uid)))
        messages.append(rtnetlink.new_route(_host_network(address), index))
    return messages


def pod_messages(link: PodLink, index: int) -> list[rtnetlink.Message]:
    """What the pod gets: loopback, addresses, the gateway as a neighbour, a default route."""
    messages = [rtnetlink.set_up(LOOPBACK), rtnetlink.set_up(index)]
    messages += [rtnetlink.new_address(index, _host_network(address)) for address in link.addresses]
    if any(":" not in address for address in link.addresses):
        messages.append(rtnetlink.new_neighbour(index, GATEWAY, HOST_MAC))
        messages.append(rtnetlink.new_route(GATEWAY + "/32", index))
        messages.append(rtnetlink.new_route("0.0.0.0/0", index, GATEWAY))
    if any(":" in address for address in link.addresses):
        messages.append(rtnetlink.new_neighbour(index, GATEWAY6, HOST_MAC))
        messages.append(rtnetlink.new_route("::/0", index, GATEWAY6))
    return messages


def _create(link: PodLink, path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        mac = names.pod_mac(link.uid)
        rtnetlink.send([rtnetlink.new_veth(link.name, HOST_MAC, POD_INTERFACE, mac, descriptor, link.mtu)])
    finally:
        os.close(descriptor)


def _host_sysctls(link: PodLink) -> None:
    ipv4 = f"ipv4/conf/{link.name}/"
    write_sysctl(ipv4 + "rp_filter", "1")  # a pod may only send from its own address (RFC 3704, strict)
    write_sysctl(ipv4 + "forwarding", "1")
    # a packet that names its own way has another destination when its policy is asked
    write_sysctl(ipv4 + "accept_source_route", "0")
    write_sysctl(ipv4 + "accept_redirects", "0")
    if any(":" in address for address in link.addresses):
        ipv6 = f"ipv6/conf/{link.name}/"
        for entry in ("accept_ra", "accept_redirects"):
            write_sysctl(ipv6 + entry, "0")
        write_sysctl(ipv6 + "forwarding", "1")
    else:  # a link-local address that nobody gave would only make noise, and be refused as spoofed
        write_sysctl(f"ipv6/conf/{link.name}/disable_ipv6", "1")


def _configure_pod(link: PodLink) -> None:
    write_sysctl("ipv4/ip_unprivileged_port_start", "0")  # containers have no capabilities
    write_sysctl("ipv4/ping_group_range", "0 2147483647")
    if any(":" in address for address in link.addresses):
        write_sysctl(f"ipv6/conf/{POD_INTERFACE}/accept_ra", "0")
    else:
        write_sysctl(f"ipv6/conf/{POD_INTERFACE}/disable_ipv6", "1")
    rtnetlink.send(pod_messages(link, socket.if_nametoindex(POD_INTERFACE)))


def _has_interface(name: str) -> bool:
    try:
        socket.if_nametoindex(name)
    except OSError:  # Python gives no errno here; there is one reason
        return False
    return True


def _host_network(address: str) -> str:
    return f"{address}/{128 if ':' in address else 32}"
