from __future__ import annotations

from pathlib import Path

import pytest

from tsujiban.identity import jwt
from tsujiban.identity.files import PrivateFileError
from tsujiban.identity.signingkeys import (
    MAX_TOKEN_LIFETIME,
    PUBLISHED_BEFORE,
    ROTATION,
    SigningKeyError,
    SigningKeys,
    key_identifier,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_keys_are_kept_and_private(tmp_path: Path) -> None:
    first = SigningKeys(tmp_path / "keys")
    again = SigningKeys(tmp_path / "keys")
    assert again.current().id == first.current().id
    (path,) = (tmp_path / "keys").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert first.current().id == key_identifier(first.current().key.public_key())
    assert "PRIVATE" not in repr(first.current())


def test_a_new_key_is_published_before_it_signs_and_an_old_one_as_long_as_its_tokens_live(
    tmp_path: Path,
) -> None:
    clock = Clock()
    keys = SigningKeys(tmp_path / "keys", clock)
    old = keys.current()
    token = jwt.sign(old.key, old.id, {})
    clock.now += ROTATION
    assert keys.current().id == old.id
    assert len(keys.published()) == 2
    clock.now += PUBLISHED_BEFORE
    assert keys.current().id != old.id
    assert jwt.verify(token, keys.public()) == {}
    clock.now += MAX_TOKEN_LIFETIME + 1
    keys.rotate()
    assert old.id not in keys.public()
    assert old.id not in {jwk["kid"] for jwk, _ in SigningKeys(tmp_path / "keys", clock).published()}


def test_keys_of_another_process_are_found(tmp_path: Path) -> None:
    clock = Clock()
    one, other = SigningKeys(tmp_path / "keys", clock), SigningKeys(tmp_path / "keys", clock)
    clock.now += ROTATION
    other.rotate()
    clock.now += PUBLISHED_BEFORE
    fresh = other.current().id
    assert fresh in one.public(fresh)
    (tmp_path / "keys" / f"{int(clock.now)}.pem").write_bytes(b"")
    one.public("guess")  # garbage in tokens makes nobody read files again and again


def test_what_is_published(tmp_path: Path) -> None:
    keys = SigningKeys(tmp_path / "keys")
    ((key, _),) = keys.published()
    assert key.keys() == {"use", "kty", "kid", "crv", "alg", "x", "y"}
    assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("EC", "P-256", "ES256", "sig")


def test_bad_files_are_refused(tmp_path: Path) -> None:
    keys = SigningKeys(tmp_path / "keys")
    (path,) = (tmp_path / "keys").iterdir()
    path.chmod(0o644)
    with pytest.raises(PrivateFileError):
        SigningKeys(tmp_path / "keys")
    path.chmod(0o600)
    path.write_text("nonsense")
    with pytest.raises(SigningKeyError, match="remove it"):
        SigningKeys(tmp_path / "keys")
    assert keys.current()
