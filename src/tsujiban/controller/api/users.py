"""Who asks: a user proven by client certificate or bearer token, or a node by its SPIFFE identity.

Anonymous does not exist. TLS has verified the chain of a certificate before it gets here. All
refusals read the same to the client; why is in the controller's log.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import lru_cache

import msgspec
from starlette.requests import HTTPConnection

from tsujiban.controller.api.errors import ApiError, unauthorized
from tsujiban.controller.api.scope import peer_certificate
from tsujiban.controller.revocations import Revocations
from tsujiban.identity.verify import VerificationError, identity_of_der, subject_of_der

MASTERS = "system:masters"
NODES = "system:nodes"
NODE_PREFIX = "system:node:"
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
ANONYMOUS = "system:anonymous"
ACCOUNT_PREFIX = "system:serviceaccount:"
ACCOUNTS = "system:serviceaccounts"

MAX_TOKEN_BYTES = 8 * 1024
KNOWN_CERTIFICATES = 1024  # of which the user is remembered; a connection brings the same in every request


class User(msgspec.Struct, frozen=True):
    """A name and groups, as RBAC takes them. `extra` is what else is known (the pod of a token)."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def node(self) -> str:
        """The node that the user is; "" for others."""
        if NODES not in self.groups or not self.name.startswith(NODE_PREFIX):
            return ""
        return self.name.removeprefix(NODE_PREFIX)


class TokenRefused(Exception):
    """The bearer token proves nothing; the text, for our log, says why and holds no part of the token."""


# the user of a bearer token; raises TokenRefused, or gives None, when it is not (or no longer) one
TokenReview = Callable[[str], Awaitable[User | None]]


async def no_tokens(_token: str) -> User | None:
    """A review that knows no token."""
    return None


class NotAuthenticated(ApiError):
    """401. `why` is for our own log and the audit."""

    def __init__(self, why: str) -> None:
        refusal = unauthorized()
        super().__init__(refusal.code, refusal.reason, refusal.message)
        self.why = why


def authenticated(user: User) -> User:
    """The user as a member of system:authenticated."""
    if AUTHENTICATED in user.groups:
        return user
    return msgspec.structs.replace(user, groups=(*user.groups, AUTHENTICATED))


class Authenticator:
    """Finds the user of a request."""

    def __init__(
        self, trust_domain: str, review: TokenReview = no_tokens, revocations: Revocations | None = None
    ) -> None:
        self._trust_domain = trust_domain
        self._revocations = revocations
        self._review = review
        self._user_of = lru_cache(KNOWN_CERTIFICATES)(self._of_certificate)
        if revocations is not None:
            revocations.on_change.append(self._user_of.cache_clear)

    async def user(self, request: HTTPConnection) -> User:
        """The user.

        Raises:
            NotAuthenticated: there is no credential or it proves nothing.
        """
        certificate = peer_certificate(request)
        if certificate is not None:
            return self._user_of(certificate)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise NotAuthenticated("neither a client certificate nor a bearer token")
        if len(token) > MAX_TOKEN_BYTES:
            raise NotAuthenticated(f"the bearer token is longer than {MAX_TOKEN_BYTES} bytes")
        try:
            found = await self._review(token)
        except TokenRefused as error:
            raise NotAuthenticated(f"the bearer token: {error}") from None
        if found is None:
            raise NotAuthenticated("the bearer token is not valid")
        return authenticated(found)

    def _of_certificate(self, der: bytes) -> User:
        """Says nothing about time: that the certificate is good now, TLS has seen."""
        if self._revocations is not None and self._revocations.listed is None:
            raise ApiError(503, "ServiceUnavailable", "the list of revoked certificates is not loaded yet")
        reason = self._revocations.of_der(der) if self._revocations is not None else ""
        if reason:
            raise NotAuthenticated(f"the client certificate: {reason}")
        try:
            subject = subject_of_der(der)
        except VerificationError as not_a_user:
            return self._node(der, not_a_user)
        # a node is known by its SPIFFE identity, a service account by its token, and by nothing else
        if subject.user.startswith((NODE_PREFIX, ACCOUNT_PREFIX)) or subject.user == ANONYMOUS:
            raise NotAuthenticated(f"user {subject.user[:200]!a} cannot be claimed by a user's certificate")
        for group in subject.groups:
            if group in (NODES, ACCOUNTS, UNAUTHENTICATED) or group.startswith(ACCOUNTS + ":"):
                raise NotAuthenticated(f"group {group[:200]!a} cannot be claimed by a user's certificate")
        return authenticated(User(subject.user, subject.groups))

    def _node(self, der: bytes, otherwise: VerificationError) -> User:
        try:
            path = identity_of_der(der, self._trust_domain).path
        except VerificationError:
            raise NotAuthenticated(f"the client certificate: {otherwise}") from None
        if not path.startswith("/node/"):
            raise NotAuthenticated(f"the client certificate: {otherwise}")
        return authenticated(User(NODE_PREFIX + path.removeprefix("/node/"), (NODES,)))
