"""The embedded engine against the model of tests/support/storemodel.py."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from tests.support.storemodel import StoreMachine

from tsujiban.store.protocol import Store
from tsujiban.store.sqlite import SqliteStore


class SqliteMachine(StoreMachine):
    """On a file."""

    def __init__(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        super().__init__()

    async def open(self) -> Store:
        return await SqliteStore.open(Path(self.directory.name) / "state" / "store.db", kept_revisions=1000)

    def teardown(self) -> None:
        super().teardown()
        self.directory.cleanup()


TestStore = SqliteMachine.TestCase
TestStore.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
