"""One cluster of two nodes for all tests of this folder, and the programs that judge its API.

The folder is a package so that its cluster goes with its last test, and does nothing beside the others'.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.support import witness
from tests.support.wait import PATIENCE

from tsujiban.local.cluster import LocalCluster
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

    def run(
        self, *words: str, stdin: str | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """However it ends."""
        return subprocess.run(
            self.argv(*words),
            capture_output=True,
            text=True,
            timeout=ENDS,
            env={**self.environment, **(env or {})},
            check=False,
            input=stdin or "",
        )

    def __call__(
        self, *words: str, code: int = 0, stdin: str | None = None, env: Mapping[str, str] | None = None
    ) -> str:
        done = self.run(*words, stdin=stdin, env=env)
        assert done.returncode == code, (
            f"kubectl {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return str(done.stdout if code == 0 else done.stdout + done.stderr)


def quiet(kubectl: Kubectl, *words: str, stdin: str | None = None) -> None:
    """Wait until `kubectl diff` finds nothing: what the control plane writes of an object while it is looked
    at is a difference, too."""
    said: list[str] = []

    def silent() -> bool:
        done = kubectl.run("diff", *words, stdin=stdin)
        said[:] = [f"{done.returncode}\n{done.stdout}{done.stderr}"]
        return done.returncode == 0 and done.stdout == ""

    assert until(silent, PATIENCE), said[0]


def content(path: Path) -> bytes:
    """Of a file; nothing, when it was replaced or removed since it was listed, or is none."""
    try:
        return path.read_bytes() if path.is_file() else b""
    except FileNotFoundError:
        return b""


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


@pytest.fixture(scope="package")
def live() -> Iterator[LocalCluster]:
    with witness.cluster("t" + uuid.uuid4().hex[:8]) as made:
        yield made


@pytest.fixture(scope="package")
def kubectl(live: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    assert NEW.exists(), f"{NEW} is missing: run .ci/setup"
    return Kubectl(NEW, live.layout.kubeconfig, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="package")
def old_kubectl(live: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    assert OLD.exists(), f"{OLD} is missing: run .ci/setup"
    return Kubectl(OLD, live.layout.kubeconfig, tmp_path_factory.mktemp("old-home"))


@pytest.fixture(scope="package")
def pods(kubectl: Kubectl) -> Kubectl:
    """With the pods of manifests/pods.yaml running, and a talker that has said something."""
    kubectl("apply", "-f", str(MANIFESTS / "pods.yaml"))
    kubectl("wait", "--for=condition=Ready", "pod", "-l", "set=pods", WAIT)
    assert until(lambda: "line 3\n" in kubectl("logs", "talker"), PATIENCE)
    return kubectl
