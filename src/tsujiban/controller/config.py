"""Configuration of the controller process: one JSON file, written by whoever starts it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tsujiban.controller.reconcile.apiservice import ApiAddress, address_of
from tsujiban.store.config import SqliteConfig, StoreConfig


class ControllerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that differs between two controllers."""

    cluster: str
    state_dir: str
    trust_domain: str = "cluster.local"
    cluster_domain: str = "cluster.local"
    pod_cidr: str = "10.244.0.0/16"
    block_size: int = 26
    service_cidr: str = "10.96.0.0/16"
    dns_address: str = "10.96.0.10"
    as_number: int = 64512
    api_names: tuple[str, ...] = ("127.0.0.1", "localhost")  # in the API server's certificate
    # HOST:PORT of every controller's API as pods reach it (IPv4, one port); none: pods do not reach it
    api_endpoints: tuple[str, ...] = ()
    # ADDRESS:PORT by which nodes reach this controller, if it is not where the socket that is passed listens
    node_endpoints: tuple[str, ...] = ()
    api_sockets: int = 1  # how many of the passed sockets (LISTEN_FDS) are the API's; the last is the nodes'
    svid_lifetime: int = 3600  # seconds
    store: StoreConfig = SqliteConfig()
    lease_seconds: float = 10.0  # how long a leader is waited for; with a store that several may use

    @property
    def api_address(self) -> ApiAddress | None:
        """Where pods find the API. Raises ValueError for `api_endpoints` that cannot be."""
        return address_of(self.service_cidr, self.api_endpoints)

    @property
    def reserved_addresses(self) -> frozenset[str]:
        """Addresses of the service network that no service is given: the names' and the API's."""
        api = self.api_address
        return frozenset({self.dns_address} | ({api.service} if api else set()))

    @property
    def state(self) -> Path:
        """The state directory."""
        return Path(self.state_dir)


def load(path: Path) -> ControllerConfig:
    """Read and check. Raises msgspec.ValidationError, OSError."""
    return msgspec.json.decode(path.read_bytes(), type=ControllerConfig)
