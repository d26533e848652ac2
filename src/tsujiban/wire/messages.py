"""Messages of the node stream: one bidirectional gRPC stream per node, MessagePack encoded.

The controller sends `ToNode`, the node sends `ToController`. After every (re)connection the
node says `Hello`, the controller answers with a full `NodeDelta` and a full `PodsDelta`, then
only differences. The node acknowledges a revision when it is enforced on both posts.

To controllers that stand by, a node has a stream too (`ToStandby`, `FromStandby`): it tells them how it is
and what flowed, serves the sessions that they ask for, and hears which controllers there are. It obeys them
in nothing else."""

from __future__ import annotations

import msgspec

from tsujiban.policy.program import NodeDelta
from tsujiban.wire.sessions import Asks

PROTOCOL_VERSION = 1
CAPACITY = ("cpu", "memory")  # what a node says it has
SYSTEM = ("architecture", "kernelVersion", "operatingSystem", "osImage")  # what a node says of its machine
CONTROLLER_NAME = "controller.tsujiban.internal"  # in the certificate of every controller


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Base of all messages: a tagged union on the wire."""


# ---------------------------------------------------------------- controller to node


class Policy(Message, frozen=True):
    """New revision of what the node enforces."""

    delta: NodeDelta


class PodsDelta(Message, frozen=True):
    """Pods the node must run, by namespace/name; None stops one.

    Each is a Kubernetes object as JSON text in bytes (`msgspec.Raw` would put the JSON into the
    MessagePack unquoted, which no decoder can read)."""

    pods: dict[str, bytes | None]
    config_maps: dict[str, bytes | None] = {}  # by namespace/name: those that its pods are given
    full: bool = False
    secrets: dict[str, dict[str, bytes] | None] = {}  # the same, their values by key

    def __repr__(self) -> str:
        return f"PodsDelta({list(self.pods)}, full={self.full})"


class NodeConfig(Message, frozen=True):
    """What a node needs to know of the cluster: sent first, and when it changes."""

    trust_domain: str
    trust_bundle_pem: str  # roots of the trust domain
    pod_blocks: tuple[str, ...]  # this node's blocks of the IP pools
    pod_cidrs: tuple[str, ...]  # the pools, all nodes
    service_cidrs: tuple[str, ...]
    dns_address: str
    cluster_domain: str
    api_address: str = ""  # service address of the API, port 443; "": pods do not reach it
    api_endpoints: tuple[tuple[str, int], ...] = ()  # (address, port) of the sockets behind it
    bgp_peers: tuple[tuple[str, str], ...] = ()  # (node name, address)
    as_number: int = 64512
    # ports of the node that no policy closes, as (protocol, port, network or ""); None: the defaults
    failsafe_inbound: tuple[tuple[int, int, str], ...] | None = None
    failsafe_outbound: tuple[tuple[int, int, str], ...] | None = None
    reject: bool = False  # answer what is denied


class ControllerAddress(msgspec.Struct, frozen=True, array_like=True):
    """Where a controller serves node streams. `controller` is its identity, of which there is a name in its
    certificate (`wire.controllers`)."""

    controller: str
    address: str
    port: int


class Controllers(Message, frozen=True):
    """All controllers that are known: told at first and when they change, also by those that stand by, to
    nodes whose Hello says that they learn."""

    known: tuple[ControllerAddress, ...]


class Signed(Message, frozen=True):
    """Answer to a `Sign`: the chain, leaf first, in PEM; or why not."""

    request: int
    chain_pem: str = ""
    error: str = ""


class TokenIssued(Message, frozen=True):
    """Answer to a `WantToken`: the token and when it ends (UNIX seconds); or why not."""

    request: int
    token: str = ""
    expires: float = 0.0
    error: str = ""

    def __repr__(self) -> str:
        return f"TokenIssued({self.request}, until {self.expires}, error={self.error!r})"


class OpenSession(Message, frozen=True):
    """Call back and serve a log, a command or a connection of a pod. `session` is a secret name."""

    session: str
    pod: str
    uid: str
    ask: Asks


FromStandby = OpenSession | Controllers
ToNode = Policy | PodsDelta | NodeConfig | Controllers | Signed | TokenIssued | OpenSession

# ---------------------------------------------------------------- node to controller


class Hello(Message, frozen=True):
    """First message of a stream."""

    node: str
    protocol: int
    addresses: tuple[str, ...]
    version: str
    system: dict[str, str] = {}  # fields of Kubernetes' NodeSystemInfo that `SYSTEM` names
    learns: bool = False  # takes `Controllers`
    capacity: dict[str, str] = {}  # of `CAPACITY`, as Kubernetes' quantities


class Enforced(Message, frozen=True):
    """`revision` is in force on both posts of every endpoint of this node."""

    revision: int
    took_us: int
    problems: tuple[str, ...] = ()  # non-empty: not enforced, and why


class PodStatus(Message, frozen=True):
    """What became of a pod. `status` is the Kubernetes PodStatus, JSON text in bytes."""

    pod: str
    uid: str
    status: bytes


class Sign(Message, frozen=True):
    """A CSR (PEM) for the identity of a pod on this node, or, without `pod`, of the node itself."""

    request: int
    pod: str
    csr_pem: str


class WantToken(Message, frozen=True):
    """A token for the service account of a pod on this node, bound to the pod. `audience`: "" is the API; an
    older controller does not read it, so the node looks for whom the token is that it gets."""

    request: int
    pod: str
    uid: str
    seconds: int
    audience: str = ""


class Flow(Message, frozen=True):
    """One flow as one post saw it."""

    time_ns: int
    node: str
    post: str  # "kernel" or "proxy"
    direction: str  # "ingress" or "egress", seen from `endpoint`
    endpoint: str  # namespace/name of the endpoint whose program decided
    verdict: str  # "allow" or "deny"
    rule: str
    source: str  # address
    source_port: int
    destination: str
    destination_port: int
    protocol: int
    peer: str = ""  # authenticated SPIFFE id
    method: str = ""
    path: str = ""
    status: int = 0
    tls: str = ""  # version, when the connection was mutual TLS
    detail: str = ""
    bytes_in: int = 0
    bytes_out: int = 0
    count: int = 1


class Flows(Message, frozen=True):
    """A batch of flow records."""

    flows: tuple[Flow, ...]


class Component(Message, frozen=True):
    """Health of one component, for `tsujiban status`."""

    name: str  # e.g. "bird", "kernel", "sidecar default/web-1"
    healthy: bool
    version: str = ""
    detail: str = ""
    certificate_expires: float = 0.0  # UNIX seconds
    last_sync: float = 0.0
    restarts: int = 0
    rss_bytes: int = 0
    private_bytes: int = 0


class NodeStatus(Message, frozen=True):
    """All components of a node; sent on change, and at least every 10 s."""

    components: tuple[Component, ...]


ToStandby = Hello | NodeStatus | Flows
ToController = Hello | Enforced | PodStatus | Sign | WantToken | Flows | NodeStatus
