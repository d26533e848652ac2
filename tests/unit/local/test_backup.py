from __future__ import annotations

import asyncio
import io
import tarfile
from pathlib import Path

import msgspec
import pytest

from tsujiban.identity.ca import CertificateAuthority
from tsujiban.identity.files import make_private_directory
from tsujiban.local import layout as layouts
from tsujiban.local import leftovers
from tsujiban.local.backup import ABOUT, STORE, BackupError, back_up, restore
from tsujiban.local.layout import Layout
from tsujiban.local.remembered import Remembered, remember
from tsujiban.store.config import EtcdConfig
from tsujiban.store.protocol import Key
from tsujiban.store.sqlite import SqliteStore

NAMES = ("a", "b", "c")


def silent(_text: str) -> None:
    return None


def fill(path: Path, *names: str) -> None:
    async def write() -> None:
        store = await SqliteStore.open(path)
        for name in names:
            await store.create(Key("", "pods", "d", name), msgspec.json.encode({"metadata": {"name": name}}))
        await store.close()

    asyncio.run(write())


def held(path: Path) -> list[str]:
    async def read() -> list[str]:
        store = await SqliteStore.open(path)
        found = [item.key.name for item in (await store.list("", "pods")).items]
        await store.close()
        return found

    return asyncio.run(read())


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A cluster that is down, with a store and a CA."""
    monkeypatch.setattr(layouts, "RUN_ROOT", tmp_path / "run")
    monkeypatch.setattr(layouts, "STATE_ROOT", tmp_path / "state")
    monkeypatch.setattr(leftovers, "is_live", lambda name: name == "live")
    found = Layout("t")
    make_private_directory(found.state)
    make_private_directory(found.controller_state)
    CertificateAuthority.create(found.controller_state / "ca", "cluster.local")
    fill(found.controller_state / STORE, *NAMES)
    return found


def members(path: Path) -> list[str]:
    with tarfile.open(path) as tar:
        return tar.getnames()


def test_there_and_back(layout: Layout, tmp_path: Path) -> None:
    target = tmp_path / "backup.tar"
    about = back_up("t", target, silent)
    assert (about.objects, about.keys, about.cluster) == (3, False, "t")
    assert members(target) == [ABOUT, STORE]
    assert target.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    fill(layout.controller_state / STORE, "later")
    done = restore("t", target, silent)
    assert not done.keys
    assert done.aside is not None
    assert held(layout.controller_state / STORE) == list(NAMES)
    assert {path.name for path in layout.controller_state.iterdir()} >= {"ca", STORE, done.aside.name}
    assert "restoring" not in " ".join(path.name for path in layout.controller_state.iterdir())


def test_keys_are_saved_when_asked_for_and_never_replace_others(layout: Layout, tmp_path: Path) -> None:
    target = tmp_path / "backup.tar"
    assert back_up("t", target, silent, keys=True).keys
    saved = CertificateAuthority.open(layout.controller_state / "ca", "cluster.local").bundle_pem
    done = restore("other", target, silent)
    assert (done.keys, done.aside) == (True, None)
    other = Layout("other")
    assert CertificateAuthority.open(other.controller_state / "ca", "cluster.local").bundle_pem == saved
    for path in (other.controller_state / "ca").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    make_private_directory(Layout("third").state)
    make_private_directory(Layout("third").controller_state)
    own = CertificateAuthority.create(Layout("third").controller_state / "ca", "cluster.local").bundle_pem
    assert not restore("third", target, silent).keys
    assert (
        CertificateAuthority.open(Layout("third").controller_state / "ca", "cluster.local").bundle_pem == own
    )


def test_a_running_cluster_is_not_touched(layout: Layout, tmp_path: Path) -> None:
    target = tmp_path / "backup.tar"
    back_up("t", target, silent)
    with pytest.raises(BackupError, match="down --keep-state"):
        restore("live", target, silent)

    async def in_use() -> None:
        store = await SqliteStore.open(layout.controller_state / STORE)
        with pytest.raises(BackupError, match="in use"):
            restore("t", target, silent)
        await store.close()

    asyncio.run(in_use())


def test_without_an_embedded_store_it_says_where_to_go(layout: Layout, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="has no store on this machine"):
        back_up("elsewhere", tmp_path / "x", silent)
    with pytest.raises(ValueError, match="cluster"):
        back_up("../x", tmp_path / "x", silent)


def test_objects_in_etcd_are_saved_and_put_back_by_etcd(layout: Layout, tmp_path: Path) -> None:
    source = tmp_path / "b.tar"
    back_up("t", source, silent)
    remember(layout, Remembered(store=EtcdConfig(endpoints=("https://h:2379",))))
    with pytest.raises(BackupError, match=r"are in etcd \(https://h:2379\): `etcdctl snapshot save`"):
        back_up("t", tmp_path / "x", silent)
    with pytest.raises(BackupError, match="`etcdctl snapshot restore` puts them back"):
        restore("t", source, silent)
    layout.remembered.write_text("{")
    with pytest.raises(BackupError, match=r"up\.json"):
        back_up("t", tmp_path / "x", silent)


def test_an_old_backup_stays_when_a_new_one_fails(layout: Layout, tmp_path: Path) -> None:
    target = tmp_path / "backup.tar"
    back_up("t", target, silent)
    good = target.read_bytes()
    (layout.controller_state / STORE).write_bytes(b"damaged")
    with pytest.raises(BackupError, match="no backup was made"):
        back_up("t", target, silent)
    assert target.read_bytes() == good


def archive(path: Path, *parts: tuple[str, bytes, bytes]) -> Path:
    """A tar of (name, type, content)."""
    with tarfile.open(path, "w") as tar:
        for name, kind, content in parts:
            member = tarfile.TarInfo(name)
            member.type, member.size, member.linkname = kind, len(content), "/etc/passwd"
            tar.addfile(member, io.BytesIO(content))
    return path


def test_what_is_no_backup_is_refused_and_nothing_is_written(layout: Layout, tmp_path: Path) -> None:
    good = tmp_path / "good.tar"
    back_up("t", good, silent)
    with tarfile.open(good) as tar:
        about, store = (tar.extractfile(name).read() for name in (ABOUT, STORE))  # type: ignore[union-attr]
    newer = msgspec.json.encode({**msgspec.json.decode(about), "format": 2})
    bad = [
        ("is no backup", [(STORE, tarfile.REGTYPE, store)]),
        ("is no backup", [(ABOUT, tarfile.REGTYPE, about)]),
        ("is no backup", [(ABOUT, tarfile.REGTYPE, b"{}"), (STORE, tarfile.REGTYPE, store)]),
        ("newer tsujiban", [(ABOUT, tarfile.REGTYPE, newer), (STORE, tarfile.REGTYPE, store)]),
        ("is damaged", [(ABOUT, tarfile.REGTYPE, about), (STORE, tarfile.REGTYPE, store[:-1] + b"x")]),
        ("it holds '../evil'", [("../evil", tarfile.REGTYPE, b"x")]),
        ("it holds 'ca/../../evil'", [("ca/../../evil", tarfile.REGTYPE, b"x")]),
        ("not a plain file", [("ca/root.pem", tarfile.SYMTYPE, b"")]),
        ("nothing was restored", [(ABOUT, tarfile.REGTYPE, about), *[(STORE, tarfile.REGTYPE, store)] * 2]),
    ]
    before = held(layout.controller_state / STORE)
    for told, parts in bad:
        path = archive(tmp_path / "bad.tar", *parts)
        with pytest.raises(BackupError, match=told):
            restore("t", path, silent)
    (tmp_path / "bad.tar").write_bytes(b"nothing of the kind")
    with pytest.raises(BackupError, match="is no backup"):
        restore("t", tmp_path / "bad.tar", silent)
    assert held(layout.controller_state / STORE) == before
    assert not (tmp_path / "evil").exists()
