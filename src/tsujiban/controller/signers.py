"""What our signers grant to a CertificateSigningRequest that somebody has approved.

Approval says that it may be; what may be is said here, strictly, so that a careless approval gives
away a user and not the cluster. Source: Kubernetes documentation, "Kubernetes signers".
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

import structlog

from tsujiban.controller.reconcile.csrs import SigningImpossible
from tsujiban.identity.ca import DAY, HOUR, MAX_USER_LIFETIME, CertificateAuthority, SigningRefused
from tsujiban.identity.csr import CsrRefused
from tsujiban.resources.names import workload_identity

log = structlog.get_logger(__name__)

CLIENT = "kubernetes.io/kube-apiserver-client"
WORKLOAD = "tsujiban.io/workload"
USER_LIFETIME = 90 * DAY  # when the request does not say
_USAGES = {
    CLIENT: (frozenset({"client auth"}), frozenset({"digital signature", "key encipherment"})),
    WORKLOAD: (frozenset({"client auth", "server auth"}), frozenset({"digital signature"})),
}
_ACCOUNT = "system:serviceaccount:"

AccountExists = Callable[[str, str], bool]  # namespace, name


class Signers:
    """Signs what is approved: a `reconcile.csrs.Sign`."""

    def __init__(self, ca: CertificateAuthority, account_exists: AccountExists) -> None:
        self._ca = ca
        self._account_exists = account_exists

    def sign(self, spec: dict[str, Any]) -> str | None:
        """The certificate chain in base64; None when the signer is not ours. Raises SigningImpossible."""
        signer = spec.get("signerName", "")
        if signer not in _USAGES:
            return None
        required, possible = _USAGES[signer]
        usages = set(spec.get("usages") or ())
        if not required <= usages <= required | possible:
            listed = ", ".join(sorted(required))
            raise SigningImpossible(
                f"usages must be {listed}, and may be {', '.join(sorted(possible))} as well"
            )
        try:
            csr = base64.b64decode(spec["request"], validate=True).decode("ascii")
            chain = self._client(csr, spec) if signer == CLIENT else self._workload(csr, spec)
        except (CsrRefused, SigningRefused, binascii.Error, UnicodeDecodeError) as error:
            log.warning("request not signed", signer=signer, user=spec.get("username"), reason=str(error))
            raise SigningImpossible(str(error)) from error
        log.info("request signed", signer=signer, user=spec.get("username"))
        return base64.b64encode(chain.encode()).decode()

    def _client(self, csr: str, spec: dict[str, Any]) -> str:
        """A user of the API, whose names are not the system's."""
        return self._ca.sign_user(csr, min(spec.get("expirationSeconds") or USER_LIFETIME, MAX_USER_LIFETIME))

    def _workload(self, csr: str, spec: dict[str, Any]) -> str:
        """The SPIFFE identity of the very service account that asks, for a machine outside the cluster."""
        user = str(spec.get("username", ""))
        namespace, _, account = user.removeprefix(_ACCOUNT).partition(":")
        if not user.startswith(_ACCOUNT) or not self._account_exists(namespace, account):
            raise SigningRefused(f"{user[:200]!r} is no service account: only one may ask for its identity")
        identity = workload_identity(self._ca.trust_domain, namespace, account)
        return self._ca.sign_workload(csr, identity, min(spec.get("expirationSeconds") or HOUR, DAY))
