from __future__ import annotations

import pytest

from tsujiban.controller.api.errors import ApiError
from tsujiban.controller.api.target import Target, name_problem, parse, split
from tsujiban.resources.registry import resolve
from tsujiban.store.protocol import Key


def at(path: str) -> Target:
    return parse(split(path.encode()))


@pytest.mark.parametrize(
    ("path", "key", "subresource"),
    [
        ("/api/v1/pods", Key("", "pods", "", ""), ""),
        ("/api/v1/namespaces", Key("", "namespaces", "", ""), ""),
        ("/api/v1/namespaces/default", Key("", "namespaces", "", "default"), ""),
        ("/api/v1/namespaces/default/status", Key("", "namespaces", "", "default"), "status"),
        ("/api/v1/namespaces/default/pods", Key("", "pods", "default", ""), ""),
        ("/api/v1/namespaces/default/pods/a", Key("", "pods", "default", "a"), ""),
        ("/api/v1/namespaces/default/pods/a/log", Key("", "pods", "default", "a"), "log"),
        ("/apis/apps/v1/deployments", Key("apps", "deployments", "", ""), ""),
        (
            "/apis/projectcalico.org/v3/globalnetworkpolicies/x",
            Key("projectcalico.org", "globalnetworkpolicies", "", "x"),
            "",
        ),
        ("/apis/crd.projectcalico.org/v1/tiers/x", Key("projectcalico.org", "tiers", "", "x"), ""),
    ],
)
def test_paths(path: str, key: Key, subresource: str) -> None:
    found = at(path)
    assert (found.key, found.subresource) == (key, subresource)


def test_a_kind_keeps_the_version_that_was_asked_for() -> None:
    found = at("/apis/crd.projectcalico.org/v1/tiers")
    assert found.api_version == "crd.projectcalico.org/v1"
    assert found.kind.api_version == "projectcalico.org/v3"


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/v1",
        "/api/v2/pods",
        "/apis/apps/v1/pods",
        "/api/v1/pods/a",  # namespaced, without namespace
        "/api/v1/namespaces/default/nodes",  # not namespaced
        "/api/v1/namespaces/UPPER/pods",
        "/api/v1/namespaces/default/pods/a/log/more",
        "/api/v1/namespaces/default//a",
        "/api/v1/namespaces/../pods",
        "/api/v1/namespaces/default/pods/%2e%2e",
        "/api/v1/namespaces/default/pods/a%2Fb",
        "/api/v1/namespaces/default/pods/a%00",
        "/api/v1/namespaces/default/pods/%0a",
        "/api/v1/namespaces/default/pods/%ff",
        "/api/v1/namespaces/default/pods/a%20b",
        "/api/v1/namespaces/default/pods/-a",
        "/api/v1/namespaces/default/pods/" + "a" * 254,
    ],
)
def test_path_tricks_are_refused(path: str) -> None:
    with pytest.raises(ApiError) as refused:
        at(path)
    assert refused.value.code in (400, 404)


def test_names_of_new_objects() -> None:
    assert name_problem(resolve("pods"), "a.b-c1") == ""
    assert name_problem(resolve("pods"), "A") != ""
    assert name_problem(resolve("pods"), "a..b") != ""
    assert name_problem(resolve("pods"), "") != ""
    assert name_problem(resolve("namespaces"), "a.b") != ""
    assert name_problem(resolve("namespaces"), "a" * 64) != ""
    assert name_problem(resolve("pods"), "a\n") != ""


def test_qualified() -> None:
    assert at("/api/v1/pods").qualified == "pods"
    assert at("/apis/apps/v1/deployments").qualified == "deployments.apps"
