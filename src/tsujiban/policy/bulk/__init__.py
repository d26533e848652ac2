"""Judging many flows: the definition's answers at the price of a few dictionary look-ups.

`judge` decides, on what `parties` knows of each end, `asked` of each question, and `chains` of each
program; `lines` writes answers as JSON. A property test holds all of it equal to `evaluate`.
"""

from tsujiban.policy.bulk.judge import BulkEvaluator

__all__ = ["BulkEvaluator"]
