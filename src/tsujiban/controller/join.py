"""Lets machines join: a good token buys one node certificate.

Free of any web framework; the API mounts `JoinService.join` at `wire.join.JOIN_PATH` and serves
`JoinService.bundle_pem` at `wire.join.BUNDLE_PATH`, both to clients without a certificate.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import structlog

from tsujiban.identity.ca import CertificateAuthority, SigningRefused
from tsujiban.identity.csr import CsrRefused
from tsujiban.identity.tokens import TokenRefused, TokenStore, check_token
from tsujiban.wire.join import JoinRequest, JoinResponse

log = structlog.get_logger(__name__)


Revoked = Callable[[str], Awaitable[float]]


async def _never(_node: str) -> float:
    return 0.0


class JoinRefused(Exception):
    """The machine may not join. `reason` may be told to the sender: it says nothing of other tokens."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class JoinService:
    """Checks tokens and signs node certificates."""

    def __init__(
        self,
        ca: CertificateAuthority,
        tokens: TokenStore,
        clock: Callable[[], float] = time.time,
        revoked: Revoked = _never,
    ) -> None:
        """`revoked` tells when a node was revoked, UNIX seconds: a token of before, which lay beside the
        certificates that are refused now, is refused as well."""
        self._revoked = revoked
        self._ca = ca
        self._tokens = tokens
        self._clock = clock

    @property
    def bundle_pem(self) -> str:
        """The trust bundle: public."""
        return self._ca.bundle_pem

    async def join(self, request: JoinRequest) -> JoinResponse:
        """Sign for the node that the token is bound to, and consume the token. Raises JoinRefused.

        A bad CSR leaves the token usable; of several requests with one token, one succeeds.
        """
        try:
            record = await check_token(self._tokens, request.token, request.node, self._clock())
            if record.made < await self._revoked(record.node):
                raise TokenRefused(f"token {record.id} was made before node {record.node!r} was revoked")
            chain_pem = self._ca.sign_node(request.csr_pem, record.node)
            if not await self._tokens.consume(record.id):
                raise TokenRefused(f"token {record.id} was used a moment ago")
        except TokenRefused as error:
            log.warning("join refused", node=request.node[:100], reason=str(error))
            raise JoinRefused("the token is not valid for this node; ask for a new one") from error
        except (CsrRefused, SigningRefused) as error:
            log.warning("join refused", node=request.node[:100], reason=str(error))
            raise JoinRefused(str(error)) from error
        log.info("node joined", node=record.node)
        return JoinResponse(
            chain_pem=chain_pem, bundle_pem=self._ca.bundle_pem, trust_domain=self._ca.trust_domain
        )
