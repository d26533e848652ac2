"""Storage. Source: Kubernetes API reference, PersistentVolume and PersistentVolumeClaim v1 core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tsujiban.resources.kinds import storage
from tsujiban.resources.validate import names
from tsujiban.resources.validate.report import Report


def _claim(claim: storage.PersistentVolumeClaim, raw: Mapping[str, Any], report: Report) -> None:
    spec = claim.spec
    _access_modes(spec.access_modes, report)
    if spec.resources is None or "storage" not in spec.resources.requests:
        report.error(("spec", "resources", "requests", "storage"), "missing-field", "storage is required")
    names.check_selector(spec.selector, ("spec", "selector"), report)


def _volume(volume: storage.PersistentVolume, raw: Mapping[str, Any], report: Report) -> None:
    _access_modes(volume.spec.access_modes, report)
    if "storage" not in volume.spec.capacity:
        report.error(("spec", "capacity", "storage"), "missing-field", "storage is required")


def _access_modes(modes: tuple[str, ...], report: Report) -> None:
    if not modes:
        report.error(("spec", "accessModes"), "missing-field", "at least one access mode is required")
    for index, mode in enumerate(modes):
        report.one_of(("spec", "accessModes", index), mode, storage.ACCESS_MODES)


CHECKS = {"PersistentVolumeClaim": _claim, "PersistentVolume": _volume}
