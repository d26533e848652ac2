"""Addresses of pods: pools are cut into blocks, blocks belong to nodes, addresses to pods.

Pure and deterministic: what is taken follows from what was claimed, so a restarted process
claims what the store's nodes and pods hold and goes on. An address has at most one owner at
any time; one just released is the last of its block to be given again, so that a policy still
on its way to another node does not meet a stranger.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TypeAlias

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

BLOCK_PREFIX = {4: 26, 6: 122}  # Calico's IPPool.spec.blockSize defaults: 64 addresses


class IpamError(ValueError):
    """An address or block that cannot be given or claimed; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One IP pool (projectcalico.org/v3 IPPool). A disabled pool gives no new blocks."""

    cidr: str
    block_size: int = 0  # prefix length of a block; 0 is the family's default
    disabled: bool = False

    @property
    def network(self) -> Network:
        """The pool's network. Raises IpamError."""
        try:
            return ipaddress.ip_network(self.cidr)
        except ValueError as error:
            raise IpamError(f"pool {self.cidr}: {error}") from None

    @property
    def prefix(self) -> int:
        """Prefix length of this pool's blocks. Raises IpamError."""
        network = self.network
        prefix = self.block_size or max(BLOCK_PREFIX[network.version], network.prefixlen)
        if not network.prefixlen <= prefix <= network.max_prefixlen:
            raise IpamError(
                f"pool {self.cidr}: blockSize {prefix} must be {network.prefixlen} to {network.max_prefixlen}"
            )
        return prefix


@dataclass(slots=True)
class _Block:
    network: Network
    node: str
    used: dict[int, str] = field(default_factory=dict)  # offset -> owner
    cursor: int = 0  # where to look first

    def take(self, owner: str) -> Address | None:
        size = self.network.num_addresses
        if len(self.used) == size:
            return None
        offset = self.cursor
        while offset in self.used:
            offset = (offset + 1) % size
        self.hold(offset, owner)
        return self.network[offset]

    def hold(self, offset: int, owner: str) -> None:
        self.used[offset] = owner
        self.cursor = (offset + 1) % self.network.num_addresses


class Ipam:
    """All blocks and addresses of a cluster. Not thread-safe.

    Owners are any strings that name a pod for good: its UID.
    """

    def __init__(self, pools: list[Pool]) -> None:
        self._pools = list(pools)
        networks = [pool.network for pool in pools]
        for number, network in enumerate(networks):
            for other in networks[:number]:
                if network.version == other.version and network.overlaps(other):
                    raise IpamError(f"pools {other} and {network} overlap")
        self._prefixes = {pool.network: pool.prefix for pool in pools}
        self._blocks: dict[Network, _Block] = {}
        self._owned: dict[str, list[Address]] = {}

    # ------------------------------------------------------------ blocks

    def blocks(self, node: str) -> list[str]:
        """The node's blocks, in the order in which it got them."""
        return [str(block.network) for block in self._blocks.values() if block.node == node]

    def assign_block(self, node: str, version: int = 4) -> str:
        """Give the node one more block: the lowest free one of the first pool that has one.

        Raises IpamError when no pool has.
        """
        for pool in self._pools:
            if pool.disabled or pool.network.version != version:
                continue
            for network in pool.network.subnets(new_prefix=pool.prefix):
                if network not in self._blocks:
                    self._blocks[network] = _Block(network, node)
                    return str(network)
        raise IpamError(f"no pool has a free IPv{version} block for node {node}: add an IPPool")

    def claim_block(self, node: str, block: str) -> None:
        """Record a block that the store says is the node's. Raises IpamError."""
        try:
            network = ipaddress.ip_network(block)
        except ValueError as error:
            raise IpamError(f"block {block}: {error}") from None
        pool = self._pool_of(network.network_address)
        if pool is None or network.prefixlen != self._prefixes[pool]:
            raise IpamError(f"block {block} of node {node} is not a block of any pool")
        holder = self._blocks.setdefault(network, _Block(network, node)).node
        if holder != node:
            raise IpamError(f"block {block} cannot be node {node}'s: it is node {holder}'s")

    def release_node(self, node: str) -> None:
        """Free the node's blocks and all addresses in them."""
        for network in [network for network, block in self._blocks.items() if block.node == node]:
            for owner in set(self._blocks[network].used.values()):
                self.release(owner)
            del self._blocks[network]

    # ------------------------------------------------------------ addresses

    def allocate(self, owner: str, node: str, version: int = 4) -> str:
        """An address for `owner` on `node`; the one it has already, if it has one of that family.

        Takes another block when the node's are full. Raises IpamError when the pools are.
        """
        for address in self._owned.get(owner, ()):
            if address.version == version:
                return str(address)
        for block in self._blocks.values():
            if block.node == node and block.network.version == version:
                address_or_none = block.take(owner)
                if address_or_none is not None:
                    return self._own(owner, address_or_none)
        fresh = self._blocks[ipaddress.ip_network(self.assign_block(node, version))]
        taken = fresh.take(owner)
        if taken is None:
            raise IpamError(f"block {fresh.network} is full")
        return self._own(owner, taken)

    def claim(self, owner: str, address: str) -> None:
        """Record an address that the store says is `owner`'s. Raises IpamError when it is somebody
        else's, or in no block."""
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError as error:
            raise IpamError(str(error)) from None
        block, offset = self._locate(parsed)
        holder = block.used.get(offset, owner)
        if holder != owner:
            raise IpamError(f"{address} cannot be {owner}'s: it is {holder}'s")
        if offset not in block.used:
            block.hold(offset, owner)
            self._own(owner, parsed)

    def release(self, owner: str) -> None:
        """Free all addresses of `owner`; nothing happens without any."""
        for address in self._owned.pop(owner, ()):
            block, offset = self._locate(address)
            del block.used[offset]

    def owner(self, address: str) -> str | None:
        """Who has `address`; None when nobody has."""
        try:
            block, offset = self._locate(ipaddress.ip_address(address))
        except ValueError:
            return None
        return block.used.get(offset)

    def addresses(self, owner: str) -> list[str]:
        """The addresses of `owner`."""
        return [str(address) for address in self._owned.get(owner, ())]

    def _own(self, owner: str, address: Address) -> str:
        self._owned.setdefault(owner, []).append(address)
        return str(address)

    def _pool_of(self, address: Address) -> Network | None:
        for network in self._prefixes:
            if address in network:
                return network
        return None

    def _locate(self, address: Address) -> tuple[_Block, int]:
        pool = self._pool_of(address)
        block = None
        if pool is not None:
            network = ipaddress.ip_network(f"{address}/{self._prefixes[pool]}", strict=False)
            block = self._blocks.get(network)
        if block is None:
            raise IpamError(f"{address} is in no node's block")
        return block, int(address) - int(block.network.network_address)
