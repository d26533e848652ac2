"""The indexes of an Indexed Job as its status writes them: `1,3-5,7`. Pure.

Source: Kubernetes API reference, JobStatus, `completedIndexes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tsujiban.controller.world import Json, whole

INDEX = "batch.kubernetes.io/job-completion-index"
"""Annotation and label of a pod."""


def of_pod(pod: Json) -> int:
    """The index that a pod works for; -1 when it has none."""
    index = whole((pod["metadata"].get("annotations") or {}).get(INDEX, ""))
    return -1 if index is None else index


def read(text: object, most: int) -> set[int]:
    """Those below `most`; what is no index is passed over."""
    return {index for first, last in _runs(text) for index in range(first, min(last + 1, most))}


def count(text: object, most: int) -> int:
    """How many of them there are; none is looked at, for they may be thousands of millions."""
    return sum(max(0, min(last + 1, most) - first) for first, last in _runs(text))


def _runs(text: object) -> Iterator[tuple[int, int]]:
    for part in str(text or "").split(","):
        begin, _, end = part.partition("-")
        first, last = whole(begin), whole(end or begin)
        if first is not None and last is not None:
            yield first, last


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
