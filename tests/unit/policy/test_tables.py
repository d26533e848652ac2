from __future__ import annotations

from tsujiban.policy.tables import put


def test_none_takes_out_and_anything_else_goes_in() -> None:
    table = {"a": 1}
    put(table, "b", 0)
    put(table, "a", None)
    put(table, "missing", None)
    assert table == {"b": 0}
