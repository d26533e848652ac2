from __future__ import annotations

import pytest

from tsujiban.controller.api import errors
from tsujiban.controller.serviceclaims import Taken
from tsujiban.resources.findings import Finding
from tsujiban.store import protocol
from tsujiban.store.protocol import Key

KEY = Key("apps", "deployments", "n", "a")


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (protocol.NotFound(KEY), 404, "NotFound"),
        (protocol.AlreadyExists(KEY), 409, "AlreadyExists"),
        (protocol.Conflict(KEY, 1, 2), 409, "Conflict"),
        (protocol.Compacted(1, 2), 410, "Expired"),
        (protocol.InvalidValue("x"), 400, "BadRequest"),
        (protocol.InvalidTransaction("x"), 413, "RequestEntityTooLarge"),
        (protocol.StoreUnavailable("x"), 503, "ServiceUnavailable"),
        (Taken(KEY, "10.96.0.7", "spec.clusterIPs", KEY), 422, "Invalid"),
    ],
)
def test_every_failure_of_the_store_has_its_status(
    error: protocol.StoreError, code: int, reason: str
) -> None:
    status = errors.from_store(error).status()
    assert (status["code"], status["reason"], status["status"]) == (code, reason, "Failure")
    assert status["message"]


def test_messages_are_kubernetes_own() -> None:
    assert errors.not_found(KEY).message == 'deployments.apps "a" not found'
    assert errors.not_found(KEY).details == {"name": "a", "kind": "deployments", "group": "apps"}


def test_invalid_lists_every_cause() -> None:
    findings = [
        Finding(code="x", message="is wrong", field="spec.a", hint="do this"),
        Finding(code="y", message="is worse"),
    ]
    refused = errors.invalid("Tier", "g", "t", findings)
    assert refused.message == 'Tier "t" is invalid: spec.a: is wrong (do this), is worse'
    assert len(refused.details["causes"]) == 2


def test_nothing_at_a_path_has_details_all_the_same() -> None:
    """`kubectl debug` reads the details of every 404."""
    assert errors.path_not_found().status()["details"] == {}
    assert "details" not in errors.unauthorized().status()
