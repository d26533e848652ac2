"""What an older version, or somebody in the store itself, may have left in an object's status.

What comes by the API is validated, and so the planners read conditions without asking what they are. What
lies in the store may be older than the validation; one such object must not end the control loop.
"""

from __future__ import annotations

from tsujiban.controller.world import Json


def mended(obj: Json) -> tuple[Json, list[str]]:
    """The object as the control loop can read it, without what is no status or condition; what was wrong."""
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
    found = [(at, _wrong(one)) for at, one in enumerate(conditions)]
    wrongs = [f"status.conditions[{at}] {wrong}" for at, wrong in found if wrong]
    if not wrongs:
        return obj, []
    good = [conditions[at] for at, wrong in found if not wrong]
    return {**obj, "status": {**status, "conditions": good}}, wrongs


def _wrong(condition: object) -> str:
    if not isinstance(condition, dict):
        return f"is {_what(condition)}, not an object"
    missing = [name for name in ("type", "status") if not isinstance(condition.get(name), str)]
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
