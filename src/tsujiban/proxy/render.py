"""One endpoint's share of a node's state, as the resources that its sidecar is given. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tsujiban.policy.program import NodeState
from tsujiban.proxy import clusters, inbound, names, outbound, table
from tsujiban.proxy.authorization import Authorization
from tsujiban.proxy.resource import Resources, collect
from tsujiban.proxy.site import SIDECAR, Site


class Rendered(NamedTuple):
    """What one sidecar is given, and the table of who may come in, for what is open already."""

    resources: Resources
    ingress: table.Table


def render(state: NodeState, endpoint_id: str, pod_cidrs: Iterable[str], site: Site = SIDECAR) -> Rendered:
    """All resources of an endpoint, but its secrets, for where its proxy is.

    Raises KeyError when the state holds no such endpoint: there is nothing to enforce then, and
    the sidecar must stay without configuration, which is to say closed.
    """
    endpoint = state.endpoints[endpoint_id]
    networks = tuple(pod_cidrs)
    incoming = table.ingress(state, endpoint)
    staged = table.staged_ingress(state, endpoint)
    named = Authorization(state, endpoint).headers
    outgoing = table.egress(state, endpoint, networks)
    resources = collect(
        [
            clusters.app(site),
            clusters.passthrough(site),
            clusters.internal(site.name(names.INBOUND_INNER)),
            *inbound.authorization(site, endpoint, incoming, staged, named),
            inbound.listener(site, endpoint, incoming),
            inbound.inner_listener(site, endpoint),
            *outbound.resources(site, state, endpoint, outgoing, networks),
        ]
    )
    return Rendered(resources, incoming)
