from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tsujiban.store.protocol import Key


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def key() -> Callable[..., Key]:
    def make(name: str, namespace: str = "default", resource: str = "pods", group: str = "") -> Key:
        return Key(group, resource, namespace, name)

    return make


@pytest.fixture
def value() -> Callable[..., bytes]:
    def make(name: str = "a", **fields: Any) -> bytes:
        return msgspec.json.encode({"metadata": {"name": name}, **fields})

    return make


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store in a directory that does not exist yet."""
    return tmp_path / "state" / "store.db"
