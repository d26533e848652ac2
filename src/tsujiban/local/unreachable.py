"""Why the API server cannot be reached, and what to do: what TLS and TCP say means little to a person.

A server that refuses a client's certificate hangs up without a word, so the certificate is looked at here.
"""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from pathlib import Path

from tsujiban.local.kubeconfig import Access, Pem

AGAIN = "Start the cluster with `tsujiban up`; its logs are below /run/tsujiban."
RENEW = "`tsujiban down --keep-state`, then `tsujiban up`, makes a new one; then `tsujiban kubeconfig` again."

# what OpenSSL or the resolver says, in part -> what is wrong, and what to do
_KNOWN = (
    (
        "certificate has expired",
        "its certificate has expired, or this machine's clock is wrong",
        "Check the clock with `date`; the controller renews its certificate when it is started.",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "its certificate is not one that your kubeconfig trusts",
        "It may be another cluster, or one made anew: print its kubeconfig again, `tsujiban kubeconfig`.",
    ),
    (
        "Name or service not known",
        "its name is not known",
        "Check `server` in the kubeconfig, or print one with `tsujiban kubeconfig --server https://HOST:PORT`.",
    ),
    (
        "WRONG_VERSION_NUMBER",
        "what answers there does not speak TLS",
        "Check `server` in the kubeconfig: its port may be another program's.",
    ),
)


class Unreachable(Exception):
    """No answer from the API server, or no right to ask it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def unreachable(access: Access, error: Exception) -> Unreachable:
    """The failure to reach the server, in words."""
    server = access.server
    text = str(error) or ("it took too long" if isinstance(error, TimeoutError) else type(error).__name__)
    for sign, meaning, remedy in _KNOWN:
        if sign in text:
            return Unreachable(f"the API server at {server} cannot be used: {meaning}", remedy)
    if _is_resolvers(error):
        return Unreachable(f"the API server at {server} cannot be found: {text}", _KNOWN[2][2])
    if problem := about_certificate(access):
        return Unreachable(f"the API server at {server} hung up: {problem}", RENEW)
    return Unreachable(f"the API server at {server} does not answer: {text}", AGAIN)


def _is_resolvers(error: BaseException | None) -> bool:
    """Whether the resolver is at the bottom of it: HTTP libraries wrap what it says."""
    while error is not None:
        if isinstance(error, socket.gaierror):
            return True
        error = error.__cause__ or error.__context__
    return False


def about_certificate(access: Access) -> str:
    """What is wrong with the client certificate; "" for nothing that can be seen from here."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    try:
        chain = x509.load_pem_x509_certificates(_content(access.certificate_file))
        roots = x509.load_pem_x509_certificates(_content(access.ca_file))
    except (OSError, ValueError):  # there is none, or it is none: the server has said what it thinks
        return ""
    if chain[0].not_valid_after_utc < datetime.now(UTC):
        return f"your client certificate has expired on {chain[0].not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    for root in roots:
        try:
            chain[-1].verify_directly_issued_by(root)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return ""
    return "your client certificate is not of this cluster's CA"


def _content(pem: Pem | None) -> bytes:
    if isinstance(pem, Path):
        return pem.read_bytes()
    return pem or b""
