from __future__ import annotations

from collections.abc import Sequence

import pytest

from tsujiban.store.protocol import Check, Create, Delete, Key, Operation, Stored, Update
from tsujiban.store.single import SingleWrites

pytestmark = pytest.mark.anyio

KEY = Key("", "configmaps", "default", "a")


class Engine(SingleWrites):
    def __init__(self) -> None:
        self.done: list[Operation] = []

    async def transaction(self, operations: Sequence[Operation]) -> tuple[Stored | None, ...]:
        self.done += operations
        return tuple(None if isinstance(one, Check) else Stored(one.key, b"{}", 7) for one in operations)


async def test_each_write_is_a_transaction_of_one_operation() -> None:
    engine = Engine()
    written = [
        await engine.create(KEY, b"1"),
        await engine.update(KEY, b"2", 5),
        await engine.delete(KEY, 6, "uid"),
    ]
    assert engine.done == [Create(KEY, b"1"), Update(KEY, b"2", 5), Delete(KEY, 6, "uid")]
    assert {stored.revision for stored in written} == {7}
