"""Configuration of the agent process: one JSON file, written by whoever starts it."""

from __future__ import annotations

from pathlib import Path

import msgspec


class AgentConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that differs between two agents."""

    cluster: str
    node: str
    address: str  # of the node, on the fabric
    uplink: str = "eth0"
    run_dir: str  # sockets, zone file, pods' directories
    state_dir: str  # node key and certificate
    supervisor_socket: str
    join_file: str  # server, token, digest of the CA; removed once used
    controller_host: str
    controller_port: int
    other_controllers: tuple[tuple[str, int], ...] = ()  # host and port of others, beside those it is told of
    router_id: str = ""  # of BGP; the address when empty

    @property
    def controllers(self) -> tuple[tuple[str, int], ...]:
        """Host and port of the node stream of each controller that is configured."""
        return ((self.controller_host, self.controller_port), *self.other_controllers)

    @property
    def run(self) -> Path:
        """The run directory."""
        return Path(self.run_dir)

    @property
    def state(self) -> Path:
        """The state directory."""
        return Path(self.state_dir)


def load(path: Path) -> AgentConfig:
    """Read and check. Raises msgspec.ValidationError, OSError."""
    return msgspec.json.decode(path.read_bytes(), type=AgentConfig)
