from typing import Any

from tsujiban.kernel.counters import Count, counts
from tsujiban.kernel.verdicts import Letter, RuleKey
from tsujiban.policy.program import Direction


def test_counters_are_told_by_rule() -> None:
    key = RuleKey(Letter.DENY, Direction.EGRESS, "p/egress/0")
    listing: list[dict[str, Any]] = [
        {"metainfo": {"version": "1.0.6"}},
        {"counter": {"name": "count-1", "packets": 3, "bytes": 180}},
        {"counter": {"name": "count-2", "packets": 1, "bytes": 60}},
    ]
    assert counts(listing, {"count-1": key}) == {key: Count(3, 180)}
