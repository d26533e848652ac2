from __future__ import annotations

import pytest
from starlette.responses import PlainTextResponse, Response

from tsujiban.controller.api import discovery
from tsujiban.controller.api.dispatch import CONNECT, Call, Subresource, Table, Virtual
from tsujiban.controller.api.errors import ApiError
from tsujiban.controller.api.target import parse
from tsujiban.resources.registry import Kind

REVIEW = Kind("core", "PodReview", "podreviews", ("review.test/v1",), namespaced=False)


async def answer(call: Call) -> Response:
    return PlainTextResponse(call.verb)


def table() -> Table:
    made = Table()
    made.add(
        Subresource(
            group="", plural="pods", name="exec", verbs=CONNECT, handler=answer, kind="PodExecOptions"
        ),
        Subresource(
            group="apps",
            plural="deployments",
            name="scale",
            verbs={"GET": "get", "PUT": "update"},
            handler=answer,
            kind="Scale",
            api_version="autoscaling/v1",
        ),
        Virtual(kind=REVIEW, handler=answer),
    )
    return made


def pod(subresource: str, made: Table, method: str) -> tuple[str, object] | None:
    path = ["api", "v1", "namespaces", "default", "pods", "web", *([subresource] if subresource else [])]
    return made.find(parse(path, made.kind), method)


def test_stored_objects_are_not_here() -> None:
    assert pod("", table(), "GET") is None


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_connecting_is_creating_however_it_is_asked(method: str) -> None:
    assert pod("exec", table(), method) == ("create", answer)


def test_status_is_of_every_kind_that_has_one() -> None:
    found = pod("status", table(), "PATCH")
    assert found is not None
    assert found[0] == "patch"
    with pytest.raises(ApiError) as refused:
        pod("status", table(), "DELETE")
    assert refused.value.code == 405


@pytest.mark.parametrize("name", ["nope", "scale", "Exec", "status "])
def test_unknown_subresources_are_not_found(name: str) -> None:
    with pytest.raises(ApiError) as refused:
        pod(name, table(), "GET")
    assert refused.value.code == 404


def test_virtual_kinds_can_be_created_and_nothing_else() -> None:
    made = table()
    path = ["apis", "review.test", "v1", "podreviews"]
    assert made.find(parse(path, made.kind), "POST") == ("create", answer)
    with pytest.raises(ApiError) as refused:
        made.find(parse(path, made.kind), "GET")
    assert refused.value.code == 405
    with pytest.raises(ApiError) as unknown:
        made.find(parse([*path, "one"], made.kind), "POST")
    assert unknown.value.code == 404
    with pytest.raises(ApiError):
        parse(path)


def test_discovery_says_what_the_table_says() -> None:
    made = table()
    pods = {entry["name"]: entry for entry in discovery.resources("", "v1", made)["resources"]}
    assert pods["pods/exec"]["verbs"] == ["create"]
    assert pods["pods/exec"]["kind"] == "PodExecOptions"
    apps = {entry["name"]: entry for entry in discovery.resources("apps", "v1", made)["resources"]}
    scale = apps["deployments/scale"]
    assert (scale["kind"], scale["group"], scale["version"]) == ("Scale", "autoscaling", "v1")
    (review,) = discovery.resources("review.test", "v1", made)["resources"]
    assert review["verbs"] == ["create"]
    assert "review.test" in {group["name"] for group in discovery.groups(made)["groups"]}
