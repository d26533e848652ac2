"""Where a local cluster keeps its things: every path and every fixed address in one place. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tsujiban.local.fabric import MAX_NODES, NETWORK, check_cluster_name

RUN_ROOT = Path("/run/tsujiban")
STATE_ROOT = Path("/var/lib/tsujiban")
CONTROLLER_ADDRESS = str(NETWORK[1])
API_PORT = 6443  # inside the fabric; on the host's loopback it is any free port
NODE_STREAM_PORT = 7443


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths of one local cluster."""

    cluster: str

    def __post_init__(self) -> None:
        check_cluster_name(self.cluster)

    @property
    def run(self) -> Path:
        """Sockets, logs, zone files, pods' directories."""
        return RUN_ROOT / self.cluster

    @property
    def state(self) -> Path:
        """Store, CA, keys."""
        return STATE_ROOT / self.cluster

    @property
    def supervisor_socket(self) -> Path:
        """The supervisor's API."""
        return self.run / "supervisor.sock"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's access to the API."""
        return self.state / "admin" / "kubeconfig"

    @property
    def remembered(self) -> Path:
        """What `up` was told: kept with the state, for the next `up`."""
        return self.state / "up.json"

    @property
    def controller_state(self) -> Path:
        """The controller's store and CA."""
        return self.state / "controller"

    @property
    def controller_config(self) -> Path:
        """The controller's configuration file."""
        return self.run / "controller.json"

    @property
    def record(self) -> Path:
        """What `up` decided (nodes, ports): read by every later command."""
        return self.run / "cluster.json"

    def node_run(self, node: str) -> Path:
        """A node's run directory."""
        return self.run / node

    def node_state(self, node: str) -> Path:
        """A node's state directory."""
        return self.state / node

    def agent_config(self, node: str) -> Path:
        """An agent's configuration file."""
        return self.run / f"{node}.json"

    def join_file(self, node: str) -> Path:
        """A node's join file: holds its one-time token."""
        return self.node_state(node) / "join.json"


def node_names(count: int) -> list[str]:
    """Names of a local cluster's nodes."""
    if not 1 <= count <= MAX_NODES:
        raise ValueError(f"a local cluster has 1 to {MAX_NODES} nodes, not {count}")
    return [f"node-{number}" for number in range(1, count + 1)]
