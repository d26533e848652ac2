from __future__ import annotations

from typing import Any

CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
VOLUME = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/data"}}


def test_a_claim(judge: Any) -> None:
    assert judge("v1", "PersistentVolumeClaim", spec=CLAIM) == set()
    assert judge("v1", "PersistentVolumeClaim", spec={}) == {
        ("spec.accessModes", "missing-field"),
        ("spec.resources.requests.storage", "missing-field"),
    }
    assert judge("v1", "PersistentVolumeClaim", spec={**CLAIM, "accessModes": ["x"]}) == {
        ("spec.accessModes[0]", "bad-value")
    }


def test_a_volume(judge: Any) -> None:
    assert judge("v1", "PersistentVolume", spec=VOLUME) == set()
    assert judge("v1", "PersistentVolume", spec={"accessModes": ["ReadWriteMany"]}) == {
        ("spec.capacity.storage", "missing-field")
    }
