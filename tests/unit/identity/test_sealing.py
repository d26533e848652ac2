"""A seal opens for the receiver, token and conversation that it was made for, and for nothing else."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from tsujiban.identity.sealing import Sealed, SealError, public_bytes, seal, unseal

SECRET = b"-----BEGIN PRIVATE KEY-----"
TOKEN, CONTEXT = "id.secret", b"enrol, of this cluster"
OWN = X25519PrivateKey.generate()


def sealed() -> Sealed:
    return seal(SECRET, public_bytes(OWN), TOKEN, CONTEXT)


@settings(max_examples=20)
@given(st.binary(max_size=2000), st.text(max_size=50), st.binary(max_size=50))
def test_what_is_sealed_is_read_by_the_receiver(secret: bytes, token: str, context: bytes) -> None:
    own = X25519PrivateKey.generate()
    made = seal(secret, public_bytes(own), token, context)
    again = msgspec.json.decode(msgspec.json.encode(made), type=Sealed)
    assert unseal(again, own, token, context) == secret


def test_nobody_else_reads_it() -> None:
    made = sealed()
    assert SECRET not in made.ciphertext
    for own, token, context in (
        (X25519PrivateKey.generate(), TOKEN, CONTEXT),
        (OWN, "id.other", CONTEXT),
        (OWN, TOKEN, b"enrol, of another cluster"),
    ):
        with pytest.raises(SealError, match="another receiver, token or conversation"):
            unseal(made, own, token, context)


def test_what_was_sealed_for_one_conversation_is_none_of_the_next() -> None:
    """The receiver makes a new key each time: an answer of before does not open."""
    with pytest.raises(SealError):
        unseal(sealed(), X25519PrivateKey.generate(), TOKEN, CONTEXT)
    assert sealed().ciphertext != sealed().ciphertext


@settings(max_examples=50)
@given(st.sampled_from(["sender", "nonce", "ciphertext"]), st.integers(0, 10_000), st.integers(1, 255))
def test_every_bit_of_it_counts(field: str, place: int, change: int) -> None:
    made = sealed()
    data = bytearray(getattr(made, field))
    data[place % len(data)] ^= change  # X25519 ignores the highest bit of a key: the seal does not
    with pytest.raises(SealError):
        unseal(msgspec.structs.replace(made, **{field: bytes(data)}), OWN, TOKEN, CONTEXT)


@pytest.mark.parametrize("key", [b"", b"short", bytes(32), b"\x01" + bytes(31), b"x" * 33])
def test_what_is_no_key_is_refused(key: bytes) -> None:
    with pytest.raises(SealError, match="public key"):
        seal(SECRET, key, TOKEN, CONTEXT)
    with pytest.raises(SealError, match="public key"):
        unseal(msgspec.structs.replace(sealed(), sender=key), OWN, TOKEN, CONTEXT)


@pytest.mark.parametrize("nonce", [b"", b"x" * 11, b"x" * 64])
def test_a_nonce_of_another_length_is_refused(nonce: bytes) -> None:
    with pytest.raises(SealError):
        unseal(msgspec.structs.replace(sealed(), nonce=nonce), OWN, TOKEN, CONTEXT)
