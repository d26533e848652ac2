"""TLS contexts of the control plane: TLS 1.3, both sides authenticated, no exceptions.

Session tickets are off, so that every connection verifies a certificate that is valid now.
"""

from __future__ import annotations

import ssl
from pathlib import Path


class TlsError(ValueError):
    """A certificate, a key or a bundle cannot be loaded."""


def server_context(credentials: Path, bundle_pem: str) -> ssl.SSLContext:
    """Context of a server that demands client certificates. `credentials` holds key and chain (PEM)."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, credentials, bundle_pem)
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0
    return context


def client_context(credentials: Path, bundle_pem: str) -> ssl.SSLContext:
    """Context of a client that shows a certificate and checks the server's name."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, credentials, bundle_pem)


def _context(protocol: int, credentials: Path, bundle_pem: str) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["h2"])
    try:
        context.load_verify_locations(cadata=bundle_pem)
        context.load_cert_chain(credentials)
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise TlsError(f"cannot use {credentials} with the trust bundle: {error}") from error
    return context
