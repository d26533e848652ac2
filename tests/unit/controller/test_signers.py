"""What is granted to an approved request, and what no approval can give."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from tsujiban.controller.reconcile.csrs import SigningImpossible
from tsujiban.controller.signers import CLIENT, WORKLOAD, Signers
from tsujiban.identity.ca import CertificateAuthority
from tsujiban.identity.certificates import name
from tsujiban.identity.keys import create_spiffe_csr, new_key
from tsujiban.identity.verify import parse_chain, subject_of_der, verify_chain

RSA = rsa.generate_private_key(65537, 2048)
WEAK = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that it is weak is the point
SPIFFE = "spiffe://cluster.local/ns/default/sa/web"


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority.create(tmp_path_factory.mktemp("ca") / "ca", "cluster.local")


@pytest.fixture
def signers(ca: CertificateAuthority) -> Signers:
    return Signers(ca, lambda namespace, account: (namespace, account) == ("default", "web"))


def csr(
    subject: x509.Name, *names: x509.GeneralName, key: Any = None, ca: bool = False, hash_: Any = None
) -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    request = builder.sign(key or new_key(), hash_ or hashes.SHA256())
    return request.public_bytes(Encoding.PEM).decode()


def spec(request: str, signer: str = CLIENT, usages: tuple[str, ...] = ("client auth",), **more: Any) -> Any:
    encoded = base64.b64encode(request.encode()).decode()
    return {"request": encoded, "signerName": signer, "usages": list(usages), "username": "ann", **more}


def chain(certificate: str | None) -> list[x509.Certificate]:
    assert certificate is not None
    return parse_chain(base64.b64decode(certificate).decode())


@pytest.mark.parametrize(
    "key", [None, RSA, ec.generate_private_key(ec.SECP384R1())], ids=["p256", "rsa", "p384"]
)
def test_a_user_and_groups(signers: Signers, key: Any) -> None:
    request = csr(name("jane", ["dev", "ops"]), key=key)
    usages = ("client auth", "digital signature", "key encipherment")
    leaf = chain(signers.sign(spec(request, usages=usages, expirationSeconds=3600)))[0]
    subject = subject_of_der(leaf.public_bytes(Encoding.DER))
    assert (subject.user, subject.groups) == ("jane", ("dev", "ops"))
    assert 3600 <= (leaf.not_valid_after_utc - leaf.not_valid_before_utc).total_seconds() <= 3700
    unlimited = chain(signers.sign(spec(csr(name("jane")), expirationSeconds=10**9)))[0]
    assert (unlimited.not_valid_after_utc - unlimited.not_valid_before_utc).days <= 365


@pytest.mark.parametrize(
    ("request_pem", "why"),
    [
        (csr(name("eve", ["system:masters"])), "system's own"),
        (csr(name("eve", ["dev", "system:nodes"])), "system's own"),
        (csr(name("eve", ["SYSTEM:masters"])), "system's own"),
        (csr(name("system:node:n1", ["dev"])), "system's own"),
        (csr(name("system:admin")), "system's own"),
        (csr(x509.Name([])), "one user"),
        (csr(x509.Name([*name("a"), *name("b")])), "one user"),
        (csr(name(" ")), "one user"),
        (csr(name("a\nb")), "one user"),
        (csr(name("eve", ["dev\x00"])), "one user"),
        (csr(x509.Name([*name("a"), x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, "1")])), "one CN"),
        (csr(name("eve"), x509.DNSName("controller")), "other names"),
        (csr(name("eve"), x509.UniformResourceIdentifier("spiffe://cluster.local/node/n1")), "other names"),
        (csr(name("eve"), ca=True), "authority"),
        (csr(name("eve"), key=WEAK), "2048"),
        ("nonsense", "cannot be parsed"),
    ],
)
def test_what_no_approval_gives(signers: Signers, request_pem: str, why: str) -> None:
    with pytest.raises(SigningImpossible, match=why):
        signers.sign(spec(request_pem))


def test_a_request_that_somebody_else_signed(signers: Signers) -> None:
    pem = csr(name("jane"))
    der = bytearray(x509.load_pem_x509_csr(pem.encode()).public_bytes(Encoding.DER))
    der[-1] ^= 1
    words = "CERTIFICATE REQUEST-----"
    forged = f"-----BEGIN {words}\n{base64.b64encode(der).decode()}\n-----END {words}\n"
    with pytest.raises(SigningImpossible):
        signers.sign(spec(forged))


@pytest.mark.parametrize(
    "usages", [(), ("server auth",), ("client auth", "server auth"), ("client auth", "cert sign")]
)
def test_usages(signers: Signers, usages: tuple[str, ...]) -> None:
    with pytest.raises(SigningImpossible, match="usages"):
        signers.sign(spec(csr(name("jane")), usages=usages))


def test_other_signers_are_not_ours(signers: Signers) -> None:
    for signer in ("kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving", "x.io/y"):
        assert signers.sign(spec("nonsense", signer)) is None


def test_a_service_account_gets_its_own_identity_and_no_other(
    signers: Signers, ca: CertificateAuthority
) -> None:
    usages = ("client auth", "server auth")
    request = create_spiffe_csr(new_key(), SPIFFE)

    def ask(user: str, pem: str = request, **more: Any) -> str | None:
        return signers.sign(spec(pem, WORKLOAD, usages, **{"username": user, **more}))

    got = ask("system:serviceaccount:default:web", expirationSeconds=10**9)
    pem = "".join(c.public_bytes(Encoding.PEM).decode() for c in chain(got))
    assert str(verify_chain(pem, ca.bundle_pem, "cluster.local").spiffe_id) == SPIFFE
    leaf = chain(got)[0]
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).total_seconds() < 86_500
    other = create_spiffe_csr(new_key(), "spiffe://cluster.local/ns/default/sa/bank")
    for user, wanted in (
        ("ann", request),
        ("system:serviceaccount:default:gone", request),
        ("system:serviceaccount:default:web", other),
        ("system:serviceaccount:default:web", create_spiffe_csr(new_key(), "spiffe://cluster.local/node/n1")),
    ):
        with pytest.raises(SigningImpossible):
            ask(user, wanted)
