"""Answers a node's requests for certificates: only for what the store says runs on that node.

A compromised node can so obtain the identities of its own pods, which it holds anyway, and of
nobody else's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from tsujiban.identity.ca import HOUR, CertificateAuthority, IdentityRevoked, SigningRefused
from tsujiban.identity.csr import CsrRefused
from tsujiban.wire.messages import Sign, Signed

log = structlog.get_logger(__name__)

PodIdentity = Callable[[str, str], str | None]  # (node, namespace/name) -> SPIFFE ID, None: not there
Told = Callable[[str, str], Awaitable[None]]


async def _nobody(_pod: str, _reason: str) -> None:
    return None


class Signer:
    """Signs for nodes. `pod_identity` must look at the store, never at what the node said."""

    def __init__(
        self,
        ca: CertificateAuthority,
        pod_identity: PodIdentity,
        lifetime: float = HOUR,
        revoked: Told = _nobody,
    ) -> None:
        """`revoked(pod, reason)` is told of a pod that gets nothing because its identity is revoked."""
        self._ca = ca
        self._revoked = revoked
        self._pod_identity = pod_identity
        self._lifetime = lifetime

    async def sign(self, node: str, request: Sign) -> Signed:
        """The chain, or the reason why not. `node` is the authenticated sender; every refusal is logged."""
        try:
            chain_pem = self._grant(node, request)
        except (CsrRefused, SigningRefused) as error:
            log.warning("signing refused", node=node, pod=request.pod[:600], reason=str(error))
            if request.pod and isinstance(error, IdentityRevoked):
                await self._revoked(request.pod, str(error))
            return Signed(request=request.request, error=str(error))
        return Signed(request=request.request, chain_pem=chain_pem)

    def _grant(self, node: str, request: Sign) -> str:
        if not request.pod:
            return self._ca.sign_node(request.csr_pem, node)
        identity = self._pod_identity(node, request.pod)
        if identity is None:
            raise SigningRefused(f"no pod {request.pod[:600]!r} runs on node {node!r}")
        return self._ca.sign_workload(request.csr_pem, identity, self._lifetime)
