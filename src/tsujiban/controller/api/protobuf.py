"""Request bodies in Kubernetes' protobuf, which `kubectl create` and typed clients send for built-in kinds.

They fall back to nothing when it is refused, so it is read; answers are JSON, which they all read. A body is
`k8s\\0`, a `runtime.Unknown`, and in it the object; which field has which number stands in `wire_fields.txt`.
Source: Kubernetes API concepts, "Kubernetes Protobuf encoding"; protobuf's "Encoding".
"""

from __future__ import annotations

import base64
import struct
import types
import typing
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from tsujiban.controller.api.errors import bad_request
from tsujiban.resources import shape

Json = dict[str, Any]

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
MAX_DEPTH = 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# fields of Go structs that JSON writes into the struct around them
_INLINE = frozenset(
    {"volumeSource", "localObjectReference", "ephemeralContainerCommon", "handler", "ingressRuleValue"}
)

# numbers that may be None here, but are no pointers in Go
_NUMBERS = frozenset(
    {
        "hostPort",
        "nodePort",
        "healthCheckNodePort",
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
        "number",
    }
)


class _Malformed(ValueError):
    """Not protobuf, or not of the message it should be."""


class Field(msgspec.Struct, frozen=True):
    """One field of a message."""

    name: str
    of: str
    many: str = ""  # "*" a list, "%" a map


def decode(body: bytes) -> Json:
    """The object in a body, as JSON has it, with apiVersion and kind.

    Raises:
        ApiError: 400, it is not an object of a built-in kind.
    """
    if not body.startswith(_MAGIC):
        raise bad_request("the body is not Kubernetes protobuf: it does not begin with k8s\\0")
    try:
        unknown = dict(_parts(memoryview(body)[len(_MAGIC) :]))
        head = _message(unknown.get(1, b""), "meta.TypeMeta", 0)
        api_version, kind = str(head.get("apiVersion", "")), str(head.get("kind", ""))
        message = _root(api_version, kind)
        if message not in _messages():
            raise bad_request(f"{api_version} {kind} is not read as protobuf: send application/json")
        return {"apiVersion": api_version, "kind": kind, **_message(unknown.get(2, b""), message, 0)}
    except _Malformed as error:
        raise bad_request(f"the body is not Kubernetes protobuf: {error}") from None


def without_zeros(value: Any, of: Any) -> Any:
    """Without the fields that Go always writes, set or not, and JSON does not: zeros where a field is no
    pointer. `of` is the struct (or type) of the value; what may be None there is a pointer."""
    if isinstance(value, dict):
        known = shape.fields(of) if isinstance(of, type) and issubclass(of, msgspec.Struct) else None
        found = {}
        for name, part in value.items():
            inner = known.get(name, Any) if known is not None else _inner(of)
            pointer = name not in _NUMBERS and (inner is Any or type(None) in typing.get_args(inner))
            if (pointer and part != "") or part not in ("", 0, False):
                found[name] = without_zeros(part, _plain(inner))
        return found
    if isinstance(value, list):
        return [without_zeros(part, _inner(of)) for part in value]
    return value


def _plain(of: Any) -> Any:
    if typing.get_origin(of) in (typing.Union, types.UnionType):
        options = [option for option in typing.get_args(of) if option is not type(None)]
        return options[0] if len(options) == 1 else Any
    return of


def _inner(of: Any) -> Any:
    """The type of the items of a list, or of the values of a map."""
    arguments = typing.get_args(of)
    return (arguments[1] if typing.get_origin(of) is dict else arguments[0]) if arguments else Any


@cache
def _messages() -> dict[str, dict[int, Field]]:
    found: dict[str, dict[int, Field]] = {}
    lines = files(__package__).joinpath("wire_fields.txt").read_text().splitlines()
    current: dict[int, Field] = {}
    for line in lines:
        words = line.split()
        if line.startswith("#") or not words:
            continue
        if not line.startswith(" "):
            current = found[words.pop(0)] = {}
        for word in words:
            number, name, of = word.split(":")
            many = of[0] if of[0] in "*%" else ""
            current[int(number)] = Field(name, of.removeprefix(many), many)
    found["meta.TypeMeta"] = {1: Field("apiVersion", "s"), 2: Field("kind", "s")}
    return found


def _root(api_version: str, kind: str) -> str:
    if kind == "DeleteOptions":
        return "meta.DeleteOptions"
    group, _, _version = api_version.rpartition("/")
    return f"{group.partition('.')[0] or 'core'}.{kind}"


def _parts(data: memoryview) -> Iterator[tuple[int, Any]]:
    """Number and value of each field: int, or bytes of what is length-delimited."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, wire = tag >> 3, tag & 7
        value: Any
        if wire == _VARINT:
            value, position = _varint(data, position)
        elif wire == _BYTES:
            length, position = _varint(data, position)
            value = data[position : position + length]
            position += length
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
            value = data[position : position + size]
            position += size
        else:
            raise _Malformed(f"wire type {wire} in field {number}")
        if position > len(data) or number == 0:
            raise _Malformed(f"field {number} is cut off")
        yield number, value


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, position
    raise _Malformed("a number without end")


def _message(data: Any, name: str, depth: int) -> Json:
    if depth > MAX_DEPTH:
        raise _Malformed("nested too deep")
    known = _messages()[name]
    found: Json = {}
    for number, raw in _parts(_delimited(data, name)):
        field = known.get(number)
        if field is None:
            continue  # of a newer version: JSON clients' unknown fields are told of, these have no name
        if field.many == "%":
            key, value = _entry(raw, field, depth)
            found.setdefault(field.name, {})[key] = value
            continue
        value = _value(raw, field.of, depth)
        if field.name in _INLINE and isinstance(value, dict):
            found.update(value)
        elif field.many:
            found.setdefault(field.name, []).append(value)
        elif value is not None:
            found[field.name] = value
    return found


def _entry(raw: Any, field: Field, depth: int) -> tuple[str, Any]:
    parts = dict(_parts(_delimited(raw, field.name)))
    key = _value(parts.get(1, b""), "s", depth)
    return key, _value(parts.get(2, 0 if field.of in "ti" else b""), field.of, depth)


def _delimited(raw: Any, name: str) -> memoryview:
    if not isinstance(raw, bytes | memoryview):
        raise _Malformed(f"{name} is not a message")
    return memoryview(raw)


def _value(raw: Any, of: str, depth: int) -> Any:
    if of in ("i", "t"):
        if not isinstance(raw, int):
            raise _Malformed("a number is none")
        return bool(raw) if of == "t" else _signed(raw)
    data = bytes(_delimited(raw, of))
    if of == "s":
        return _string(data)
    if of == "b":
        return base64.b64encode(data).decode()
    if of == "d":
        if len(data) != struct.calcsize("<d"):
            raise _Malformed("a number is none")
        return struct.unpack("<d", data)[0]
    special = _SPECIAL.get(of)
    if special is not None:
        return special(data)
    found = _message(data, of, depth + 1)
    # a list that JSON writes without the message around it
    return found.get("items", []) if of.endswith((".ExtraValue", ".AttestationValue")) else found


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _string(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _Malformed("a text is not UTF-8") from None


def _numbers(data: bytes) -> dict[int, int]:
    return {number: _signed(v) for number, v in _parts(memoryview(data)) if isinstance(v, int)}


def _when(data: bytes, digits: int) -> str | None:
    if not data:
        return None  # Go's zero time
    numbers = _numbers(data)
    try:
        moment = _EPOCH + timedelta(seconds=numbers.get(1, 0), microseconds=numbers.get(2, 0) // 1000)
    except OverflowError:
        raise _Malformed("a time is out of range") from None
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{moment.microsecond:06}Z" if digits else f"{text}Z"


def _quantity(data: bytes) -> str:
    return _string(bytes(_delimited(dict(_parts(memoryview(data))).get(1, b""), "a quantity")))


def _int_or_string(data: bytes) -> int | str:
    parts = dict(_parts(memoryview(data)))
    if parts.get(1, 0) == 0:
        number = parts.get(2, 0)
        return _signed(number) if isinstance(number, int) else 0
    return _string(bytes(_delimited(parts.get(3, b""), "a text")))


def _raw(data: bytes) -> Any:
    inner = bytes(_delimited(dict(_parts(memoryview(data))).get(1, b""), "raw JSON"))
    try:
        return msgspec.json.decode(inner or b"null")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _Malformed("raw JSON is none") from None


_SPECIAL: dict[str, typing.Callable[[bytes], Any]] = {
    "Time": lambda data: _when(data, 0),
    "MicroTime": lambda data: _when(data, 6),
    "Quantity": _quantity,
    "IntOrString": _int_or_string,
    "FieldsV1": _raw,
    "RawExtension": _raw,
    "Duration": lambda data: f"{_numbers(data).get(1, 0) / 1e9:g}s",
}
