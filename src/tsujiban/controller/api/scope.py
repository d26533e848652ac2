"""What the server adds to a request's ASGI scope, in `scope["extensions"]`: names and meanings."""

from __future__ import annotations

from starlette.requests import HTTPConnection

PEER_CERTIFICATE = "tsujiban.peer_certificate"  # {"der": bytes}, absent without one
UPGRADE = "tsujiban.upgrade"  # {"take_over": ...}, of requests that ask for one: the bare connection
HAND_OVER = "tsujiban.hand_over"  # {"hand_over": HandOver}: the answer goes on without its request
CLAIM = "tsujiban.claim"  # {"claim": called with the user that a request has proven}


def peer_certificate(request: HTTPConnection) -> bytes | None:
    """The client certificate of a request's connection, DER, as TLS has verified it; None without one."""
    found = request.scope.get("extensions", {}).get(PEER_CERTIFICATE)
    return None if found is None else bytes(found["der"])
