"""The audit log: who did what, when, to which object, with which result. Never a body, never a secret.

Events of Kubernetes' audit.k8s.io/v1 at level Metadata, so that the tools for it read ours; where
they go is `auditfile.py`'s. Everything a client wrote is bounded.
"""

from __future__ import annotations

import os
import random
import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from starlette.requests import HTTPConnection

from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.users import User

Json = dict[str, Any]
Sink = Callable[[Json], None]

MAX_TEXT = 1024  # characters of a client's user agent, of a path, of a message
MAX_GROUPS = 64
REQUEST_RECEIVED, RESPONSE_STARTED, RESPONSE_COMPLETE = (
    "RequestReceived",
    "ResponseStarted",
    "ResponseComplete",
)
ID_HEADER = "Audit-ID"
_ids = random.Random(os.urandom(32))  # noqa: S311 - an id is to be unique, it is no secret


class Trail:
    """What is known of one request so far; `told` writes it down."""

    def __init__(self, request: HTTPConnection, sink: Sink) -> None:
        self.id = str(uuid.UUID(int=_ids.getrandbits(128), version=4))
        self.user: User | None = None
        self.impersonated: User | None = None
        self.wanted: Attributes | None = None
        self.created = ""  # the name of a new object, when the request did not name it
        self.annotations: dict[str, str] = {}
        self._request = request
        self._sink = sink
        self._received = time.time()

    def told(self, stage: str, code: int, reason: str = "", message: str = "") -> None:
        """One event."""
        self._sink(self.event(stage, code, reason, message))

    def object_told(self, wanted: Attributes, action: str) -> None:
        """One event of this request about one object of several."""
        event = self.event(RESPONSE_COMPLETE, 200)
        event |= {"verb": wanted.verb, "objectRef": _object(wanted, "")}
        event["annotations"] = {**self.annotations, "tsujiban.io/apply": action}
        self._sink(event)

    def later(self, stage: str, code: int) -> Callable[[], None]:
        """What tells one event when the request itself is long gone."""
        return partial(_tell_later, self._sink, encode(self.event(stage, code)))

    def event(self, stage: str, code: int, reason: str = "", message: str = "") -> Json:
        """The event as data."""
        request = self._request
        verb = self.wanted.verb if self.wanted else request.scope.get("method", "get").lower()
        found: Json = {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": "Metadata",
            "auditID": self.id,
            "stage": stage,
            "requestURI": _uri(request),
            "verb": verb,
            "user": _user(self.user),
        }
        if self.impersonated is not None:
            found["impersonatedUser"] = _user(self.impersonated)
        found["sourceIPs"] = [request.client.host] if request.client else []
        found["userAgent"] = bounded(request.headers.get("user-agent", ""))
        if self.wanted is not None and not self.wanted.path:
            found["objectRef"] = _object(self.wanted, self.created)
        found["responseStatus"] = _status(code, reason, message)
        found["requestReceivedTimestamp"] = _micro_time(self._received)
        found["stageTimestamp"] = _micro_time(time.time())
        if self.annotations:
            found["annotations"] = dict(self.annotations)
        return found


def nowhere(_event: Json) -> None:
    """A sink that keeps nothing."""


def encode(event: Json) -> bytes:
    """One line."""
    return msgspec.json.encode(event) + b"\n"


def bounded(text: str) -> str:
    """A client's text, short and without control characters (JSON would escape them; terminals that
    show the file's fields raw would not)."""
    short = text[:MAX_TEXT]
    return short if short.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in short)


def _tell_later(sink: Sink, event: bytes) -> None:
    found = msgspec.json.decode(event)
    found["stageTimestamp"] = _micro_time(time.time())
    sink(found)


def _uri(request: HTTPConnection) -> str:
    raw = request.scope.get("raw_path") or request.scope["path"].encode()
    query = request.scope.get("query_string", b"")
    whole = raw + (b"?" + query if query else b"")
    return bounded(whole.decode("ascii", "backslashreplace"))


def _user(user: User | None) -> Json:
    if user is None:
        return {}
    found: Json = {
        "username": bounded(user.name),
        "groups": [bounded(group) for group in user.groups[:MAX_GROUPS]],
    }
    if user.uid:
        found["uid"] = user.uid
    if user.extra:
        found["extra"] = {bounded(key): [bounded(value) for value in values] for key, values in user.extra}
    return found


def _object(wanted: Attributes, created: str) -> Json:
    fields = {
        "resource": wanted.resource,
        "namespace": wanted.namespace,
        "name": bounded(wanted.name or created),
        "apiGroup": wanted.group,
        "apiVersion": wanted.version,
        "subresource": wanted.subresource,
    }
    return {key: value for key, value in fields.items() if value}


def _status(code: int, reason: str, message: str) -> Json:
    status: Json = {"metadata": {}, "code": code}
    if code >= 400:
        status |= {"status": "Failure", "reason": reason, "message": bounded(message)}
    return status


def _micro_time(moment: float) -> str:
    whole = int(moment)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
    return f"{stamp}.{int((moment - whole) * 1_000_000):06d}Z"
