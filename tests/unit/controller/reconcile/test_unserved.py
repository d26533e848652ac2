"""What is not served is said."""

from __future__ import annotations

from tsujiban.controller.reconcile.unserved import without_effect
from tsujiban.controller.world import JOBS, PODS, STATEFUL_SETS


def test_what_is_not_served_is_said() -> None:
    (text,) = without_effect(STATEFUL_SETS, {"spec": {"volumeClaimTemplates": [{}], "replicas": 1}})
    assert text.startswith("spec.volumeClaimTemplates cannot be served")
    (text,) = without_effect(JOBS, {"spec": {"backoffLimitPerIndex": 2}})
    assert text == "spec.backoffLimitPerIndex is stored, and has no effect here"
    assert without_effect(STATEFUL_SETS, {"spec": {"replicas": 1}}) == []
    assert without_effect(PODS, {"spec": {}}) == []
