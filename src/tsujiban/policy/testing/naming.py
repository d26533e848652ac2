"""Which files hold policy tests: they lie beside manifests, and are none."""

from __future__ import annotations

from fnmatch import fnmatchcase

PATTERNS = ("*_test.yaml", "*.test.yaml", "*_test.yml", "*.test.yml")


def is_test(name: str) -> bool:
    """Whether a file of this name (without folders) holds policy tests."""
    return any(fnmatchcase(name, pattern) for pattern in PATTERNS)
