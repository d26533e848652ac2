"""An operator of kopf: it watches, keeps its progress in annotations, and holds deletions back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.wait import PATIENCE
from tests.system.controller.live.conftest import WAIT, Kubectl

from tsujiban.local.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

OPERATOR = Path(__file__).parent / "operators" / "echo.py"
POLICY = """
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: echo, labels: {operator: echo}}
spec: {selector: app == "echo", order: 10}
"""
MAP = """
apiVersion: v1
kind: ConfigMap
metadata: {name: echo, labels: {operator: echo}}
data: {word: hello}
"""


@pytest.fixture
def operator(kubectl: Kubectl, tmp_path: Path) -> Iterator[Kubectl]:
    with (tmp_path / "log").open("w") as log:
        running = subprocess.Popen(
            [sys.executable, "-m", "kopf", "run", str(OPERATOR), "--standalone", "--namespace", "default"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=kubectl.environment,
        )
        try:
            yield kubectl
            assert running.poll() is None, "the operator has ended"
        finally:
            running.terminate()
            running.wait(PATIENCE)
            print((tmp_path / "log").read_text())


def annotation(kubectl: Kubectl, what: str, name: str) -> str:
    return kubectl("get", what, "-o", f"jsonpath={{.metadata.annotations.{name}}}")


def test_an_operator_lives_here(operator: Kubectl) -> None:
    operator("apply", "-f", "-", stdin=f"{MAP}---{POLICY}")
    assert until(lambda: annotation(operator, "cm/echo", "made") == "yes", PATIENCE)
    assert until(lambda: annotation(operator, "gnp/echo", "made") == "yes", PATIENCE)
    operator("patch", "cm", "echo", "-p", '{"data":{"word":"bye"}}')
    assert until(lambda: annotation(operator, "cm/echo", "word") == "bye", PATIENCE)
    assert "kopf" in operator("get", "cm", "echo", "-o", "jsonpath={.metadata.finalizers}")
    operator("delete", "cm/echo", WAIT)  # when the operator lets it go
    operator("delete", "gnp/echo", WAIT)
    assert until(lambda: "Farewell" in operator("get", "events"), PATIENCE)
