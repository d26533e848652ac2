"""The part of an object that the store itself writes: identity, age, generation, revision.

It is done here, in every engine alike, and not in the callers, so that no reconciler can lose a uid
or forget to raise a generation. Rules: Kubernetes API conventions, "Metadata" and
"Typical status properties" (generation).
"""

from __future__ import annotations

import time
import uuid
from typing import Any, cast

import msgspec

from tsujiban.store.protocol import MAX_VALUE_BYTES, InvalidValue

Json = dict[str, Any]

_KEPT = ("uid", "creationTimestamp", "generation")
_NOT_SPEC = frozenset({"metadata", "status", "apiVersion", "kind"})


def decode(value: bytes) -> Json:
    """The JSON object in `value`, with a `metadata` object in it.

    Raises:
        InvalidValue: it is not such an object, or is too long.
    """
    if len(value) > MAX_VALUE_BYTES:
        raise InvalidValue(f"the object has {len(value)} bytes; at most {MAX_VALUE_BYTES} are allowed")
    try:
        document = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidValue(f"the object is not JSON: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("metadata"), dict):
        raise InvalidValue("the object is not a JSON object with metadata")
    return cast(Json, document)


def encode(document: Json) -> bytes:
    """Compact JSON."""
    return msgspec.json.encode(document)


def created(value: bytes, revision: int | None, uid: str = "") -> bytes:
    """`value` as a new object written at `revision`; None for one that is only imagined. `uid` is its
    identity; "" for a new one."""
    document = decode(value)
    metadata = document["metadata"]
    metadata["uid"] = uid or str(uuid.uuid4())
    metadata["creationTimestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    metadata["generation"] = 1
    if revision is not None:
        metadata["resourceVersion"] = str(revision)
    return encode(document)


def updated(old: bytes, value: bytes, revision: int) -> bytes | None:
    """`value` as the successor of `old`, written at `revision`; None when nothing changes."""
    before, after = decode(old), decode(value)
    metadata = after["metadata"]
    for name in (*_KEPT, "resourceVersion"):
        metadata.pop(name, None)
        if name in before["metadata"]:
            metadata[name] = before["metadata"][name]
    if _canonical(before) == _canonical(after):
        return None
    if _canonical(_specification(before)) != _canonical(_specification(after)):
        metadata["generation"] = metadata.get("generation", 0) + 1
    metadata["resourceVersion"] = str(revision)
    return encode(after)


def deleted(old: bytes, revision: int) -> bytes:
    """The last state of an object that was removed at `revision`."""
    document = decode(old)
    document["metadata"]["resourceVersion"] = str(revision)
    return encode(document)


def uid(value: bytes) -> str:
    """`metadata.uid`, or ""."""
    return str(decode(value)["metadata"].get("uid", ""))


def _specification(document: Json) -> Json:
    return {name: value for name, value in document.items() if name not in _NOT_SPEC}


def _canonical(document: Json) -> bytes:
    # not `==`: to Python 1, 1.0 and True are equal, in JSON they differ
    return msgspec.json.encode(document, order="deterministic")
