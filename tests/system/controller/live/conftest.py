"""One cluster of two nodes for all tests of this folder, and the programs that judge its API."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.support.wait import PATIENCE

from tsujiban.local.cluster import LocalCluster
from tsujiban.local.down import down
from tsujiban.local.up import up
from tsujiban.local.waiting import until

MANIFESTS = Path(__file__).parent / "manifests"
NEW = Path(sys.prefix) / "libexec" / "kubectl-1.35"
OLD = Path(sys.prefix) / "libexec" / "kubectl-1.20"
WAIT = f"--timeout={PATIENCE:.0f}s"  # how long kubectl itself waits for what must come about
ENDS = PATIENCE + 30  # seconds, after which a kubectl that may wait so long has ended


class Kubectl:
    """Runs one kubectl against the cluster, as a person would type it."""

    def __init__(self, program: str | Path, kubeconfig: Path, home: Path) -> None:
        self.program = str(program)
        self.kubeconfig = kubeconfig
        self.environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
        }

    def argv(self, *words: str) -> list[str]:
        return [self.program, *words]

    def start(self, *words: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.argv(*words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**self.environment, **(env or {})},
        )

    def __call__(
        self, *words: str, code: int = 0, stdin: str | None = None, env: Mapping[str, str] | None = None
    ) -> str:
        done = subprocess.run(
            self.argv(*words),
            capture_output=True,
            text=True,
            timeout=ENDS,
            env={**self.environment, **(env or {})},
            check=False,
            input=stdin or "",
        )
        assert done.returncode == code, (
            f"kubectl {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return str(done.stdout if code == 0 else done.stdout + done.stderr)


def read_line(process: subprocess.Popen[str]) -> str:
    """The next line of what it says; "" when it has ended.

    Byte by byte: of what a reader has read ahead, select() knows nothing.
    """
    assert process.stdout is not None
    line = b""
    while not line.endswith(b"\n"):
        assert select.select([process.stdout], [], [], PATIENCE)[0], f"no more than {line!r}"
        byte = os.read(process.stdout.fileno(), 1)
        if not byte:
            break
        line += byte
    return line.decode()


@pytest.fixture(scope="session")
def live() -> Iterator[LocalCluster]:
    name = "t" + uuid.uuid4().hex[:8]
    try:
        yield up(name, 2, lambda _: None)
    finally:
        down(name)


@pytest.fixture(scope="session")
def kubectl(live: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    assert NEW.exists(), f"{NEW} is missing: run .ci/setup"
    return Kubectl(NEW, live.layout.kubeconfig, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def old_kubectl(live: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    assert OLD.exists(), f"{OLD} is missing: run .ci/setup"
    return Kubectl(OLD, live.layout.kubeconfig, tmp_path_factory.mktemp("old-home"))


@pytest.fixture(scope="session")
def pods(kubectl: Kubectl) -> Kubectl:
    """With the pods of manifests/pods.yaml running, and a talker that has said something."""
    kubectl("apply", "-f", str(MANIFESTS / "pods.yaml"))
    kubectl("wait", "--for=condition=Ready", "pod", "-l", "set=pods", WAIT)
    assert until(lambda: "line 3\n" in kubectl("logs", "talker"), PATIENCE)
    return kubectl
