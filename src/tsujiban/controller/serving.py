"""The controller's own certificate: made by its CA at every start, so that it is never old."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509

from tsujiban.controller.config import ControllerConfig
from tsujiban.controller.reconcile import apiservice
from tsujiban.identity.ca import CertificateAuthority
from tsujiban.identity.files import write_private
from tsujiban.identity.keys import create_csr, key_to_pem, new_key
from tsujiban.wire.controllers import name_of
from tsujiban.wire.messages import CONTROLLER_NAME


def names(config: ControllerConfig, identity: str) -> tuple[str, ...]:
    """DNS names and addresses by which clients, pods among them, reach the API, and the name by which nodes
    know this controller from others."""
    api = config.api_address
    reached = apiservice.names_of(api, config.cluster_domain) if api else ()
    return (*config.api_names, *reached, name_of(identity))


def make_certificate(ca: CertificateAuthority, directory: Path, names: Sequence[str]) -> Path:
    """A file with a new key and its chain, good for `names` (DNS names or addresses) and for
    the name by which nodes know a controller. Raises OSError, SigningRefused."""
    addresses = [name for name in names if _is_address(name)]
    dns = [CONTROLLER_NAME, *(name for name in names if name not in addresses)]
    key = new_key()
    path = directory / "server.pem"
    chain = ca.sign_server(create_csr(key, []), dns, addresses)
    write_private(path, (key_to_pem(key) + chain).encode())
    return path


def expires(path: Path) -> float:
    """When the certificate in a file made here ends, UNIX seconds."""
    text = path.read_bytes()
    certificate = x509.load_pem_x509_certificate(text[text.index(b"-----BEGIN CERTIFICATE-----") :])
    return certificate.not_valid_after_utc.timestamp()


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
