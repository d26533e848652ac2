"""Names that the rendered resources, the ADS server and the access log must agree on."""

from __future__ import annotations

import ipaddress

OUTBOUND_PORT = 15001
INBOUND_PORT = 15006

AGENT_CLUSTER = "agent"  # static: the node agent's Unix socket (ADS and access log)

OUTBOUND = "outbound"  # listener: what the application sends
OUTBOUND_INNER = "outbound-inner"  # internal listener: after a service's endpoint was chosen
INBOUND = "inbound"  # listener: what others send
INBOUND_INNER = "inbound-inner"  # internal listener: what came out of a tunnel

APP = "app"  # cluster: the application, at the original destination
SERVICE_CLUSTER = "service|"  # how the names of services' clusters begin
SERVICES = "services"  # the filter chain that leads to them
PASSTHROUGH = "passthrough"  # cluster: the original destination, in the clear
MESH = "mesh"  # how the names of tunnels' clusters begin; the filter chain that leads to them

RBAC_CONNECT = "rbac-connect"  # ECDS: may this peer open a tunnel to this port
RBAC_HTTP = "rbac-http"  # ECDS: may this request pass
RBAC_CUSTOM = "rbac-custom"  # ECDS: which requests somebody else is asked about
EXT_AUTHZ = "ext-authz"  # ECDS: whom, and how
OWNERS = "owners"  # ECDS: whether a client owns its address; its mark is metadata of the same name
HEADERS = "headers"  # ECDS: which headers must be given once; its mark is metadata of the same name
JWT = "jwt"  # ECDS: which tokens are verified
REVOCATIONS = "revocations"  # ECDS: parts connections that were made before a list from those after it
RBAC_EGRESS = "rbac-egress"  # ECDS: names the rule that let a connection out
ROUTE = "route"  # ECDS: the name of the cluster that a tunnel takes
SERVICE_ROUTE = "service-route"  # ECDS: the same, of a connection to a service's address

IDENTITY_SECRET = "identity"  # noqa: S105 - the name of a secret, not one
CLIENT_SECRET = "identity-out"  # noqa: S105 - the same, for the node proxy's connections out
NO_SECRET = "none"  # noqa: S105 - of no secret
TRUST_SECRET = "trust"  # noqa: S105

NETWORK_RBAC_FILTER = "envoy.filters.network.rbac"
RBAC_FILTER = "envoy.filters.http.rbac"  # under this name are their dynamic metadata
CUSTOM_PREFIX = "custom_"
CUSTOM_MARK = CUSTOM_PREFIX + "shadow_effective_policy_id"  # the rule that has somebody asked

JWT_FILTER = "envoy.filters.http.jwt_authn"  # under this name are its dynamic metadata
UNREADABLE = "unreadable"  # the header that can be read in two ways; "" is none
OWNED, YES = "owned", "yes"  # the mark that it does
CLAIMS = "claims"  # the payload of a verified token
FAILED_TOKEN = "failed "  # noqa: S105 - why a rule did not verify a token, by its index and id

ALPN = "tsujiban/1"  # what a tunnel says of itself in its TLS handshake

_POD = "pod:"  # with it begin the names of what belongs to one endpoint of a node's Envoy

# of tunnels' and services' clusters: the proxy is sent them all beforehand, or has to ask for each
GENERATIONS = LISTED, ASKED = "listed", "asked"

# filter state, shared from a tunnel's connection with the connection inside it
PEER_STATE = "tsujiban.peer"  # authenticated SPIFFE ID, or PLAINTEXT
DECISION_STATE = "tsujiban.decision"  # class and rule ids, as `decision_name` writes them
STAGED_STATE = "tsujiban.staged"  # the same, if staged policies were enforced; "-" without any
SERIAL_STATE = "tsujiban.serial"  # of the certificate that the peer has shown, hex
TLS_STATE = "tsujiban.tls"
REVOCATIONS_STATE = "tsujiban.revocations"  # which list a connection was made under
TUNNEL_STATE = "tsujiban.tunnel"  # of an outgoing connection: the cluster that it takes
PLAINTEXT = "plaintext"

TUNNEL_LOG = "tunnel-open"  # access log: tunnels of the endpoint's own that are open
REQUEST_LOG = "request-open"  # access log: requests of clients that go on
UNTOLD_LOG = "untold"  # access log: outgoing connections for which the agent did not tell a cluster in time
WANTED_LOG = "tunnel-wanted"  # access log: outgoing connections that begin, and which tunnel they take
CERTIFICATE_TAG = "certificate"  # in the access log: what a tunnel's server has shown

# rule ids of refusals that no policy wrote
IDENTITY_RULE = "_mesh/identity"  # the peer cannot prove to be who owns its address
REVOKED_RULE = "_mesh/revoked"  # the peer's certificate is on the mesh's list
ENDING_RULE = "_mesh/ending"  # the pod ends, and takes no new connections
UNKNOWN_RULE = "_mesh/unknown-destination"  # an address of the pods' networks that nobody owns
# what a proxy says of everybody that it has not been told of; the agent knows why (`unlisted`)
UNLISTED_RULE = "_mesh/unlisted"


def prefix(namespace: str) -> str:
    """What the names of one endpoint's resources start with in its node's Envoy; `namespace` is the
    path of its network namespace."""
    return f"{_POD}{namespace.rpartition('/')[2]}|"


def owner(name: str) -> str:
    """The prefix of a resource's name; "" when it belongs to no endpoint, or to the only one."""
    head, separator, _ = name.partition("|")
    return head + separator if separator and head.startswith(_POD) else ""


def mesh_cluster(generation: str, address: str) -> str:
    """Cluster of tunnels to an address. `generation` is `LISTED`, or what the proxy is to ask with."""
    return f"{MESH}|{generation}|{address}"


def mesh_address(name: str) -> str:
    """The address of a tunnel's cluster; "" for what is no such name."""
    head, _, rest = name.partition("|")
    generation, _, address = rest.partition("|")
    if head != MESH or generation not in GENERATIONS or "%" in address:
        return ""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return ""


def jwks_cluster(uri: str) -> str:
    """Cluster that the keys at `uri` are fetched from."""
    return f"jwks|{uri}"


def authorizer_cluster(service: str, port: int) -> str:
    """Cluster of the ready endpoints of a service that is asked by the proxy itself."""
    return f"authorizer|{service}|{port}"


def service_cluster(generation: str, where: str) -> str:
    """Cluster of the ready endpoints of a service's port; `where` it is, as `end` writes it."""
    return f"{SERVICE_CLUSTER}{generation}|{where}"


def asked_service(name: str) -> tuple[str, str]:
    """Of a service's cluster that a proxy asks for: the prefix of the endpoint that it belongs to, and where
    the service is; "" for what is no such name."""
    prefix = owner(name)
    begin, where = f"{SERVICE_CLUSTER}{ASKED}|", name.removeprefix(prefix)
    return (prefix, where.removeprefix(begin)) if where.startswith(begin) else ("", "")


def end(address: str, port: int) -> str:
    """An address and a port, as Envoy writes them."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
