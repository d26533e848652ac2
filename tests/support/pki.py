"""A real certificate authority in a temporary directory, and what nodes and servers make of it."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from tsujiban.agent.credentials import NodeCredentials, Trust, save
from tsujiban.identity.ca import CertificateAuthority
from tsujiban.identity.files import write_private
from tsujiban.identity.keys import create_csr, key_to_pem, new_key
from tsujiban.identity.tls import server_context

TRUST_DOMAIN = "bank.local"


class Clock:
    """A wall clock that the test moves."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Pki:
    """One authority and shorthands for what it signs."""

    def __init__(self, directory: Path, trust_domain: str = TRUST_DOMAIN) -> None:
        self.directory = directory
        self.trust_domain = trust_domain
        self.ca = CertificateAuthority.create(directory / "ca", trust_domain)

    @property
    def trust(self) -> Trust:
        """What its nodes trust."""
        return Trust(trust_domain=self.trust_domain, bundle_pem=self.ca.bundle_pem)

    def pem_file(self, name: str, key: ec.EllipticCurvePrivateKey, chain_pem: str) -> Path:
        """Key and chain in one private file."""
        path = self.directory / name
        write_private(path, (key_to_pem(key) + chain_pem).encode())
        return path

    def server(
        self, *more: str, name: str = "server.pem", dns: str = "localhost", address: str = "127.0.0.1"
    ) -> ssl.SSLContext:
        """TLS context of a control-plane server, for `more` DNS names beside `dns`."""
        key = new_key()
        chain_pem = self.ca.sign_server(create_csr(key, []), [dns, *more], [address])
        return server_context(self.pem_file(name, key, chain_pem), self.ca.bundle_pem)

    def node(self, node: str, lifetime: float = 3600.0) -> NodeCredentials:
        """Credentials of a node, stored in a directory of its name."""
        key = new_key()
        chain_pem = self.ca.sign_node(create_csr(key, []), node, lifetime)
        return save(self.directory / node, node, key, chain_pem, self.trust)

    def workload(self, path: str = "/ns/default/sa/web", lifetime: float = 3600.0) -> Path:
        """Key and chain of a workload in one file."""
        key = new_key()
        chain_pem = self.ca.sign_workload(
            create_csr(key, []), f"spiffe://{self.trust_domain}{path}", lifetime
        )
        return self.pem_file("workload.pem", key, chain_pem)


def listener(port: int = 0) -> socket.socket:
    """A bound TCP socket on loopback."""
    return socket.create_server(("127.0.0.1", port))
