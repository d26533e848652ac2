"""The "data centre" of a local cluster: a bridge for a wire, a network namespace for each node.

Nothing of it touches the machine's own network: the wire, the nodes and the pods are namespaces,
and removing those removes everything in them. Creating and destroying may be repeated.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from dataclasses import dataclass

from tsujiban.network import namespaces, rtnetlink
from tsujiban.network.links import LOOPBACK, MTU
from tsujiban.resources import names
from tsujiban.supervise.netns import call_in, namespace_path

BRIDGE = "fabric0"
UPLINK = "eth0"
NETWORK = ipaddress.ip_network("172.31.255.0/24")
NETWORK6 = ipaddress.ip_network("fd31:255::/64")
FIRST_NODE = 10  # node 1 is .11
MAX_NODES = 200
DNS_ADDRESS = "10.96.0.10"
CLUSTER_NAME = re.compile(r"[a-z][a-z0-9]{0,19}")


class FabricError(ValueError):
    """A name or number that cannot be used; the text says what can."""


def check_cluster_name(cluster: str) -> None:
    """Refuse a name that is not safe in names of namespaces and directories. Raises FabricError.

    No hyphen: the namespaces of cluster `a` start with `tsj-a-`, and must not be those of `a-b`.
    """
    if not CLUSTER_NAME.fullmatch(cluster):
        raise FabricError(
            f"cluster name {cluster!r}: use 1 to 20 lower-case letters and digits, a letter first"
        )


@dataclass(frozen=True, slots=True)
class NodeNetwork:
    """Where a node is on the fabric."""

    node: str
    namespace: str
    address: str
    address6: str


class Fabric:
    """The fabric of one cluster. All methods block for some milliseconds and raise OSError or
    NamespaceError when the kernel refuses."""

    def __init__(self, cluster: str) -> None:
        check_cluster_name(cluster)
        self.cluster = cluster
        self.namespace = names.fabric_namespace(cluster)
        self.controller_address = str(NETWORK[1])

    def create(self) -> None:
        """Make the fabric's namespace and the bridge with the controller's address."""
        namespaces.create(self.namespace)
        call_in(namespace_path(self.namespace), _make_bridge)

    def node(self, name: str, number: int) -> NodeNetwork:
        """Where node number `number` (from 1) is, or will be. Raises FabricError."""
        if not 1 <= number <= MAX_NODES:
            raise FabricError(f"node number {number} must be from 1 to {MAX_NODES}")
        host = FIRST_NODE + number
        # in IPv6 the same digits are written: ...::11
        return NodeNetwork(
            name,
            names.node_namespace(self.cluster, name),
            str(NETWORK[host]),
            str(NETWORK6[int(str(host), 16)]),
        )

    def add_node(self, name: str, number: int, dns_address: str = DNS_ADDRESS) -> NodeNetwork:
        """Make a node's namespace with its uplink on the bridge, forwarding, and the DNS address."""
        node = self.node(name, number)
        namespaces.create(node.namespace)
        path = namespace_path(node.namespace)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            call_in(namespace_path(self.namespace), lambda: _plug(number, descriptor))
        finally:
            os.close(descriptor)
        call_in(path, lambda: _configure_node(node, dns_address))
        return node

    def remove_node(self, name: str) -> None:
        """Remove a node's namespace and uplink; nothing happens without one."""
        namespaces.delete(names.node_namespace(self.cluster, name))

    def cut(self, number: int, up: bool = False) -> None:
        """Unplug node `number` from the bridge (its carrier goes), or plug it in again."""
        call_in(namespace_path(self.namespace), lambda: _set_port(number, up))

    def destroy(self) -> None:
        """Remove every namespace of the cluster; processes in them must have ended."""
        for name in namespaces.names(names.cluster_prefix(self.cluster)):
            namespaces.delete(name)


def _port(number: int) -> str:
    return f"port{number}"


def _set_port(number: int, up: bool) -> None:
    rtnetlink.send([rtnetlink.set_up(socket.if_nametoindex(_port(number)), up)])


def _make_bridge() -> None:
    namespaces.write_sysctl("ipv6/conf/default/accept_dad", "0")
    rtnetlink.send([rtnetlink.new_bridge(BRIDGE), rtnetlink.set_up(LOOPBACK)])
    index = socket.if_nametoindex(BRIDGE)
    addresses = (f"{NETWORK[1]}/{NETWORK.prefixlen}", f"{NETWORK6[1]}/{NETWORK6.prefixlen}")
    rtnetlink.send([rtnetlink.new_address(index, address) for address in addresses])


def _plug(number: int, namespace: int) -> None:
    bridge = socket.if_nametoindex(BRIDGE)
    try:
        rtnetlink.send([rtnetlink.new_veth(_port(number), "", UPLINK, "", namespace, MTU, bridge)])
    except FileExistsError:  # made before: the node's end is where it was, or the port would be gone
        _set_port(number, True)


def _configure_node(node: NodeNetwork, dns_address: str) -> None:
    namespaces.write_sysctl("ipv4/ip_forward", "1")
    namespaces.write_sysctl("ipv6/conf/all/forwarding", "1")
    namespaces.write_sysctl("ipv4/conf/all/rp_filter", "0")  # the stricter of `all` and a link's own counts
    index = socket.if_nametoindex(UPLINK)
    rtnetlink.send(
        [
            rtnetlink.set_up(LOOPBACK),
            rtnetlink.set_up(index),
            rtnetlink.new_address(index, f"{node.address}/{NETWORK.prefixlen}"),
            rtnetlink.new_address(index, f"{node.address6}/{NETWORK6.prefixlen}"),
            rtnetlink.new_address(LOOPBACK, f"{dns_address}/32"),
        ]
    )
