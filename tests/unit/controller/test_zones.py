"""Time zones by name."""

from __future__ import annotations

from datetime import UTC

from tsujiban.controller.zones import zone


def test_zones_have_names() -> None:
    assert zone(None) is UTC
    assert str(zone("Asia/Tokyo")) == "Asia/Tokyo"
    for name in ("Mars/Olympus", "../../etc/passwd", "/etc/passwd", "a\0b"):
        assert zone(name) is None
