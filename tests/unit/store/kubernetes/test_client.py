from __future__ import annotations

import pytest

from tsujiban.store.kubernetes import client
from tsujiban.store.kubernetes.client import Refused
from tsujiban.store.protocol import (
    AlreadyExists,
    Compacted,
    Conflict,
    InvalidValue,
    Key,
    NotFound,
    StoreUnavailable,
)

POD = Key("", "pods", "d", "a")


def test_paths_of_objects() -> None:
    assert client.item(POD) == "/api/v1/namespaces/d/pods/a"
    assert client.item(Key("", "nodes", "", "n")) == "/api/v1/nodes/n"
    tier = Key("projectcalico.org", "tiers", "", "t")
    assert client.item(tier) == "/apis/projectcalico.org/v3/tiers/t"
    deployments = client.kind_of("apps", "deployments")
    assert client.collection(deployments, None) == "/apis/apps/v1/deployments"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../../nodes/n"])
def test_a_name_that_would_lead_elsewhere(name: str) -> None:
    for key in (Key("", "pods", "d", name), Key("", "pods", f"x/{name}", "a")):
        with pytest.raises(InvalidValue):
            client.item(key)


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (404, "NotFound", NotFound),
        (409, "AlreadyExists", AlreadyExists),
        (409, "Conflict", Conflict),
        (410, "Expired", Compacted),
        (400, "BadRequest", InvalidValue),
        (413, "RequestEntityTooLarge", InvalidValue),
        (422, "Invalid", InvalidValue),
        (401, "Unauthorized", StoreUnavailable),
        (403, "Forbidden", StoreUnavailable),
        (500, "", StoreUnavailable),
    ],
)
def test_every_refusal_has_its_meaning(code: int, reason: str, kind: type[Exception]) -> None:
    error = Refused(code, {"message": "why", "reason": reason})
    assert type(client.explained(error, POD, 7)) is kind


@pytest.mark.parametrize("document", [{}, {"metadata": 1}, {"metadata": {"resourceVersion": "x"}}])
def test_an_object_without_a_revision_is_not_believed(document: dict[str, object]) -> None:
    with pytest.raises(StoreUnavailable):
        client.revision_of(document)
