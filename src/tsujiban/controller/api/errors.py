"""Refusals, in the one form that Kubernetes clients understand: the `Status` object.

Source: Kubernetes API conventions, "Response Status Kind"; apimachinery api/errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tsujiban.controller.serviceclaims import Taken, allocated
from tsujiban.resources.findings import Finding
from tsujiban.store.protocol import (
    AlreadyExists,
    Compacted,
    Conflict,
    InvalidTransaction,
    InvalidValue,
    Key,
    NotFound,
    StoreError,
)


class ApiError(Exception):
    """A refusal: HTTP status `code`, a Kubernetes `reason`, and what to tell the user."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.metadata = metadata or {}
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}

    def status(self) -> dict[str, Any]:
        """The Status object."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details or self.code == 404:  # `kubectl debug` reads a 404's, and dies where there are none
            body["details"] = self.details
        return body


def bad_request(message: str) -> ApiError:
    """400: the request itself makes no sense."""
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    """401: we do not know who asks. It says no more, for it may be an attacker."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def forbidden(message: str) -> ApiError:
    """403: we know who asks, and they may not."""
    return ApiError(403, "Forbidden", message)


def path_not_found() -> ApiError:
    """404: no such path."""
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def method_not_allowed(method: str) -> ApiError:
    """405: not with this method."""
    return ApiError(405, "MethodNotAllowed", f"{method} is not possible here")


def not_acceptable(known: Sequence[str]) -> ApiError:
    """406: we have no answer in a form that the client takes."""
    text = f"only the following media types are accepted: {', '.join(known)}"
    return ApiError(406, "NotAcceptable", text)


def unsupported_media(known: Sequence[str]) -> ApiError:
    """415: we do not read that content type."""
    text = (
        f"the body of the request was in an unknown format - accepted media types include: {', '.join(known)}"
    )
    return ApiError(415, "UnsupportedMediaType", text)


def too_many(message: str) -> ApiError:
    """429, with when to try again (seconds)."""
    return ApiError(429, "TooManyRequests", message, {"retryAfterSeconds": 1})


class TooManyConnections(ApiError):
    """429 on a connection that is then closed."""

    def __init__(self, message: str) -> None:
        known = too_many(message)
        super().__init__(known.code, known.reason, known.message, known.details)


def too_large(limit: int) -> ApiError:
    """413: the body is longer than `limit` bytes."""
    return ApiError(413, "RequestEntityTooLarge", f"the request body is longer than {limit} bytes")


def gone(message: str) -> ApiError:
    """410: list again."""
    return ApiError(410, "Expired", message)


def expired_page(inconsistent: str) -> ApiError:
    """410 for a page of a list whose snapshot is forgotten; `inconsistent` goes on in what is there now."""
    text = (
        "The provided continue parameter is too old to display a consistent list result. Start a new list "
        "without it, or go on with the continue token in this response: what changed since the first page "
        "may then be missed or seen twice."
    )
    return ApiError(410, "Expired", text, metadata={"continue": inconsistent})


def too_new(revision: int, newest: int) -> ApiError:
    """504: a state was asked for that is not there yet."""
    text = f"Timeout: Too large resource version: {revision}, current: {newest}"
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    return ApiError(504, "Timeout", text, {"causes": causes, "retryAfterSeconds": 1})


def conflict(resource: str, name: str, message: str) -> ApiError:
    """409: somebody else was first."""
    text = f'Operation cannot be fulfilled on {resource} "{name}": {message}'
    return ApiError(409, "Conflict", text, {"name": name, "kind": resource})


def invalid(kind: str, group: str, name: str, findings: Sequence[Finding]) -> ApiError:
    """422: the object is refused, for every one of `findings`."""
    causes = [
        {
            "reason": "FieldValueInvalid",
            "message": finding.message + (f" ({finding.hint})" if finding.hint else ""),
            "field": finding.field,
        }
        for finding in findings
    ]
    listed = ", ".join(f"{cause['field']}: {cause['message']}".removeprefix(": ") for cause in causes)
    text = f'{kind} "{name}" is invalid: {listed}'
    return ApiError(422, "Invalid", text, {"name": name, "group": group, "kind": kind, "causes": causes})


def from_store(error: StoreError) -> ApiError:
    """What a failure of the store is to a client."""
    if isinstance(error, NotFound):
        return not_found(error.key)
    if isinstance(error, AlreadyExists):
        text = f'{_plural(error.key)} "{error.key.name}" already exists'
        return ApiError(409, "AlreadyExists", text, _details(error.key))
    if isinstance(error, Conflict):
        hint = "the object has been modified; please apply your changes to the latest version and try again"
        return conflict(_plural(error.key), error.key.name, hint)
    if isinstance(error, Taken):
        message = f"Invalid value: {allocated(error.claim)}"
        finding = Finding(code="bad-address", message=message, field=error.field)
        return invalid("Service", "", error.service.name, [finding])
    if isinstance(error, Compacted):
        return gone(f"too old resource version: {error.revision} ({error.oldest})")
    if isinstance(error, InvalidValue):
        return bad_request(str(error))
    if isinstance(error, InvalidTransaction):
        return ApiError(413, "RequestEntityTooLarge", str(error))
    return ApiError(503, "ServiceUnavailable", str(error))


def not_found(key: Key) -> ApiError:
    """404: no such object."""
    return ApiError(404, "NotFound", f'{_plural(key)} "{key.name}" not found', _details(key))


def _plural(key: Key) -> str:
    return f"{key.resource}.{key.group}" if key.group else key.resource


def _details(key: Key) -> dict[str, Any]:
    details = {"name": key.name, "kind": key.resource}
    return details | {"group": key.group} if key.group else details
