"""What is judged, and what the judgement says: plain data shared by evaluate, explain and tests.

Kept apart from the evaluator so that a caller that only holds flows and verdicts (a flow log, a
test file) need not import it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum

import msgspec

from tsujiban.policy.program import Action, Frozen
from tsujiban.resources.protocols import TCP


class Post(StrEnum):
    """Which enforcement post's view of a flow is asked for."""

    BOTH = "both"  # the verdict: every post must say yes
    KERNEL = "kernel"  # addresses, ports, protocol; an HTTP clause counts as its layer 4 part
    PROXY = "proxy"  # authenticated identity and HTTP as well


class Request(Frozen, frozen=True):
    """The HTTP request of a flow, as the destination's proxy sees it."""

    method: str = "GET"
    path: str = "/"
    host: str = ""
    headers: dict[str, str] = msgspec.field(default_factory=dict)  # names in lower case
    repeated: frozenset[str] = frozenset()  # names of headers that it gives more than once
    claims: dict[str, object] | None = None  # of a token that verified; None is: no token


def request_of(
    method: str | None,
    path: str | None,
    host: str | None,
    headers: Mapping[str, str],
    claims: dict[str, object] | None,
) -> Request | None:
    """The request that a person names parts of; None when nothing of one is named."""
    if not headers and all(one is None for one in (method, path, host, claims)):
        return None
    return Request(
        method=method or "GET",
        path=path or "/",
        host=host or "",
        headers={name.lower(): value for name, value in headers.items()},
        claims=claims,
    )


def out_of_range(
    port: int | None, source_port: int | None, icmp_type: int | None, icmp_code: int | None
) -> Iterator[tuple[str, int, int]]:
    """Numbers that no packet can carry: as what files call them, the number, and the most that it can be."""
    for field, given, most in (
        ("port", port, 65535),
        ("sourcePort", source_port, 65535),
        ("icmpType", icmp_type, 255),
        ("icmpCode", icmp_code, 255),
    ):
        if given is not None and not 0 <= given <= most:
            yield field, given, most


class Flow(Frozen, frozen=True):
    """One flow. Addresses may be `@namespace/name` where an endpoint's address is unknown."""

    source: str
    destination: str
    protocol: int = TCP
    port: int = 0  # destination port
    source_port: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    source_endpoint: str = ""  # endpoint id; "" is: look the address up
    destination_endpoint: str = ""
    peer: str | None = None  # authenticated SPIFFE ID; "" is plaintext; None: the source's own
    sni: str = ""
    http: Request | None = None


class Layer(Frozen, frozen=True):
    """What one layer says."""

    layer: str  # egress, forward-ingress, forward-egress, ingress, authentication, authorization
    endpoint: str  # whose program was asked
    verdict: Action  # ALLOW or DENY
    rule: str  # deciding rule id; "" when no rule was needed (no policy of this kind applies)
    post: Post = Post.BOTH  # which post decided
    logged: tuple[str, ...] = ()  # ids of matching Log and AUDIT rules


class Verdict(Frozen, frozen=True):
    """The judgement of a flow: allowed when every layer allows."""

    verdict: Action  # ALLOW or DENY
    decided_by: tuple[str, ...]  # rules that denied; or, when allowed, the rule of each layer
    layers: tuple[Layer, ...]
