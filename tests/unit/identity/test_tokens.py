"""A token is good once, for one node, for a while, and only to who has all of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tsujiban.identity.tokens import FileTokenStore, TokenRecord, TokenRefused, check_token, new_token

NOW = 1_800_000_000.0


@pytest.fixture
def store(tmp_path: Path) -> FileTokenStore:
    return FileTokenStore(tmp_path / "tokens")


def issue(store: FileTokenStore, node: str = "node-1", lifetime: float = 60.0) -> str:
    token, record = new_token(node, NOW, lifetime)
    asyncio.run(store.add(record))
    return token


def check(store: FileTokenStore, token: str, node: str = "node-1", now: float = NOW) -> TokenRecord:
    return asyncio.run(check_token(store, token, node, now))


def test_good_token_and_its_single_use(store: FileTokenStore) -> None:
    token = issue(store)
    record = check(store, token)
    assert (record.node, record.expires) == ("node-1", NOW + 60)
    assert check(store, token) == record  # checking does not use it up
    assert asyncio.run(store.consume(record.id))
    assert not asyncio.run(store.consume(record.id))
    with pytest.raises(TokenRefused, match="used already"):
        check(store, token)


def test_secret_is_nowhere_on_disk(store: FileTokenStore, tmp_path: Path) -> None:
    secret = issue(store).split(".")[1]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 1
    assert files[0].stat().st_mode & 0o777 == 0o600
    assert secret not in files[0].read_text()


def test_secret_is_long_and_fresh() -> None:
    tokens = {new_token("n", NOW)[0] for _ in range(10)}
    assert len({token.split(".")[1] for token in tokens}) == 10
    assert all(len(token.split(".")[1]) == 64 for token in tokens)


@pytest.mark.parametrize("now", [NOW + 60, NOW + 1e9])
def test_expired(store: FileTokenStore, now: float) -> None:
    token = issue(store)
    assert check(store, token, now=NOW + 59.9)
    with pytest.raises(TokenRefused, match="expired"):
        check(store, token, now=now)


@pytest.mark.parametrize("node", ["node-2", "", "NODE-1", "node-1 "])
def test_of_another_node(store: FileTokenStore, node: str) -> None:
    with pytest.raises(TokenRefused, match="is for node 'node-1'"):
        check(store, issue(store), node)


def test_wrong_secret(store: FileTokenStore) -> None:
    token_id, secret = issue(store).split(".")
    wrong = ("0" if secret[0] != "0" else "1") + secret[1:]
    with pytest.raises(TokenRefused, match="wrong secret"):
        check(store, f"{token_id}.{wrong}")
    with pytest.raises(TokenRefused, match="wrong secret"):
        check(store, f"{token_id}.{'0' * 64}")


def test_wrong_secret_does_not_burn_the_token(store: FileTokenStore) -> None:
    token = issue(store)
    with pytest.raises(TokenRefused):
        check(store, f"{token.split('.')[0]}.{'0' * 64}")
    assert check(store, token)


def test_the_stored_hash_is_no_token(store: FileTokenStore) -> None:
    """Who reads the store cannot join."""
    record = check(store, issue(store))
    with pytest.raises(TokenRefused, match="wrong secret"):
        check(store, f"{record.id}.{record.secret_sha256}")


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "0123456789abcdef",
        "0123456789abcdef.",
        "." + "0" * 64,
        "../../../etc/passwd." + "0" * 64,
        "0123456789ABCDEF." + "0" * 64,
        "0123456789abcdef." + "0" * 64 + "\n",
        "0123456789abcdef." + "0" * 65,
        "\u0660123456789abcde." + "0" * 64,
        "x" * 100_000,
    ],
)
def test_malformed(store: FileTokenStore, token: str) -> None:
    with pytest.raises(TokenRefused, match="not of the form"):
        check(store, token)


def test_unknown(store: FileTokenStore) -> None:
    with pytest.raises(TokenRefused, match="does not exist"):
        check(store, "0123456789abcdef." + "0" * 64)


def test_refusals_never_hold_the_secret(store: FileTokenStore) -> None:
    token = issue(store)
    for node, now in (("node-2", NOW), ("node-1", NOW + 99)):
        with pytest.raises(TokenRefused) as caught:
            check(store, token, node, now)
        assert token.split(".")[1] not in str(caught.value)


def test_damaged_record_counts_as_absent(store: FileTokenStore, tmp_path: Path) -> None:
    token = issue(store)
    (path,) = (tmp_path / "tokens").iterdir()
    path.write_text("{}")
    with pytest.raises(TokenRefused, match="does not exist"):
        check(store, token)


def test_of_many_consumers_one_wins(store: FileTokenStore) -> None:
    record = check(store, issue(store))

    async def race() -> list[bool]:
        return await asyncio.gather(
            *(asyncio.to_thread(lambda: asyncio.run(store.consume(record.id))) for _ in range(16))
        )

    assert sorted(asyncio.run(race())) == [False] * 15 + [True]
