from __future__ import annotations

from tsujiban.cli import status

FOUND = {
    "components": [{"name": "store", "healthy": True}],
    "nodes": [
        {
            "name": "node-1",
            "components": [
                {
                    "name": "bird",
                    "healthy": False,
                    "version": "2.0.12",
                    "detail": "no peer",
                    "certificate_expires": 3700.0,
                    "last_sync": 90.0,
                    "restarts": 3,
                    "rss_bytes": 4_000_000,
                    "private_bytes": 1_000_000,
                },
                {"name": "sidecar default/web", "certificate_expires": 5.0},
            ],
        }
    ],
}


def test_rows() -> None:
    assert status.rows(FOUND, 100.0) == [
        ["-", "store", "healthy", "-", "-", "-", "0", "-", ""],
        ["node-1", "bird", "unhealthy", "2.0.12", "60m left", "10s ago", "3", "4 MB (1 own)", "no peer"],
        ["node-1", "sidecar default/web", "unhealthy", "-", "expired", "-", "0", "-", ""],
    ]


def test_a_component_that_does_not_say_is_not_healthy() -> None:
    assert [component["healthy"] for _, component in status.components(FOUND)] == [True, False, False]
