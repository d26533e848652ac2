"""What a liar may put into a CSR, and that none of it is taken."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tsujiban.identity.csr import MAX_CSR_BYTES, CsrRefused, check_csr
from tsujiban.identity.keys import create_csr, new_key

GRANTED = x509.UniformResourceIdentifier("spiffe://bank.local/ns/default/sa/web")
OTHER = x509.UniformResourceIdentifier("spiffe://bank.local/ns/default/sa/admin")
ONLY = frozenset({GRANTED})


def pem_of(builder: x509.CertificateSigningRequestBuilder, key: ec.EllipticCurvePrivateKey) -> str:
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def builder() -> x509.CertificateSigningRequestBuilder:
    return x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))


@pytest.mark.parametrize("names", [[], [GRANTED]])
def test_gives_the_key(names: list[x509.GeneralName]) -> None:
    key = new_key()
    assert check_csr(create_csr(key, names), ONLY) == key.public_key()


def test_p384_is_accepted() -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    assert check_csr(create_csr(key, []), ONLY) == key.public_key()


@pytest.mark.parametrize(
    "names",
    [
        [OTHER],
        [GRANTED, OTHER],
        [GRANTED, GRANTED],
        [GRANTED, x509.DNSName("controller")],
        [x509.DNSName("spiffe://bank.local/ns/default/sa/web")],
        [x509.UniformResourceIdentifier("spiffe://bank.local/ns/default/sa/web/")],
        [x509.UniformResourceIdentifier("SPIFFE://bank.local/ns/default/sa/web")],
    ],
)
def test_other_names_are_refused(names: list[x509.GeneralName]) -> None:
    with pytest.raises(CsrRefused, match="other names"):
        check_csr(create_csr(new_key(), names), ONLY)


def test_a_name_is_refused_where_none_is_granted() -> None:
    with pytest.raises(CsrRefused, match="other names"):
        check_csr(create_csr(new_key(), [GRANTED]), frozenset())


def test_wish_to_be_an_authority_is_refused() -> None:
    wish = builder().add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    with pytest.raises(CsrRefused, match="authority"):
        check_csr(pem_of(wish, new_key()), ONLY)


def test_subject_is_ignored() -> None:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters"),
            x509.NameAttribute(NameOID.COMMON_NAME, "root"),
        ]
    )
    key = new_key()
    wish = x509.CertificateSigningRequestBuilder().subject_name(subject)
    assert check_csr(pem_of(wish, key), ONLY) == key.public_key()


def test_forged_signature_is_refused() -> None:
    """A CSR for somebody else's key: signature by another one."""
    good = x509.load_pem_x509_csr(create_csr(new_key(), [GRANTED]).encode()).public_bytes(Encoding.DER)
    for position in (-1, -10, -20):
        forged = bytearray(good)
        forged[position] ^= 1
        pem = x509.load_der_x509_csr(bytes(forged)).public_bytes(Encoding.PEM).decode()
        with pytest.raises(CsrRefused, match="does not hold the key"):
            check_csr(pem, ONLY)


@pytest.mark.parametrize("curve", [ec.SECP224R1(), ec.SECP521R1(), ec.SECP256K1()])
def test_other_curves_are_refused(curve: ec.EllipticCurve) -> None:
    with pytest.raises(CsrRefused, match="P-256"):
        check_csr(create_csr(ec.generate_private_key(curve), []), ONLY)


def test_other_kinds_of_key_are_refused() -> None:
    rsa_csr = builder().sign(rsa.generate_private_key(65537, 2048), hashes.SHA256())
    edwards_csr = builder().sign(ed25519.Ed25519PrivateKey.generate(), None)
    for csr in (rsa_csr, edwards_csr):
        with pytest.raises(CsrRefused, match="P-256"):
            check_csr(csr.public_bytes(Encoding.PEM).decode(), ONLY)


@pytest.mark.parametrize("digest", [hashes.SHA224(), hashes.SHA3_256()])
def test_other_digests_are_refused(digest: hashes.SHA224 | hashes.SHA3_256) -> None:
    pem = builder().sign(new_key(), digest).public_bytes(Encoding.PEM).decode()
    with pytest.raises(CsrRefused, match=r"SHA-256|cannot be parsed"):
        check_csr(pem, ONLY)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "\ud800",
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        "-----BEGIN CERTIFICATE REQUEST-----\n\x00\n-----END CERTIFICATE REQUEST-----\n",
    ],
)
def test_garbage_is_refused(text: str) -> None:
    with pytest.raises(CsrRefused, match="cannot be parsed"):
        check_csr(text, ONLY)


def test_huge_input_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(CsrRefused, match="larger than"):
        check_csr("x" * (MAX_CSR_BYTES + 1), ONLY)
