"""What policy means: compile, evaluate, explain. Pure: no I/O, no clock.

The names of the Python API (docs/policy.md) are found here; each is imported when it is first
used, because rooms that need one struct must not pay for the rest. The definition itself is
`tsujiban.policy.evaluate.evaluate`: a module's name cannot be a function's as well.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsujiban.policy.bulk import BulkEvaluator
    from tsujiban.policy.explain import Explanation, explain_objects
    from tsujiban.policy.flow import Flow, Layer, Post, Request, Verdict
    from tsujiban.policy.graph import GraphDelta, PolicyGraph, key_of
    from tsujiban.policy.lint.codes import LintFinding
    from tsujiban.policy.lint.run import lint_objects
    from tsujiban.policy.offline import End, OfflineWorld, UnknownName
    from tsujiban.policy.program import Action, NodeDelta, NodeState
    from tsujiban.policy.testing.run import BadTests, Report, run_tests
    from tsujiban.policy.world import World

_HOMES = {
    "Action": "program",
    "BadTests": "testing.run",
    "BulkEvaluator": "bulk",
    "End": "offline",
    "Explanation": "explain",
    "Flow": "flow",
    "GraphDelta": "graph",
    "Layer": "flow",
    "LintFinding": "lint.codes",
    "NodeDelta": "program",
    "NodeState": "program",
    "OfflineWorld": "offline",
    "PolicyGraph": "graph",
    "Post": "flow",
    "Report": "testing.run",
    "Request": "flow",
    "UnknownName": "offline",
    "Verdict": "flow",
    "World": "world",
    "explain_objects": "explain",
    "key_of": "graph",
    "lint_objects": "lint.run",
    "run_tests": "testing.run",
}

__all__ = [
    "Action",
    "BadTests",
    "BulkEvaluator",
    "End",
    "Explanation",
    "Flow",
    "GraphDelta",
    "Layer",
    "LintFinding",
    "NodeDelta",
    "NodeState",
    "OfflineWorld",
    "PolicyGraph",
    "Post",
    "Report",
    "Request",
    "UnknownName",
    "Verdict",
    "World",
    "explain_objects",
    "key_of",
    "lint_objects",
    "run_tests",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
