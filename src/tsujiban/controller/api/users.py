"""Who asks: a user proven by client certificate or bearer token, or a node by its SPIFFE identity.

Anonymous does not exist. TLS has verified the chain of a certificate before it gets here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import HTTPConnection

from tsujiban.controller.api.errors import unauthorized
from tsujiban.controller.api.peer import PEER_CERTIFICATE
from tsujiban.identity.verify import VerificationError, identity_of_der, subject_of_der

MASTERS = "system:masters"
NODES = "system:nodes"
NODE_PREFIX = "system:node:"


class User(msgspec.Struct, frozen=True):
    """A name and groups, as RBAC takes them."""

    name: str
    groups: tuple[str, ...] = ()

    @property
    def node(self) -> str:
        """The node that the user is; "" for others."""
        return self.name.removeprefix(NODE_PREFIX) if NODES in self.groups else ""


# the user of a bearer token, None when it is not (or no longer) one
TokenReview = Callable[[str], Awaitable[User | None]]


async def no_tokens(_token: str) -> User | None:
    """A review that knows no token."""
    return None


class Authenticator:
    """Finds the user of a request."""

    def __init__(self, trust_domain: str, review: TokenReview = no_tokens) -> None:
        self._trust_domain = trust_domain
        self._review = review

    async def user(self, request: HTTPConnection) -> User:
        """The user.

        Raises:
            ApiError: 401, there is no credential or it proves nothing.
        """
        certificate = request.scope.get("extensions", {}).get(PEER_CERTIFICATE)
        if certificate is not None:
            return self._of_certificate(certificate["der"])
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise unauthorized()
        found = await self._review(token.strip())
        if found is None:
            raise unauthorized("the bearer token is not valid")
        return found

    def _of_certificate(self, der: bytes) -> User:
        try:
            subject = subject_of_der(der)
        except VerificationError as not_a_user:
            return self._node(der, not_a_user)
        if NODES in subject.groups:  # a node is known by its SPIFFE identity and by nothing else
            raise unauthorized(f"group {NODES} cannot be claimed by a user's certificate")
        return User(subject.user, subject.groups)

    def _node(self, der: bytes, otherwise: VerificationError) -> User:
        try:
            path = identity_of_der(der, self._trust_domain).path
        except VerificationError:
            raise unauthorized(f"the client certificate: {otherwise}") from None
        if not path.startswith("/node/"):
            raise unauthorized(f"the client certificate: {otherwise}")
        return User(NODE_PREFIX + path.removeprefix("/node/"), (NODES,))
