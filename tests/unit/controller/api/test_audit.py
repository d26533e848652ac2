from __future__ import annotations

import json
import re
from typing import Any

from starlette.requests import HTTPConnection

from tsujiban.controller.api import audit
from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.users import User


def connection(query: bytes = b"", agent: str = "kubectl/v1.35") -> HTTPConnection:
    return HTTPConnection(
        {
            "type": "http",
            "method": "POST",
            "path": "/api/v1/namespaces/n/secrets",
            "raw_path": b"/api/v1/namespaces/n/secrets",
            "query_string": query,
            "client": ("10.0.0.9", 4711),
            "headers": [(b"user-agent", agent.encode()), (b"authorization", b"Bearer sesame")],
        }
    )


def trail(found: list[dict[str, Any]], **more: Any) -> audit.Trail:
    made = audit.Trail(connection(**more), found.append)
    made.user = User("ann", ("g",), "u1", (("k", ("v",)),))
    made.wanted = Attributes(verb="create", version="v1", resource="secrets", namespace="n")
    return made


def test_an_event_is_one_of_kubernetes() -> None:
    found: list[dict[str, Any]] = []
    made = trail(found, query=b"dryRun=All")
    made.created = "s"
    made.impersonated = User("bob", ("h",))
    made.annotations["authorization.k8s.io/decision"] = "allow"
    made.told(audit.RESPONSE_COMPLETE, 201)
    (event,) = found
    assert re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{6}Z", event.pop("stageTimestamp"))
    assert event.pop("requestReceivedTimestamp")
    assert event.pop("auditID") == made.id
    assert event == {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "stage": "ResponseComplete",
        "requestURI": "/api/v1/namespaces/n/secrets?dryRun=All",
        "verb": "create",
        "user": {"username": "ann", "groups": ["g"], "uid": "u1", "extra": {"k": ["v"]}},
        "impersonatedUser": {"username": "bob", "groups": ["h"]},
        "sourceIPs": ["10.0.0.9"],
        "userAgent": "kubectl/v1.35",
        "objectRef": {"resource": "secrets", "namespace": "n", "name": "s", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": 201},
        "annotations": {"authorization.k8s.io/decision": "allow"},
    }


def test_nothing_secret_and_nothing_unbounded_gets_in() -> None:
    found: list[dict[str, Any]] = []
    made = trail(found, query=b"x=" + b"y" * 9000, agent="\x1b[31mevil\n" + "z" * 9000)
    made.told(audit.RESPONSE_COMPLETE, 403, "Forbidden", "m" * 9000)
    line = audit.encode(found[0])
    assert line.count(b"\n") == 1
    assert b"sesame" not in line
    event = json.loads(line)
    assert len(line) < 5000
    assert event["userAgent"].isprintable()
    assert event["responseStatus"]["reason"] == "Forbidden"


def test_of_a_set_each_object_is_told() -> None:
    found: list[dict[str, Any]] = []
    made = trail(found)
    made.wanted = Attributes(verb="apply", path="/tsujiban/v1/apply")
    made.object_told(Attributes(verb="patch", group="apps", resource="deployments", name="d"), "configured")
    made.told(audit.RESPONSE_COMPLETE, 200)
    assert found[0]["objectRef"] == {"resource": "deployments", "name": "d", "apiGroup": "apps"}
    assert (found[0]["verb"], found[0]["auditID"]) == ("patch", found[1]["auditID"])
    assert "objectRef" not in found[1]
    assert found[1]["verb"] == "apply"


def test_who_is_not_authenticated_has_no_name() -> None:
    found: list[dict[str, Any]] = []
    audit.Trail(connection(), found.append).told(audit.RESPONSE_COMPLETE, 401, "Unauthorized")
    assert found[0]["user"] == {}
    assert found[0]["verb"] == "post"
