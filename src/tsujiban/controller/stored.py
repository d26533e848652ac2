"""What an older version, or somebody in the store itself, may have left in an object's status or owners.

What comes by the API is validated, and so the planners read conditions and owners without asking what they
are. What lies in the store may be older than the validation; one such object must not end the control loop.
"""

from __future__ import annotations

from collections.abc import Sequence

from tsujiban.controller.world import Json


def mended(obj: Json) -> tuple[Json, list[str]]:
    """The object as the control loop can read it, without what is no status, condition or owner; what was
    wrong."""
    found, wrongs = _with_status(obj)
    owners = obj["metadata"].get("ownerReferences")
    if owners is None:
        return found, wrongs
    listed = owners if isinstance(owners, list) else []
    good = [owner for owner in listed if not _wrong(owner, _OWNER)]
    if good == owners:
        return found, wrongs
    bad = [
        f"metadata.ownerReferences[{at}] {wrong}"
        for at, one in enumerate(listed)
        if (wrong := _wrong(one, _OWNER))
    ]
    head = {**obj["metadata"], "ownerReferences": good}
    return {**found, "metadata": head}, [*wrongs, *(bad or ["metadata.ownerReferences is no list"])]


_OWNER = ("apiVersion", "kind", "name", "uid")
_CONDITION = ("type", "status")


def _with_status(obj: Json) -> tuple[Json, list[str]]:
    if "status" not in obj:
        return obj, []
    status = obj["status"]
    if not isinstance(status, dict):
        rest = {key: value for key, value in obj.items() if key != "status"}
        return rest, [] if status is None else [f"status is {_what(status)}, not an object"]
    if "conditions" not in status:
        return obj, []
    conditions = status["conditions"]
    if conditions is None:
        return {**obj, "status": {**status, "conditions": []}}, []
    if not isinstance(conditions, list):
        wrong = f"status.conditions is {_what(conditions)}, not a list"
        return {**obj, "status": {**status, "conditions": []}}, [wrong]
    found = [(at, _wrong(one, _CONDITION)) for at, one in enumerate(conditions)]
    wrongs = [f"status.conditions[{at}] {wrong}" for at, wrong in found if wrong]
    if not wrongs:
        return obj, []
    good = [conditions[at] for at, wrong in found if not wrong]
    return {**obj, "status": {**status, "conditions": good}}, wrongs


def _wrong(entry: object, texts: Sequence[str]) -> str:
    if not isinstance(entry, dict):
        return f"is {_what(entry)}, not an object"
    missing = [name for name in texts if not isinstance(entry.get(name), str)]
    return f"has no text for {' and '.join(missing)}" if missing else ""


def _what(value: object) -> str:
    """Its kind in JSON's words; never what it says."""
    if value is None:
        return "null"
    kinds: tuple[tuple[type, str], ...] = (
        (bool, "a boolean"),
        (dict, "an object"),
        (list, "a list"),
        (str, "a text"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), "a number")
