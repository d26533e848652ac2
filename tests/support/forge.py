"""Certificates that no honest authority makes, and a server of the mesh's wire that shows them."""

from __future__ import annotations

import ssl
import time
from collections.abc import Sequence
from pathlib import Path

import h2.config
import h2.connection
import h2.events
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from tests.support.proxybed import Bed, Pod

from tsujiban.identity.ca import CertificateAuthority
from tsujiban.identity.certificates import CLIENT_AUTH, SERVER_AUTH, Issuer, utc
from tsujiban.identity.keys import key_to_pem, new_key
from tsujiban.identity.svid import Svid
from tsujiban.proxy import names

HOUR = 3600.0


def uri(*values: str) -> list[x509.GeneralName]:
    """These URI names. Unparsable ones are taken too: nothing looks at them before the attacked side does."""
    return [x509.UniformResourceIdentifier(one) for one in values]


def forged(
    authority: CertificateAuthority,
    alternative: Sequence[x509.GeneralName],
    *,
    key: ec.EllipticCurvePrivateKey | None = None,
    issuer: Issuer | None = None,
    self_signed: bool = False,
    ca: bool = False,
    signs: bool = False,
    usages: Sequence[x509.ObjectIdentifier] = (SERVER_AUTH, CLIENT_AUTH),
    begins: float = -60.0,
    ends: float = HOUR,
) -> Svid:
    """A certificate as somebody makes it who has the intermediate's key, another `issuer`'s or none. Times in
    seconds from now; `ca` makes it an authority, `signs` lets its key sign certificates."""
    key, now = key or new_key(), time.time()
    subject = x509.Name([])
    by = issuer or authority._intermediate
    signer = key if self_signed else by.key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if self_signed else by.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(utc(now + begins))
        .not_valid_after(utc(now + ends))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(_usage(signs), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if alternative:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternative), critical=True)
    chain = [builder.sign(signer, hashes.SHA256())]
    if not self_signed:
        chain.append(by.certificate)
    if issuer is not None:
        chain.append(authority._intermediate.certificate)
    return Svid(
        spiffe_id="",
        chain_pem="".join(one.public_bytes(Encoding.PEM).decode() for one in chain),
        key_pem=key_to_pem(key),
        bundle_pem=authority.bundle_pem,
        not_before=now + begins,
        not_after=now + ends,
    )


def issuer_of(svid: Svid, key: ec.EllipticCurvePrivateKey) -> Issuer:
    """A workload that takes itself for an authority."""
    return Issuer(x509.load_pem_x509_certificates(svid.chain_pem.encode())[0], key)


def _usage(signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


class TunnelServer:
    """Answers for a pod's address on the mesh's wire, by a certificate of its own; takes every tunnel and
    remembers what comes through."""

    def __init__(self, bed: Bed, pod: Pod, svid: Svid, port: int) -> None:
        self.heard = b""
        self.open = False  # a tunnel is
        self._context = _context(bed.directory / f"{pod.name}-{port}.pem", svid)
        pod.listen(port, self._serve)

    def _serve(self, connection: object) -> None:
        with self._context.wrap_socket(connection, server_side=True) as secure:  # type: ignore[arg-type]
            state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
            state.initiate_connection()
            secure.sendall(state.data_to_send())
            while data := secure.recv(65536):
                for event in state.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        state.send_headers(event.stream_id, [(":status", "200")])
                        self.open = True
                    elif isinstance(event, h2.events.DataReceived):
                        self.heard += event.data
                        state.send_data(event.stream_id, b"heard")
                secure.sendall(state.data_to_send())


def _context(path: Path, svid: Svid) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols([names.ALPN])
    path.write_text(svid.key_pem + svid.chain_pem)
    context.load_cert_chain(path)
    return context
