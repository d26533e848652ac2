"""The indexes of an Indexed Job as its status writes them: `1,3-5,7`. Pure.

Source: Kubernetes API reference, JobStatus, `completedIndexes`.
"""

from __future__ import annotations

from collections.abc import Iterable

from tsujiban.controller.world import Json

INDEX = "batch.kubernetes.io/job-completion-index"
"""Annotation and label of a pod."""


def of_pod(pod: Json) -> int:
    """The index that a pod works for; -1 when it has none."""
    text = str((pod["metadata"].get("annotations") or {}).get(INDEX, ""))
    return int(text) if _is_number(text) else -1


def read(text: object, most: int) -> set[int]:
    """Those below `most`; what is no index is passed over."""
    found: set[int] = set()
    for part in str(text or "").split(","):
        first, _, last = part.partition("-")
        if _is_number(first) and _is_number(last or first):
            found.update(range(int(first), min(int(last or first) + 1, most)))
    return found


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 12


def written(indexes: Iterable[int]) -> str:
    """The shortest form: runs of three and more with a dash between."""
    parts: list[list[int]] = []
    for index in sorted(indexes):
        if parts and parts[-1][1] == index - 1:
            parts[-1][1] = index
        else:
            parts.append([index, index])
    return ",".join(_part(first, last) for first, last in parts)


def _part(first: int, last: int) -> str:
    if first == last:
        return str(first)
    return f"{first},{last}" if last == first + 1 else f"{first}-{last}"
