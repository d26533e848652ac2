"""BGP of this node: writes bird.conf when the cluster's networks change, and has BIRD read it."""

from __future__ import annotations

from pathlib import Path

import structlog

from tsujiban.agent.config import AgentConfig
from tsujiban.network import bird, birdc
from tsujiban.resources.names import node_namespace
from tsujiban.supervise.client import SupervisorClient
from tsujiban.supervise.netns import namespace_path
from tsujiban.wire.messages import NodeConfig

log = structlog.get_logger(__name__)


class Routing:
    """One node's BIRD."""

    def __init__(self, config: AgentConfig, supervisor: SupervisorClient) -> None:
        self._config = config
        self._supervisor = supervisor
        self._written = ""

    @property
    def control(self) -> Path:
        """BIRD's control socket."""
        return self._config.run / "bird.ctl"

    @property
    def name(self) -> str:
        """The supervisor's name of this BIRD."""
        return f"{self._config.node}/bird"

    async def configure(self, network: NodeConfig) -> None:
        """Start BIRD, or have it take a changed configuration. Raises BirdError, OSError, Refused."""
        text = bird.render(
            bird.BgpNode(
                router_id=self._config.router_id or self._config.address,
                addresses=(self._config.address,),
                blocks=network.pod_blocks,
                pools=network.pod_cidrs,
                peers=tuple(
                    bird.BgpPeer(name, address, network.as_number) for name, address in network.bgp_peers
                ),
                as_number=network.as_number,
            )
        )
        file = self._config.run / "bird.conf"
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
        netns = namespace_path(node_namespace(self._config.cluster, self._config.node))
        await self._supervisor.start(bird.process(self.name, str(file), str(self.control), netns))
        if self._written and self._written != text:
            try:
                await birdc.configure(self.control)
            except birdc.BirdcError as error:
                log.warning("BIRD did not take its configuration; it will when it starts", reason=str(error))
        self._written = text

    async def sessions(self) -> list[birdc.ProtocolState]:
        """State of the BGP sessions. Raises BirdcError."""
        return [state for state in await birdc.show_protocols(self.control) if state.kind == "BGP"]
