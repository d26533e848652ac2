from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tsujiban.cli.errors import Exit
from tsujiban.cli.main import main
from tsujiban.local.cluster import LocalCluster, Record
from tsujiban.local.layout import Layout
from tsujiban.local.preflight import PreflightError
from tsujiban.local.up import UpError


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, list(words))
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PreflightError("bird is missing: apt-get install bird2"), Exit.USAGE),
        (ValueError("'..' cannot name a cluster"), Exit.USAGE),
        (UpError("the nodes did not become ready"), Exit.REFUSED),
    ],
)
@pytest.mark.parametrize("words", [("up",), ("demo", "bank")])
def test_what_stands_in_the_way_is_one_message(
    words: tuple[str, ...], error: Exception, code: Exit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_words: object, **_named: object) -> None:
        raise error

    monkeypatch.setattr("tsujiban.local.up.up", fail)
    found, text = run(*words)
    assert found == code
    assert f"error: {error}" in text


def test_down_says_whether_there_was_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    existed = [True, False, False]
    monkeypatch.setattr("tsujiban.local.down.down", lambda _name, keep_state: existed.pop(0))
    assert run("down") == (0, "cluster local is down; nothing of it is left\n")
    assert run("down")[0] == Exit.NO
    assert run("down", "--if-exists") == (0, "")


def test_down_needs_the_right_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_name: str, *, keep_state: bool) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tsujiban.local.down.down", fail)
    code, text = run("down")
    assert code == Exit.UNREACHABLE
    assert "sudo" in text


def test_etcd_is_checked_before_anything_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    monkeypatch.setattr("tsujiban.local.up.up", lambda *_words, store: started.append(store))
    files = {name: tmp_path / name for name in ("ca", "cert", "key")}
    for path in files.values():
        path.write_text("not PEM")
        path.chmod(0o600)
    given = [f"--etcd-{name}file={path}" for name, path in files.items()]
    for words, told in (
        (["--store", "etcd"], "needs --etcd-servers"),
        (["--etcd-servers", "https://h"], "need --store etcd"),
        (["--store", "etcd", "--etcd-servers", "h:2379", *given], "not of the form"),
        (["--store", "etcd", "--etcd-servers", "https://h", *given], "cannot use the certificates"),
        (["--store", "etcd", "--etcd-servers", "https://h", "--etcd-cafile", "/nowhere"], "does not exist"),
    ):
        code, text = run("up", *words)
        assert (code, told in text) == (Exit.USAGE, True), text
    assert started == []


@pytest.mark.parametrize(("ailing", "code"), [("", Exit.OK), ("node-1 bird: no session", Exit.REFUSED)])
def test_a_cluster_that_is_up_and_not_well_says_so(
    ailing: str, code: Exit, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = LocalCluster(Layout("shop"), Record(cluster="shop", nodes=("node-1",), api_port=6443))
    monkeypatch.setattr("tsujiban.local.up.up", lambda *_words, **_named: made)
    monkeypatch.setattr("tsujiban.local.up.wait_well", lambda _cluster: ailing)
    found, text = run("up", "--cluster", "shop")
    assert found == code
    assert "cluster shop is up: 1 nodes; API on 127.0.0.1:6443" in text
    assert (f"it is up, but not well: {ailing}" in text) is bool(ailing)
    assert ("`tsujiban status --cluster shop`" in text) is bool(ailing)
