"""Query parameters of requests for resources: read strictly where a slip would do more than was asked."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from starlette.datastructures import QueryParams

from tsujiban.controller.api import selection
from tsujiban.controller.api.documents import revision
from tsujiban.controller.api.errors import ApiError, bad_request, gone
from tsujiban.controller.api.selection import Predicate
from tsujiban.resources.registry import Kind
from tsujiban.store.protocol import Key


class Page(msgspec.Struct, frozen=True):
    """Where a list goes on: after `namespace`/`name`, in the snapshot at `revision` (0: in the newest)."""

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


# beside metadata.name and metadata.namespace, which every kind has: what Kubernetes lets one select by
_FIELDS: dict[tuple[str, str], frozenset[str]] = {
    ("", "pods"): frozenset(
        {
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        }
    ),
    ("", "events"): frozenset(
        {
            *(f"involvedObject.{n}" for n in ("kind", "namespace", "name", "uid", "apiVersion", "fieldPath")),
            "involvedObject.resourceVersion",
            "reason",
            "reportingComponent",
            "source",
            "type",
        }
    ),
    ("", "namespaces"): frozenset({"status.phase"}),
    ("", "nodes"): frozenset({"spec.unschedulable"}),
    ("", "secrets"): frozenset({"type"}),
    ("", "services"): frozenset({"spec.clusterIP", "spec.type"}),
    ("", "replicationcontrollers"): frozenset({"status.replicas"}),
    ("apps", "replicasets"): frozenset({"status.replicas"}),
    ("batch", "jobs"): frozenset({"status.successful"}),
    ("certificates.k8s.io", "certificatesigningrequests"): frozenset({"spec.signerName"}),
}
_OF_ALL = frozenset({"metadata.name", "metadata.namespace"})


def predicate(query: Mapping[str, str], kind: Kind) -> Predicate | None:
    """Label and field selector together.

    Raises:
        ApiError: 400, one is none, or the kind cannot be selected by that field.
    """
    known = _OF_ALL | _FIELDS.get((kind.group, kind.plural), frozenset())
    return selection.both(
        selection.label_selector(query.get("labelSelector", "")),
        selection.field_selector(query.get("fieldSelector", ""), known),
    )


class At(msgspec.Struct, frozen=True):
    """The state that a list shall show: that of `revision` exactly, or one not older than it; 0 is the
    newest."""

    revision: int = 0
    exact: bool = False


def at(query: Mapping[str, str]) -> At:
    """`resourceVersion` and `resourceVersionMatch` of a list.

    Raises:
        ApiError: 400, or 422 for words that do not go together.
    """
    version, match = query.get("resourceVersion", ""), query.get("resourceVersionMatch", "")
    if match not in ("", "Exact", "NotOlderThan"):
        raise _options_invalid(f'resourceVersionMatch: Unsupported value: "{match[:64]}"')
    if match and not version:
        raise _options_invalid("resourceVersionMatch: Forbidden: it needs a resourceVersion")
    if query.get("continue") and (match or version not in ("", "0")):
        raise bad_request("specifying resource version is not allowed when using continue")
    if match == "Exact" and version == "0":
        raise _options_invalid(
            'resourceVersionMatch: Forbidden: "Exact" is forbidden for resourceVersion "0"'
        )
    exact = match == "Exact" or (not match and bool(query.get("limit", "")) and version not in ("", "0"))
    return At(revision(version) if version else 0, exact)


def initial_events(query: Mapping[str, str]) -> bool | None:
    """`sendInitialEvents` of a watch; None when it is not said.

    Raises:
        ApiError: 422 for words that do not go together.
    """
    match = query.get("resourceVersionMatch", "")
    if "sendInitialEvents" not in query:
        if match:
            raise _options_invalid(
                "resourceVersionMatch: Forbidden: it is for a watch with sendInitialEvents only"
            )
        return None
    if match != "NotOlderThan":
        raise _options_invalid(
            "resourceVersionMatch: Forbidden: sendInitialEvents requires resourceVersionMatch NotOlderThan"
        )
    return flag(query, "sendInitialEvents")


def _options_invalid(what: str) -> ApiError:
    return ApiError(422, "Invalid", f'ListOptions.meta.k8s.io "" is invalid: {what}')


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
