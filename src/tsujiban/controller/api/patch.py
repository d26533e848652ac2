"""JSON Merge Patch (RFC 7386), JSON Patch (RFC 6902) and strategic merge patch (Kubernetes).

Pure functions of documents; the caller's documents are never changed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from tsujiban.controller.api.errors import ApiError, bad_request

Json = dict[str, Any]

MAX_OPERATIONS = 10_000  # as the Kubernetes API server's limit on one JSON patch

# field -> the key that tells the items of a list of objects apart (k8s.io/api patchMergeKey tags)
MERGE_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "imagePullSecrets": ("name",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey",),
    "conditions": ("type",),
    "addresses": ("type",),
    "ownerReferences": ("uid",),
    "secrets": ("name",),
    "ports": ("containerPort", "port"),  # of containers, of services
}
_PRIMITIVE_LISTS = frozenset({"finalizers"})


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


def merge_key(field: str, items: list[Any]) -> str | None:
    """The key that tells the items of list `field` apart; None when the list is replaced as a whole."""
    if not items or not all(isinstance(item, dict) for item in items):
        return None
    return next((key for key in MERGE_KEYS.get(field, ()) if all(key in item for item in items)), None)


def strategic_merge(document: Any, patch: Any, field: str = "") -> Any:
    """Kubernetes' strategic merge, with its directives `$patch`, `$deleteFromPrimitiveList/…`,
    `$setElementOrder/…` and `$retainKeys`."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    if patch.get("$patch") == "replace":
        return copy.deepcopy({name: value for name, value in patch.items() if name != "$patch"})
    if patch.get("$patch") == "delete":
        return {}
    result = dict(document) if isinstance(document, dict) else {}
    retained = patch.get("$retainKeys")
    if isinstance(retained, list):
        result = {name: value for name, value in result.items() if name in retained}
    for name, value in patch.items():
        if name.startswith("$deleteFromPrimitiveList/"):
            target = name.partition("/")[2]
            result[target] = [item for item in result.get(target) or [] if item not in value]
        elif name.startswith("$"):
            continue
        elif value is None:
            result.pop(name, None)
        elif isinstance(value, list):
            order = patch.get(f"$setElementOrder/{name}")
            result[name] = _merge_list(result.get(name) or [], value, name, order)
        else:
            result[name] = strategic_merge(result.get(name), value, name)
    return result


def _merge_list(old: list[Any], patch: list[Any], field: str, order: Any) -> list[Any]:
    if field in _PRIMITIVE_LISTS:
        return [*old, *(item for item in patch if item not in old)]
    key = merge_key(field, [item for item in patch if not _is_replace(item)])
    if any(_is_replace(item) for item in patch) or key is None:
        return [copy.deepcopy(item) for item in patch if not _is_replace(item)]
    items = {item_identity(item, key): item for item in old if isinstance(item, dict)}
    for change in patch:
        identity = item_identity(change, key)
        if change.get("$patch") == "delete":
            items.pop(identity, None)
        else:
            items[identity] = strategic_merge(items.get(identity), change)
    if isinstance(order, list):
        wanted = [item_identity(item, key) for item in order if isinstance(item, dict)]
        items = {i: items[i] for i in wanted if i in items} | {
            i: item for i, item in items.items() if i not in wanted
        }
    return list(items.values())


def _is_replace(item: Any) -> bool:
    return isinstance(item, dict) and item.get("$patch") == "replace"


def item_identity(item: Json, key: str) -> str:
    """What makes an item of a keyed list the same item."""
    # two ports of one number differ by protocol
    return (
        f"{item.get(key)!r}/{item.get('protocol', 'TCP')}"
        if key in ("port", "containerPort")
        else repr(item.get(key))
    )


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
