"""JSON Merge Patch (RFC 7386), JSON Patch (RFC 6902) and strategic merge patch (Kubernetes).

Pure functions of documents; the caller's documents are never changed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tsujiban.controller.api import fields
from tsujiban.controller.api.errors import ApiError, bad_request
from tsujiban.resources import schema
from tsujiban.resources.schema import Schema

Json = dict[str, Any]

MAX_OPERATIONS = 10_000  # as the Kubernetes API server's limit on one JSON patch
MAX_COPIED_BYTES = 1_500_000  # by all operations of one patch: thirty that copy a value into itself make 2^30


def merge_patch(document: Any, patch: Any) -> Any:
    """RFC 7386: null removes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(document) if isinstance(document, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


def strategic_merge(document: Any, patch: Any, of: Schema = schema.ANY) -> Any:
    """Kubernetes' strategic merge, with its directives `$patch`, `$deleteFromPrimitiveList/…`,
    `$setElementOrder/…` and `$retainKeys`. `of` says which lists are merged item by item.

    Raises:
        ApiError: 400, a directive is none, or is not of its form.
    """
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    directive = _directive(patch)
    if directive == "replace":
        return copy.deepcopy({name: value for name, value in patch.items() if name != "$patch"})
    if directive == "delete":
        return {}
    result = dict(document) if isinstance(document, dict) else {}
    if "$retainKeys" in patch:
        retained = {name for name in _listed(patch, "$retainKeys") if isinstance(name, str)}
        result = {name: value for name, value in result.items() if name in retained}
    for name, value in patch.items():
        if name.startswith(_DELETE):
            target = name.removeprefix(_DELETE)
            unwanted = {fields.canonical(item) for item in _listed(patch, name)}
            present = _a_list(result.get(target))
            result[target] = [item for item in present if fields.canonical(item) not in unwanted]
        elif name.startswith(_ORDER):
            target = name.removeprefix(_ORDER)
            if target not in patch and target in result:
                order, inner = _listed(patch, name), schema.field(of, target)
                result[target] = _ordered(_a_list(result[target]), order, inner)
        elif name.startswith("$"):
            continue
        elif value is None:
            result.pop(name, None)
        elif isinstance(value, list):
            inner = schema.field(of, name)
            merged = _merge_list(_a_list(result.get(name)), value, inner)
            if _ORDER + name in patch:
                merged = _ordered(merged, _listed(patch, _ORDER + name), inner)
            result[name] = merged
        else:
            result[name] = strategic_merge(result.get(name), value, schema.field(of, name))
    return result


_DELETE, _ORDER = "$deleteFromPrimitiveList/", "$setElementOrder/"


def _directive(patch: Json) -> str:
    found = patch.get("$patch", "merge")
    if found not in ("merge", "replace", "delete"):
        raise bad_request(f"unknown patch directive {str(found)[:64]!r}: merge, replace and delete are known")
    return str(found)


def _listed(patch: Json, name: str) -> list[Any]:
    value = patch[name]
    if not isinstance(value, list):
        raise bad_request(f"{name} in a strategic merge patch must be a list")
    return value


def _a_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _merge_list(old: list[Any], patch: list[Any], of: Schema) -> list[Any]:
    rule = of.rule
    if rule.is_set:
        known = {fields.canonical(item) for item in old}
        return [*old, *(item for item in patch if fields.canonical(item) not in known)]
    if not rule.keys or not all(isinstance(item, dict) for item in patch):
        return [copy.deepcopy(item) for item in patch]
    if any(_directive(item) == "replace" for item in patch):
        return [copy.deepcopy(item) for item in patch if _directive(item) != "replace"]
    items = _Items(old, of)
    for change in patch:
        if rule.keys[0] not in change:
            raise bad_request(f"an item of a strategic merge patch lacks its key {rule.keys[0]!r}")
        found = items.matching(change)
        if _directive(change) == "delete":
            for place in found:
                items.take(place)
        elif found:
            items.change(found[0], change)
        else:
            items.add(strategic_merge(None, change, schema.item(of)))
    return items.left()


class _Items:
    """A list whose items are found by their keys, each at once: a patch may name as many as there are."""

    def __init__(self, items: list[Any], of: Schema) -> None:
        self._of = of
        self._first, *self._others = of.rule.keys
        self._items: dict[int, Any] = {}  # by place
        self._next = 0
        self._by_keys: dict[str | None, dict[int, None]] = {}
        self._by_first: dict[str | None, dict[int, None]] = {}
        for item in items:
            self.add(item)

    def matching(self, change: Json) -> Sequence[int]:
        """Places of those that are meant: with the same keys, or, when only the first is given, with that.
        Of a change that takes nothing out, the first will do."""
        found = self._by_keys.get(fields.element_of(change, self._of))
        if not found and not any(key in change for key in self._others):
            found = self._by_first.get(fields.canonical(change.get(self._first)))
        if not found:
            return ()
        return tuple(found) if _directive(change) == "delete" else (next(iter(found)),)

    def add(self, item: Any) -> None:
        """At the end."""
        self._put(self._next, item)
        self._next += 1

    def change(self, place: int, change: Json) -> None:
        """Merge a change into the item that is there."""
        before = self._items[place]
        merged = strategic_merge(before, change, schema.item(self._of))
        if self._keys(before) == self._keys(merged):
            self._items[place] = merged
        else:
            self.take(place)
            self._put(place, merged)

    def take(self, place: int) -> None:
        """Out."""
        by_keys, by_first = self._keys(self._items.pop(place))
        self._by_keys[by_keys].pop(place, None)
        self._by_first[by_first].pop(place, None)

    def left(self) -> list[Any]:
        """All, in order."""
        return [self._items[place] for place in sorted(self._items)]

    def _put(self, place: int, item: Any) -> None:
        by_keys, by_first = self._keys(item)
        self._items[place] = item
        self._by_keys.setdefault(by_keys, {})[place] = None
        self._by_first.setdefault(by_first, {})[place] = None

    def _keys(self, item: Any) -> tuple[str | None, str | None]:
        first = fields.canonical(item.get(self._first)) if isinstance(item, dict) else None
        return fields.element_of(item, self._of), first


def _ordered(items: list[Any], order: list[Any], of: Schema) -> list[Any]:
    """The items in the order that the client sees; those that it does not know of come last."""
    rule = of.rule
    if not rule.keys and not rule.is_set:
        return items
    key = rule.keys[0] if rule.keys else ""

    def place(item: Any) -> str:
        value = item.get(key) if key and isinstance(item, dict) else item
        return fields.canonical(value)

    places = {place(item): index for index, item in reversed(list(enumerate(order)))}
    return sorted(items, key=lambda item: places.get(place(item), len(order)))


# ---------------------------------------------------------------- JSON Patch


def json_patch(document: Any, operations: Any) -> Any:
    """RFC 6902.

    Raises:
        ApiError: 400 when it is not a patch, 422 when it does not fit the document.
    """
    if not isinstance(operations, list) or len(operations) > MAX_OPERATIONS:
        raise bad_request(f"a JSON patch is a list of at most {MAX_OPERATIONS} operations")
    root = [copy.deepcopy(document)]  # the document as an item, so that the whole can be replaced
    left = MAX_COPIED_BYTES
    for operation in operations:
        if not isinstance(operation, dict) or not isinstance(operation.get("path"), str):
            raise bad_request("each operation of a JSON patch is an object with op and path")
        if operation.get("op") == "copy":
            left = _copy(root, operation, left)
            continue
        apply = _OPERATIONS.get(str(operation.get("op")))
        if apply is None:
            raise bad_request(f"unknown JSON patch operation {operation.get('op')!r}")
        apply(root, operation)
    return root[0]


def _add(root: list[Any], operation: Json) -> None:
    parent, last = _parent(root, operation["path"])
    _insert(parent, last, copy.deepcopy(_value(operation)), operation["path"])


def _remove(root: list[Any], operation: Json) -> None:
    _take_out(root, operation["path"])


def _replace(root: list[Any], operation: Json) -> None:
    parent, last = _parent(root, operation["path"])
    parent[_existing(parent, last, operation["path"])] = copy.deepcopy(_value(operation))


def _test(root: list[Any], operation: Json) -> None:
    parent, last = _parent(root, operation["path"])
    found = parent[_existing(parent, last, operation["path"])]
    wanted = _value(operation)
    if found != wanted or isinstance(found, bool) is not isinstance(wanted, bool):
        raise _unfit(f"testing {operation['path']!r} failed")


def _copy(root: list[Any], operation: Json, left: int) -> int:
    """Copy a value; what is then left of the bytes that may be copied."""
    source, last = _parent(root, _from(operation))
    found = source[_existing(source, last, _from(operation))]
    left -= len(msgspec.json.encode(found))
    if left < 0:
        raise _unfit(f"its operations copy more than {MAX_COPIED_BYTES} bytes together")
    parent, name = _parent(root, operation["path"])
    _insert(parent, name, copy.deepcopy(found), operation["path"])
    return left


def _move(root: list[Any], operation: Json) -> None:
    if operation["path"].startswith(_from(operation) + "/"):
        raise _unfit("a value cannot be moved into itself")
    value = _take_out(root, _from(operation))
    parent, name = _parent(root, operation["path"])
    _insert(parent, name, value, operation["path"])


def _take_out(root: list[Any], pointer: str) -> Any:
    if pointer == "":
        raise _unfit("the whole document cannot be removed")
    parent, last = _parent(root, pointer)
    position = _existing(parent, last, pointer)
    value = parent[position]
    del parent[position]
    return value


_OPERATIONS: dict[str, Callable[[list[Any], Json], None]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "test": _test,
    "move": _move,
}


def _value(operation: Json) -> Any:
    if "value" not in operation:
        raise bad_request(f"JSON patch operation {operation.get('op')!r} needs a value")
    return operation["value"]


def _from(operation: Json) -> str:
    path = operation.get("from")
    if not isinstance(path, str):
        raise bad_request(f"JSON patch operation {operation.get('op')!r} needs from")
    return path


def _parent(root: list[Any], pointer: str) -> tuple[Any, str]:
    """The container that holds what an RFC 6901 pointer points at, and its last step."""
    if pointer == "":
        return root, "0"
    if not pointer.startswith("/"):
        raise bad_request(f"{pointer!r} is not a JSON pointer")
    steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer[1:].split("/")]
    container = root[0]
    for step in steps[:-1]:
        container = container[_existing(container, step, pointer)]
    return container, steps[-1]


def _existing(container: Any, step: str, pointer: str) -> Any:
    if isinstance(container, dict) and step in container:
        return step
    if isinstance(container, list) and _is_index(step) and int(step) < len(container):
        return int(step)
    raise _unfit(f"the path {pointer!r} does not exist")


def _insert(container: Any, step: str, value: Any, pointer: str) -> None:
    if isinstance(container, dict):
        container[step] = value
    elif isinstance(container, list) and step == "-":
        container.append(value)
    elif isinstance(container, list) and _is_index(step) and int(step) <= len(container):
        if pointer == "":
            container[0] = value
        else:
            container.insert(int(step), value)
    else:
        raise _unfit(f"the path {pointer!r} does not exist")


def _is_index(step: str) -> bool:
    return step.isascii() and step.isdigit() and len(step) <= 9 and (step == "0" or step[0] != "0")


def _unfit(message: str) -> ApiError:
    return ApiError(422, "Invalid", f"the JSON patch does not fit: {message}")
