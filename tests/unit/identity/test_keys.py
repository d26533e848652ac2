"""Keys are P-256 and fresh; CSRs ask for exactly what they are told to."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tsujiban.identity.keys import create_csr, create_spiffe_csr, key_to_pem, new_key

ID = "spiffe://bank.local/ns/default/sa/web"


def test_keys_are_fresh_p256() -> None:
    first, second = new_key(), new_key()
    assert isinstance(first.curve, ec.SECP256R1)
    assert first.private_numbers() != second.private_numbers()


def test_key_survives_pem() -> None:
    key = new_key()
    loaded = load_pem_private_key(key_to_pem(key).encode(), None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    assert loaded.private_numbers() == key.private_numbers()


def test_csr_asks_for_one_spiffe_id_and_holds_no_private_key() -> None:
    key = new_key()
    pem = create_spiffe_csr(key, ID)
    assert "PRIVATE" not in pem
    csr = x509.load_pem_x509_csr(pem.encode())
    assert csr.is_signature_valid
    assert csr.public_key() == key.public_key()
    assert list(csr.subject) == []
    (extension,) = csr.extensions
    assert extension.critical
    assert list(extension.value) == [x509.UniformResourceIdentifier(ID)]


def test_csr_without_names_has_no_extension() -> None:
    assert list(x509.load_pem_x509_csr(create_csr(new_key(), []).encode()).extensions) == []
