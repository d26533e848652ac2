from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from tsujiban.cli import status
from tsujiban.cli.errors import Exit

BIRD = {
    "node": "node-1",
    "name": "bird",
    "healthy": False,
    "version": "2.0.12",
    "detail": "no peer",
    "certificate_expires": 3700.0,
    "last_sync": 90.0,
    "restarts": 3,
    "rss_bytes": 4_000_000,
    "private_bytes": 1_000_000,
}
STORE = {"node": "", "name": "store", "healthy": True}


def test_rows() -> None:
    expired = {"node": "node-1", "name": "sidecar default/web", "healthy": True, "certificate_expires": 5.0}
    assert status.rows({"components": [STORE, BIRD, expired]}, 100.0) == [
        ["-", "store", "healthy", "-", "-", "-", "0", "-", ""],
        ["node-1", "bird", "unhealthy", "2.0.12", "60m left", "10s ago", "3", "4 MB (1 own)", "no peer"],
        ["node-1", "sidecar default/web", "healthy", "-", "expired", "-", "0", "-", ""],
    ]


class Answering:
    def __init__(self, healthy: bool) -> None:
        self.healthy = healthy

    def __enter__(self) -> Answering:
        return self

    def __exit__(self, *_exception: object) -> None:
        pass

    def status(self) -> dict[str, Any]:
        return {"healthy": self.healthy, "components": [STORE]}


@pytest.mark.parametrize(("healthy", "code"), [(True, Exit.OK), (False, Exit.NO)])
def test_the_exit_code_says_whether_all_is_well(
    healthy: bool, code: Exit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsujiban.cli.status.connect", lambda _cluster: Answering(healthy))
    assert CliRunner().invoke(status.status, []).exit_code == code
