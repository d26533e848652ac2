"""DNS of this node: the agent writes the zone file, a process of its own answers from it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from tsujiban.agent.config import AgentConfig
from tsujiban.network import zone
from tsujiban.policy.program import NodeState
from tsujiban.resources.names import node_namespace
from tsujiban.supervise.netns import namespace_path
from tsujiban.supervise.spec import ProcessSpec
from tsujiban.wire.messages import NodeConfig


def process(config: AgentConfig, network: NodeConfig) -> ProcessSpec:
    """The node's DNS server; makes the directory that it watches."""
    (config.run / "dns").mkdir(mode=0o755, exist_ok=True)
    return ProcessSpec(
        name=f"{config.node}/dns",
        argv=(
            sys.executable,
            "-I",
            "-m",
            "tsujiban.network.dnsserver",
            "--zone",
            str(config.run / "dns" / "zone.json"),
            "--listen",
            network.dns_address,
        ),
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        netns=namespace_path(node_namespace(config.cluster, config.node)),
        order=20,
    )


class NamesSide:
    """Keeps the zone file true."""

    name = "dns"

    def __init__(self, config: AgentConfig, network: NodeConfig) -> None:
        self._path = config.run / "dns" / "zone.json"
        self._network = network
        self._written: bytes = b""

    async def enforce(self, state: NodeState, endpoints: set[str] | None) -> Sequence[str]:
        """Write the zone, if it has changed."""
        networks = (*self._network.pod_cidrs, *self._network.service_cidrs)
        built = zone.build(state.services, state.peers, self._network.cluster_domain, networks)
        try:
            await asyncio.to_thread(zone.write, self._path, built)
        except OSError as error:
            return (str(error),)
        return ()
