"""Query parameters of requests for resources: read strictly where a slip would do more than was asked."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from starlette.datastructures import QueryParams

from tsujiban.controller.api import selection
from tsujiban.controller.api.documents import revision
from tsujiban.controller.api.errors import bad_request, gone
from tsujiban.controller.api.selection import Predicate
from tsujiban.store.protocol import Key


class Page(msgspec.Struct, frozen=True):
    """Where a list goes on: after `namespace`/`name`, in the snapshot at `revision`."""

    revision: int
    namespace: str
    name: str


def flag(query: Mapping[str, str], name: str) -> bool:
    """A boolean parameter, absent is false.

    Raises:
        ApiError: 400, it is neither true nor false.
    """
    value = query.get(name, "false").lower()
    if value in ("1", "true", ""):
        return True
    if value in ("0", "false"):
        return False
    raise bad_request(f"{name} must be true or false")


def number(query: Mapping[str, str], name: str) -> int | None:
    """A non-negative whole number; None when absent.

    Raises:
        ApiError: 400.
    """
    value = query.get(name, "")
    if not value:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 10:
        raise bad_request(f"{name} must be a whole number")
    return int(value)


def dry_run(query: QueryParams) -> bool:
    """Whether `dryRun=All` is asked for.

    Raises:
        ApiError: 400 for anything else: a write must not happen by a typing error.
    """
    values = query.getlist("dryRun")
    if any(value != "All" for value in values):
        raise bad_request("dryRun can only be All")
    return bool(values)


def predicate(query: Mapping[str, str]) -> Predicate | None:
    """Label and field selector together."""
    return selection.both(
        selection.label_selector(query.get("labelSelector", "")),
        selection.field_selector(query.get("fieldSelector", "")),
    )


def since(query: Mapping[str, str]) -> int | None:
    """The revision after which to watch; None when it is to begin with what is there."""
    version = query.get("resourceVersion", "")
    return revision(version) if version not in ("", "0") else None


def continuation(query: Mapping[str, str]) -> Page | None:
    """The `continue` token.

    Raises:
        ApiError: 410, it is not one of ours: list again.
    """
    token = query.get("continue", "")
    if not token:
        return None
    try:
        return msgspec.json.decode(bytes.fromhex(token), type=Page)
    except (ValueError, msgspec.DecodeError):
        raise gone("the continue token is not valid; list again without it") from None


def token(revision: int, last: Key) -> str:
    """The `continue` token for what comes after `last`."""
    return msgspec.json.encode(Page(revision, last.namespace, last.name)).hex()
