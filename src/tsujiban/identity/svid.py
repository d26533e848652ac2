"""A workload's identity in hand: the one struct that the agent, the proxy and the CLI pass around.

It is apart from the modules that make or check it, so that a room which only serves
identities (SDS) imports no cryptography.
"""

from __future__ import annotations

import msgspec


class Svid(msgspec.Struct, frozen=True, kw_only=True):
    """An X.509-SVID with its private key and the bundle to verify peers with.

    The private key is excluded from `repr`, so that no log line can hold it.
    """

    spiffe_id: str  # spiffe://trust-domain/path
    chain_pem: str  # leaf first, then intermediates; without the root
    key_pem: str  # PKCS #8, unencrypted; held in memory only
    bundle_pem: str  # roots of the trust domain
    not_before: float  # UNIX seconds
    not_after: float  # UNIX seconds

    def __repr__(self) -> str:
        return f"Svid(spiffe_id={self.spiffe_id!r}, not_before={self.not_before}, not_after={self.not_after})"
