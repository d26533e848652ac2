"""BIRD 2: how a node tells the others, by BGP, which pods are behind it.

Pure: `render` writes bird.conf. A node announces its own blocks (as aggregates, which are also
blackhole routes in its kernel, so that a packet to a pod that is gone does not travel in
circles) and the addresses of own pods that lie outside of its blocks; nothing else, whatever
the kernel's table holds. It accepts nothing that lies outside of the pools, and nothing inside
its own blocks. Routes stay in the kernel when BIRD is killed (`persist`, graceful restart).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from tsujiban.supervise.spec import ProcessSpec

AS_NUMBER = 64512  # RFC 6996, private use
POD_LINKS = "tsj*"  # names of the host sides of pods' links (names.link_name)


class BirdError(ValueError):
    """A configuration that cannot be written; the text says why."""


@dataclass(frozen=True, slots=True)
class BgpPeer:
    """One neighbour."""

    name: str  # of the node
    address: str
    as_number: int = AS_NUMBER


@dataclass(frozen=True, slots=True, kw_only=True)
class BgpNode:
    """Everything bird.conf is made from."""

    router_id: str  # an IPv4 address
    addresses: tuple[str, ...]  # own addresses towards peers, one per family at most
    blocks: tuple[str, ...]  # own blocks of the pools
    pools: tuple[str, ...]  # the pools, all nodes
    peers: tuple[BgpPeer, ...] = ()
    as_number: int = AS_NUMBER
    bfd: bool = False


def render(node: BgpNode) -> str:
    """bird.conf. Raises BirdError."""
    try:
        router_id = ipaddress.IPv4Address(node.router_id)
        blocks = [ipaddress.ip_network(entry) for entry in node.blocks]
        pools = [ipaddress.ip_network(entry) for entry in node.pools]
        addresses: dict[int, str] = {ipaddress.ip_address(entry).version: entry for entry in node.addresses}
    except ValueError as error:
        raise BirdError(f"bird.conf: {error}") from None
    parts = [
        "# written by tsujiban; changes are lost",
        "log stderr { info, remote, warning, error, auth, fatal, bug };",
        f"router id {router_id};",
        "graceful restart wait 10;",
        "protocol device { scan time 10; }",
    ]
    if node.bfd:
        parts.append('protocol bfd { interface "*" { interval 100 ms; multiplier 3; }; }')
    for version in (4, 6):
        own = [str(block) for block in blocks if block.version == version]
        own_pools = [str(pool) for pool in pools if pool.version == version]
        parts.append(_family(version, own, own_pools))
    names: set[str] = set()
    for peer in node.peers:
        parts.append(_peer(node, peer, addresses, names))
    return "\n".join(parts) + "\n"


def _prefixes(networks: Iterable[str], length: int) -> str:
    """A prefix set: each network and everything inside it."""
    return (
        "[ " + ", ".join(f"{network}{{{network.rpartition('/')[2]},{length}}}" for network in networks) + " ]"
    )


def _family(version: int, blocks: list[str], pools: list[str]) -> str:
    length = 32 if version == 4 else 128
    in_pools = f"net ~ {_prefixes(pools, length)}" if pools else "false"
    in_blocks = f"net ~ {_prefixes(blocks, length)}" if blocks else "false"
    routes = "".join(f"  route {block} blackhole;\n" for block in blocks)
    return f"""
filter announce{version} {{  # what is announced
  if source = RTS_STATIC then accept;
  if source = RTS_INHERIT && ifname ~ "{POD_LINKS}" && {in_pools} && !({in_blocks}) then accept;
  reject;
}}
filter believe{version} {{  # what is believed
  if {in_blocks} then reject;
  if {in_pools} then accept;
  reject;
}}
filter into_kernel{version} {{  # what goes into the kernel
  if source = RTS_DEVICE || source = RTS_INHERIT then reject;
  accept;
}}
protocol static blocks{version} {{
  ipv{version};
{routes}}}
protocol kernel kernel{version} {{
  learn;
  persist;
  scan time 10;
  graceful restart;
  ipv{version} {{ import all; export filter into_kernel{version}; }};
}}"""


def _peer(node: BgpNode, peer: BgpPeer, addresses: dict[int, str], names: set[str]) -> str:
    try:
        version = ipaddress.ip_address(peer.address).version
    except ValueError as error:
        raise BirdError(f"bird.conf: peer {peer.name}: {error}") from None
    if version not in addresses:
        raise BirdError(f"bird.conf: peer {peer.name}: this node has no IPv{version} address")
    name = protocol_name(peer.name, version)
    if name in names:
        raise BirdError(f"bird.conf: two peers are named {peer.name!r}")
    names.add(name)
    bfd = "\n  bfd on;" if node.bfd else ""
    return f"""
protocol bgp {name} {{
  local {addresses[version]} as {node.as_number};
  neighbor {peer.address} as {peer.as_number};
  direct;
  connect delay time 1;
  connect retry time 2;
  error wait time 1, 4;
  error forget time 10;
  hold time 90;
  graceful restart on;{bfd}
  ipv{version} {{ import filter believe{version}; export filter announce{version}; next hop self; }};
}}"""


def protocol_name(node: str, version: int = 4) -> str:
    """BIRD's name of the session with a node: letters, digits, underscores. Injective for
    Kubernetes names."""
    return f"node{version}_" + "".join(c if c.isalnum() else f"_{ord(c):x}_" for c in node)


def process(name: str, config: str, control: str, netns: str) -> ProcessSpec:
    """BIRD as a supervised process; `-R` recovers gracefully, also after a kill."""
    return ProcessSpec(
        name=name,
        argv=("bird", "-f", "-R", "-c", config, "-s", control),
        netns=netns,
        bounding=("net_admin", "net_bind_service", "net_raw"),
        backoff_max=2.0,
        order=3,
    )
