"""Where an endpoint's resources are used: in a sidecar of its own, or in the one Envoy of its node.

The same render functions serve both. In a sidecar everything has its plain name and everything
happens in the process's own network namespace. In the node's Envoy the resources of many endpoints
live side by side, so each endpoint's names have a prefix, its listeners are in its own namespace,
and what leaves the proxy says of which namespace and with which certificate it must leave.

An endpoint's namespace and certificate travel as filter state to clusters that all endpoints of the
node share. Envoy pools upstream connections by the *hash* of what it shares with upstream: a type
that has no hash (`envoy.string`) would put two pods' connections into one pool, and a pod would act
with another's rights. `filters.state_value` writes hashable ones only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar

from tsujiban.policy.program import EndpointProgram
from tsujiban.proxy import filters, names
from tsujiban.proxy.matchers import Json, typed, untyped

NAMESPACE_STATE = "envoy.network.upstream_bind_override.network_namespace"
CERTIFICATE_STATE = "envoy.tls.certificate_mappers.on_demand_secret"
PROXY_MARK = 0x7473  # SO_MARK of the node proxy's sockets: a pod's redirect lets it pass
_SOL_SOCKET, _SO_MARK = 1, 36


@dataclass(frozen=True)
class Site:
    """A sidecar. It has its configuration source wait without end: without it, it is closed."""

    fetch_timeout: ClassVar[str] = "0s"

    # where the proxy sees who owns which address (`owners`)
    owners: str = field(default="/owners", kw_only=True)

    def name(self, base: str) -> str:
        """Name of a resource of the endpoint's own."""
        return base

    def ads(self) -> Json:
        """Where the resources that others refer to come from."""
        return {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": self.fetch_timeout}

    def listens(self, endpoint: EndpointProgram, port: int) -> Json:
        """Fields of a listener: where the endpoint's redirected traffic arrives, over IPv4, and over IPv6
        when the endpoint has it."""
        ipv4, *more = [self._socket(host, port) for host in _hosts(endpoint)]
        return {**ipv4, "additional_addresses": more} if more else ipv4

    def _socket(self, host: str, port: int) -> Json:
        return {"address": filters.address(host, port)}

    def leaves(self) -> list[Json]:
        """Network filters in front of one that makes connections out of the proxy."""
        return []

    def binds(self) -> Json:
        """Fields of a cluster whose connections leave the proxy."""
        return {}

    def fetches(self) -> Json:
        """Fields of a cluster that the proxy itself asks, for the endpoint."""
        return {}

    def certificate(self) -> Json:
        """Fields of a client's common TLS context: whose certificate it shows."""
        return self.own_certificate()

    def own_certificate(self) -> Json:
        """Fields of a server's common TLS context."""
        secret = {"name": self.name(names.IDENTITY_SECRET), "sds_config": self.ads()}
        return {"tls_certificate_sds_secret_configs": [secret]}


@dataclass(frozen=True)
class NodeSite(Site):
    """One endpoint's place in its node's Envoy.

    `namespace` is the path of its network namespace, as Envoy sees it; its last part, which no other
    pod ever has, is the prefix. What cannot be had within `fetch_timeout` leaves the endpoint
    closed: Envoy begins to serve when *all* its first listeners have been warmed, and one endpoint must
    not keep the others waiting.
    """

    namespace: str

    fetch_timeout: ClassVar[str] = "5s"

    def name(self, base: str) -> str:
        """See `Site`."""
        return names.prefix(self.namespace) + base

    def _socket(self, host: str, port: int) -> Json:
        # The mark is what lets answers pass the guards of the pod's redirect.
        address = filters.address(host, port)
        address["socket_address"]["network_namespace_filepath"] = self.namespace
        options = [_mark("STATE_PREBIND")]
        if host == "0.0.0.0":  # noqa: S104 - compared
            return {"address": address, "socket_options": options}
        return {"address": address, "socket_options": {"socket_options": options}}

    def leaves(self) -> list[Json]:
        """See `Site`: the endpoint's namespace and certificate."""
        return _leaves(self.namespace, self.name(names.CLIENT_SECRET))

    def binds(self) -> Json:
        """See `Site`. The same for all endpoints: what is theirs comes as filter state."""
        selector = typed(
            "envoy.extensions.local_address_selectors.filter_state_override.v3.Config",
        )
        return {
            "upstream_bind_config": {
                # any address: without one there is nothing whose namespace could be chosen
                "source_address": {"address": "0.0.0.0", "port_value": 0},  # noqa: S104
                "extra_source_addresses": [{"address": {"address": "::", "port_value": 0}}],
                "socket_options": [_mark("STATE_PREBIND")],
                "local_address_selector": {
                    "name": "envoy.upstream.local_address_selector.filter_state_override",
                    "typed_config": selector,
                },
            }
        }

    def fetches(self) -> Json:
        """See `Site`. Over IPv4 alone."""
        source = filters.address("0.0.0.0", 0)["socket_address"]  # noqa: S104 - any of the pod's
        source["network_namespace_filepath"] = self.namespace
        return {
            "upstream_bind_config": {"source_address": source, "socket_options": [_mark("STATE_PREBIND")]}
        }

    def certificate(self) -> Json:
        """See `Site`. A name that no secret has is asked for when a connection brings no name: it
        fails then."""
        mapper = untyped(
            "envoy.extensions.transport_sockets.tls.cert_mappers.filter_state_override.v3.Config",
            default_value=names.NO_SECRET,
        )
        selector = untyped(
            "envoy.extensions.transport_sockets.tls.cert_selectors.on_demand_secret.v3.Config",
            config_source=self.ads(),
            certificate_mapper={
                "name": "envoy.tls.upstream_certificate_mappers.filter_state_override",
                "typed_config": mapper,
            },
        )
        return {
            "custom_tls_certificate_selector": {
                "name": "envoy.tls.certificate_selectors.on_demand_secret",
                "typed_config": selector,
            }
        }


SIDECAR = Site()


def _hosts(endpoint: EndpointProgram) -> list[str]:
    dual = any(":" in address for address in endpoint.addresses)
    return ["0.0.0.0", "::"] if dual else ["0.0.0.0"]  # noqa: S104 - the pod's own


@lru_cache(1024)  # the same in each chain of an endpoint
def _leaves(namespace: str, certificate: str) -> list[Json]:
    return [
        filters.network_state(
            [
                filters.state_value(NAMESPACE_STATE, namespace),
                filters.state_value(CERTIFICATE_STATE, certificate),
            ]
        )
    ]


def _mark(state: str) -> Json:
    return {"level": _SOL_SOCKET, "name": _SO_MARK, "int_value": PROXY_MARK, "state": state}
