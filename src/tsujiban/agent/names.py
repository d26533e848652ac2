"""DNS of this node: the agent writes the zone file, a process of its own answers from it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from tsujiban.agent.config import AgentConfig
from tsujiban.network import dnsserver, zone
from tsujiban.policy.program import NodeState
from tsujiban.resources.names import node_namespace
from tsujiban.supervise.netns import namespace_path
from tsujiban.supervise.spec import ProcessSpec
from tsujiban.wire.messages import NodeConfig


def process(config: AgentConfig, network: NodeConfig) -> ProcessSpec:
    """The node's DNS server; makes the directory that it watches."""
    zone_file(config).parent.mkdir(mode=0o755, exist_ok=True)
    return dnsserver.process(
        f"{config.node}/dns",
        str(zone_file(config)),
        network.dns_address,
        namespace_path(node_namespace(config.cluster, config.node)),
    )


def zone_file(config: AgentConfig) -> Path:
    """The node's zone file, in a directory of its own: the DNS server may look into that."""
    return config.run / "dns" / "zone.json"


class NamesSide:
    """Keeps the zone file true."""

    name = "dns"

    def __init__(self, config: AgentConfig, network: NodeConfig) -> None:
        self._path = zone_file(config)
        self._network = network
        self._zones = zone.Builder()

    def configure(self, network: NodeConfig) -> None:
        """The cluster's networks, when they change; they count from the next zone on."""
        self._network = network

    async def enforce(self, state: NodeState, endpoints: set[str] | None) -> Sequence[str]:
        """Write the zone, if it has changed."""
        networks = (*self._network.pod_cidrs, *self._network.service_cidrs)
        built = self._zones.build(state.services, state.peers, self._network.cluster_domain, networks)
        try:
            await asyncio.to_thread(zone.write, self._path, built)
        except OSError as error:
            return (str(error),)
        return ()
