"""A cluster that is started again is started as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from tsujiban.local import layout as layouts
from tsujiban.local.layout import Layout
from tsujiban.local.remembered import Remembered, RememberedError, choose, in_etcd, named, recall, remember
from tsujiban.store.config import EtcdConfig, SqliteConfig

ETCD = EtcdConfig(endpoints=("https://10.0.0.1:2379",), ca_file="ca", cert_file="cert", key_file="key")


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setattr(layouts, "STATE_ROOT", tmp_path)
    found = Layout("t")
    found.controller_state.mkdir(parents=True)
    return found


def test_a_new_cluster_gets_the_defaults_or_what_is_asked_for(layout: Layout) -> None:
    assert choose(layout, None, None, None) == Remembered(nodes=2, trust_domain="cluster.local")
    assert choose(layout, 3, "bank", ETCD) == Remembered(nodes=3, trust_domain="bank", store=ETCD)


def test_what_is_not_said_is_as_it_was(layout: Layout) -> None:
    was = Remembered(nodes=5, trust_domain="bank", store=ETCD)
    remember(layout, was)
    assert layout.remembered.stat().st_mode & 0o777 == 0o600
    assert recall(layout) == was
    assert choose(layout, None, None, None) == was
    moved = EtcdConfig(endpoints=("https://10.0.0.2:2379",), ca_file="ca", cert_file="c", key_file="k")
    assert choose(layout, 1, "bank", moved) == Remembered(nodes=1, trust_domain="bank", store=moved)
    assert in_etcd(layout) == ETCD


def test_objects_do_not_change_their_store_nor_identities_their_domain(layout: Layout) -> None:
    remember(layout, Remembered(store=ETCD))
    with pytest.raises(RememberedError, match=r"are in etcd \(https://10.0.0.1:2379\).*leave --store out"):
        choose(layout, None, None, SqliteConfig())
    with pytest.raises(RememberedError, match="leave --trust-domain out"):
        choose(layout, None, "bank", None)
    remember(layout, Remembered())
    assert in_etcd(layout) is None
    with pytest.raises(RememberedError, match="a file of this machine"):
        choose(layout, None, None, ETCD)


def test_a_restored_file_is_gone_on_with(layout: Layout) -> None:
    (layout.controller_state / "store.db").touch()
    assert choose(layout, None, "bank", None) == Remembered(trust_domain="bank")
    with pytest.raises(RememberedError, match="SQLite"):
        choose(layout, None, None, ETCD)


@pytest.mark.parametrize("text", ["{", '{"nodes": 2, "store": {"type": "paper"}}', '{"colour": "red"}'])
def test_what_cannot_be_read_says_what_to_do(layout: Layout, text: str) -> None:
    layout.remembered.write_text(text)
    layout.remembered.chmod(0o600)
    with pytest.raises(RememberedError, match="delete it, and give `tsujiban up` the same options"):
        choose(layout, None, None, None)


def test_a_person_is_told_where_it_is() -> None:
    assert named(ETCD) == "etcd (https://10.0.0.1:2379)"
    assert "SQLite" in named(SqliteConfig())
