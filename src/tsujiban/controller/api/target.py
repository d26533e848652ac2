"""What an API path names: `/apis/GROUP/VERSION/namespaces/NS/PLURAL/NAME/SUBRESOURCE`.

Segments are split before they are decoded, so that an encoded slash cannot smuggle in another
segment, and every name is checked here once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

import msgspec

from tsujiban.controller.api.errors import bad_request, path_not_found
from tsujiban.resources.registry import Kind, UnknownKind, by_plural
from tsujiban.resources.validate.names import segment_problem
from tsujiban.store.protocol import Key

# apimachinery util/validation: path segment names may not be these or hold / or %
_NAME = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.:]{0,251}[A-Za-z0-9])?")
_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A kind as asked for (in `api_version`), and which of its objects."""

    kind: Kind
    api_version: str
    namespace: str = ""  # "" is cluster-wide, or all namespaces
    name: str = ""  # "" is the collection
    subresource: str = ""

    @property
    def key(self) -> Key:
        """Where the object is in the store."""
        return Key(self.kind.group, self.kind.plural, self.namespace, self.name)

    @property
    def qualified(self) -> str:
        """`networkpolicies.projectcalico.org`, as messages name kinds."""
        return f"{self.kind.plural}.{self.kind.group}" if self.kind.group else self.kind.plural


def split(raw_path: bytes) -> list[str]:
    """Decoded segments of a path.

    Raises:
        ApiError: a segment is empty, `.` or `..`, not UTF-8, or holds a slash or a control character.
    """
    segments = []
    for raw in raw_path.strip(b"/").split(b"/"):
        try:
            segment = unquote_to_bytes(raw).decode()
        except UnicodeDecodeError:
            raise bad_request("the path is not UTF-8") from None
        if segment in ("", ".", "..") or "/" in segment or not segment.isprintable():
            raise path_not_found()
        segments.append(segment)
    return segments


def parse(segments: list[str], virtual: Callable[[str, str], Kind | None] = lambda _v, _p: None) -> Target:
    """The target of `api/VERSION/...` or `apis/GROUP/VERSION/...`.

    `virtual` knows the kinds that are not stored, by apiVersion and plural.

    Raises:
        ApiError: there is no such kind, or a name is not one.
    """
    if segments[0] == "api":
        group, rest = "", segments[1:]
    else:
        group, rest = segments[1] if len(segments) > 1 else "", segments[2:]
    if len(rest) < 2:
        raise path_not_found()
    version, *rest = rest
    namespace = ""
    if rest[0] == "namespaces" and len(rest) >= 3 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource = (*rest, "", "")[:3]
    if len(rest) > 3:
        raise path_not_found()
    api_version = f"{group}/{version}" if group else version
    kind = virtual(api_version, plural) or _kind(group, version, plural)
    if namespace and (not kind.namespaced or not _LABEL.fullmatch(namespace)):
        raise path_not_found()
    if name and kind.namespaced and not namespace:
        raise path_not_found()
    if name and not _NAME.fullmatch(name):
        raise bad_request(f"{name!r} is not a name")
    return Target(kind=kind, api_version=api_version, namespace=namespace, name=name, subresource=subresource)


def name_problem(kind: Kind, name: str) -> str:
    """What is wrong with the name of a new object; "" for nothing."""
    if kind.plural in ("namespaces", "services"):
        if not _LABEL.fullmatch(name):
            return "must be at most 63 of a-z, 0-9 and -, the first and the last a letter or digit"
    elif kind.module == "rbac":
        return segment_problem(name)
    elif len(name) > 253 or not _SUBDOMAIN.fullmatch(name):
        return (
            "must be at most 253 of a-z, 0-9, - and ., the first and the last of each part a letter or digit"
        )
    return ""


def _kind(group: str, version: str, plural: str) -> Kind:
    try:
        return by_plural(group, version, plural)
    except UnknownKind:
        raise path_not_found() from None
