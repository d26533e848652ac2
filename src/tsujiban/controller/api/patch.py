"""JSON Merge Patch (RFC 7386), JSON Patch (RFC 6902) and strategic merge patch (Kubernetes).

Pure functions of documents; the caller's documents are never changed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from tsujiban.controller.api import fields
from tsujiban.controller.api.errors import ApiError, bad_request
from tsujiban.resources import schema
from tsujiban.resources.schema import Schema

Json = dict[str, Any]

MAX_OPERATIONS = 10_000  # as the Kubernetes API server's limit on one JSON patch


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
        retained = _listed(patch, "$retainKeys")
        result = {name: value for name, value in result.items() if name in retained}
    for name, value in patch.items():
        if name.startswith(_DELETE):
            target = name.removeprefix(_DELETE)
            unwanted = _listed(patch, name)
            result[target] = [item for item in _a_list(result.get(target)) if item not in unwanted]
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
        return [*old, *(item for item in patch if item not in old)]
    if not rule.keys or not all(isinstance(item, dict) for item in patch):
        return [copy.deepcopy(item) for item in patch]
    if any(_directive(item) == "replace" for item in patch):
        return [copy.deepcopy(item) for item in patch if _directive(item) != "replace"]
    items = list(old)
    for change in patch:
        if rule.keys[0] not in change:
            raise bad_request(f"an item of a strategic merge patch lacks its key {rule.keys[0]!r}")
        found = _matching(items, change, of)
        if _directive(change) == "delete":
            items = [item for index, item in enumerate(items) if index not in found]
        elif found:
            items[found[0]] = strategic_merge(items[found[0]], change, schema.item(of))
        else:
            items.append(strategic_merge(None, change, schema.item(of)))
    return items


def _matching(items: list[Any], change: Json, of: Schema) -> list[int]:
    """Which items are meant: those with the same keys, or, when only the first is given, with that."""
    wanted = fields.element_of(change, of)
    exact = [index for index, item in enumerate(items) if fields.element_of(item, of) == wanted]
    first, *others = of.rule.keys
    if exact or any(key in change for key in others):
        return exact
    return [
        index
        for index, item in enumerate(items)
        if isinstance(item, dict) and item.get(first) == change.get(first)
    ]


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
    for operation in operations:
        if not isinstance(operation, dict) or not isinstance(operation.get("path"), str):
            raise bad_request("each operation of a JSON patch is an object with op and path")
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


def _copy(root: list[Any], operation: Json) -> None:
    source, last = _parent(root, _from(operation))
    value = copy.deepcopy(source[_existing(source, last, _from(operation))])
    parent, name = _parent(root, operation["path"])
    _insert(parent, name, value, operation["path"])


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
    "copy": _copy,
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
