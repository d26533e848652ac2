"""A cluster whose objects are in a real etcd, over TLS, as a person starts it; and what remembers that."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import etcdbed
from tests.support.etcdbed import EtcdBed
from tests.support.machine import unique_cluster
from tests.support.wait import PATIENCE

from tsujiban.local.down import down
from tsujiban.local.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kept}\ndata: {a: b}\n"


@pytest.fixture
def etcd() -> Iterator[EtcdBed]:
    with etcdbed.single() as bed:
        yield bed


@pytest.fixture
def name() -> Iterator[str]:
    """A cluster's; it is taken down when the test's report has been made."""
    chosen = unique_cluster()
    yield chosen
    down(chosen)


def test_up_with_etcd_is_remembered_until_the_cluster_is_taken_away(
    etcd: EtcdBed, name: str, tmp_path: Path
) -> None:
    def tsujiban(*words: str, code: int = 0, stdin: str = "") -> str:
        argv = [sys.executable, "-m", "tsujiban", words[0], "--cluster", name, *words[1:]]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=150, check=False, input=stdin)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    files = etcd.certificates
    where = ["--store=etcd", f"--etcd-servers={etcd.config.endpoints[0]}", f"--etcd-cafile={files.ca}"]
    where += [f"--etcd-certfile={files.cert}", f"--etcd-keyfile={files.key}"]
    tsujiban("up", "--nodes=1", *where)
    tsujiban("apply", "-f", "-", stdin=CONFIG_MAP)
    said = ""

    def well() -> bool:
        nonlocal said
        status = [sys.executable, "-m", "tsujiban", "status", "--cluster", name]
        done = subprocess.run(status, capture_output=True, text=True, timeout=150, check=False)
        said = done.stdout
        return done.returncode == 0

    assert until(well, PATIENCE), said  # a component may be well a moment after its node is ready
    assert "etcd" in said
    assert "`etcdctl snapshot save` saves them" in tsujiban("backup", str(tmp_path / "b.tar"), code=4)
    assert "are kept" in tsujiban("down", "--keep-state")
    assert "leave --store out" in tsujiban("up", "--store=sqlite", code=2)
    assert "1 nodes" in tsujiban("up")
    assert "kept" in tsujiban("get", "configmap", "kept")
    assert f"etcdctl del --prefix /tsujiban/{name}/" in tsujiban("down")
