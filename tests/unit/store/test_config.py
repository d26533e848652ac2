from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tsujiban.store.config import EtcdConfig, SqliteConfig, StoreConfig, connect, endpoint, open_store
from tsujiban.store.protocol import StoreUnavailable
from tsujiban.store.sqlite import SqliteStore


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.1:2379",
        "https://",
        "https://h:x",
        "https://h:99999",
        "https://h/path",
        "https://user:secret@h",
        "https://h?x",
        "http://10.0.0.1:2379",
        "ftp://h",
    ],
)
def test_endpoints_that_are_refused(text: str) -> None:
    with pytest.raises(StoreUnavailable) as refused:
        endpoint(text)
    assert "secret" not in str(refused.value)


def test_endpoints() -> None:
    assert str(endpoint("https://etcd-1.example")[1]) == "etcd-1.example:2379"
    assert endpoint("https://[fd00::1]:99")[1].host == "fd00::1"
    assert endpoint("http://127.0.0.1:2379")[0] == "http"


def test_what_is_missing_or_not_private_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="no etcd endpoint"):
        connect(EtcdConfig(endpoints=()))
    with pytest.raises(StoreUnavailable, match="needs a ca file"):
        connect(EtcdConfig(endpoints=("https://h",)))
    with pytest.raises(StoreUnavailable, match="use https"):
        connect(EtcdConfig(endpoints=("http://127.0.0.1",), ca_file="x"))
    with pytest.raises(StoreUnavailable, match="all be https"):
        connect(EtcdConfig(endpoints=("http://127.0.0.1", "https://h")))
    key = tmp_path / "key.pem"
    files = {"ca_file": str(tmp_path / "ca"), "cert_file": str(tmp_path / "cert"), "key_file": str(key)}
    config = EtcdConfig(endpoints=("https://h",), **files)
    with pytest.raises(StoreUnavailable, match="cannot read the key"):
        connect(config)
    key.write_text("no key")
    key.chmod(0o640)
    with pytest.raises(StoreUnavailable, match="chmod 0600"):
        connect(config)
    key.chmod(0o600)
    with pytest.raises(StoreUnavailable, match="cannot use the certificates"):
        connect(config)


def test_configuration_is_read_strictly() -> None:
    assert msgspec.json.decode(b'{"type":"sqlite"}', type=StoreConfig) == SqliteConfig()
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"type":"etcd","endpoints":[],"cafile":""}', type=StoreConfig)


@pytest.mark.anyio
async def test_sqlite_is_in_the_state_directory(tmp_path: Path) -> None:
    store = await open_store(SqliteConfig(), tmp_path / "state", "c")
    assert isinstance(store, SqliteStore)
    await store.close()
    assert (tmp_path / "state" / "store.db").exists()
