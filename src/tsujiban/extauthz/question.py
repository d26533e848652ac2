"""What a foreign proxy asks, as a flow. Pure.

Whatever is not understood is refused here, before anything is judged: a destination that is no endpoint,
an address that is none, a principal that is no SPIFFE ID of the trust domain or does not own the
address that the connection comes from.

Source: envoy.service.auth.v3, AttributeContext.
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections import Counter
from typing import NamedTuple

from envoy.service.auth.v3 import attribute_context_pb2
from google.protobuf import json_format

from tsujiban.policy.flow import Flow, Request
from tsujiban.policy.world import World
from tsujiban.resources.spiffe import parse

IDENTITY_RULE = "_mesh/identity"
UNKNOWN_RULE = "_mesh/unknown-destination"
TOKENS = "envoy.filters.http.jwt_authn"  # the filter whose metadata holds the claims of a token that verified
PAYLOAD = "jwt_payload"  # the key there: its `payload_in_metadata`
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_HEADER = "x-request-id"


class Refused(ValueError):
    """The question cannot be judged. `rule` is the id that the refusal has, the text says why."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.rule = rule


class Asked(NamedTuple):
    """What a refusal needs of a question, however bad the rest of it is."""

    request_id: str
    source: str
    destination: str
    principal: str
    method: str
    path: str


def asked(attributes: attribute_context_pb2.AttributeContext) -> Asked:
    """The parts of a question that are told in the log. Never fails."""
    http = attributes.request.http
    given = _headers(http).get(_HEADER, "")
    return Asked(
        request_id=given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4()),
        source=_told(attributes.source),
        destination=_told(attributes.destination),
        principal=attributes.source.principal,
        method=http.method,
        path=http.path,
    )


def flow_of(attributes: attribute_context_pb2.AttributeContext, world: World, trust_domain: str) -> Flow:
    """The flow that is asked about. Raises Refused."""
    source, source_port = _address(attributes.source, "source")
    destination, port = _address(attributes.destination, "destination")
    endpoint = world.endpoint(destination)
    if endpoint is None:
        raise Refused(UNKNOWN_RULE, f"no endpoint has the address {destination}")
    principal = attributes.source.principal
    if principal:
        _check_owner(world, principal, source, trust_domain)
    return Flow(
        source=source,
        destination=destination,
        port=port,
        source_port=source_port,
        destination_endpoint=endpoint.id,
        peer=principal,
        sni=attributes.tls_session.sni,
        http=_request(attributes),
    )


def _check_owner(world: World, principal: str, source: str, trust_domain: str) -> None:
    parsed = parse(principal)
    if parsed is None:
        raise Refused(IDENTITY_RULE, f"the principal {principal!r} is no SPIFFE ID")
    if parsed.trust_domain != trust_domain:
        raise Refused(IDENTITY_RULE, f"{principal} is of another trust domain than {trust_domain}")
    owner = world.peer(source)
    if owner is None or owner.identity != principal:
        raise Refused(IDENTITY_RULE, f"{principal} does not own the address {source}")


def _address(peer: attribute_context_pb2.AttributeContext.Peer, end: str) -> tuple[str, int]:
    found = peer.address.socket_address
    try:
        address = ipaddress.ip_address(found.address)
    except ValueError:
        raise Refused(UNKNOWN_RULE, f"the {end} has no IP address") from None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address), found.port_value


def _told(peer: attribute_context_pb2.AttributeContext.Peer) -> str:
    found = peer.address.socket_address
    return f"{found.address}:{found.port_value}" if found.address else ""


def _request(attributes: attribute_context_pb2.AttributeContext) -> Request | None:
    """None for a connection that is not HTTP: then no HTTP clause matches."""
    if not attributes.request.HasField("http") or not attributes.request.http.method:
        return None
    http = attributes.request.http
    headers = {name: value for name, value in _headers(http).items() if not name.startswith(":")}
    names = [one.key.lower() for one in http.header_map.headers]
    return Request(
        method=http.method,
        path=http.path,
        host=http.host,
        headers=headers,
        repeated=frozenset(name for name, count in Counter(names).items() if count > 1),
        claims=_claims(attributes),
    )


def _headers(http: attribute_context_pb2.AttributeContext.HttpRequest) -> dict[str, str]:
    """All headers, of either form in which Envoy sends them; several of one name are joined by commas."""
    found = {name.lower(): value for name, value in http.headers.items()}
    for one in http.header_map.headers:
        value = one.raw_value.decode("latin-1") if one.raw_value else one.value
        name = one.key.lower()
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _claims(attributes: attribute_context_pb2.AttributeContext) -> dict[str, object] | None:
    tokens = attributes.metadata_context.filter_metadata
    if TOKENS not in tokens or PAYLOAD not in tokens[TOKENS].fields:
        return None
    payload = tokens[TOKENS].fields[PAYLOAD]
    if not payload.HasField("struct_value"):
        return None
    claims: dict[str, object] = json_format.MessageToDict(payload.struct_value)
    return claims
