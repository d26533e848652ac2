"""Whatever is sent, the server answers with JSON, below 500, and stores only what it can read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tsujiban.controller import bootstrap
from tsujiban.controller.api.app import create_app
from tsujiban.controller.api.users import User
from tsujiban.flows.ring import FlowRing
from tsujiban.resources import load
from tsujiban.resources.registry import KINDS
from tsujiban.store.sqlite import SqliteStore
from tsujiban.wire.join import JoinRequest, JoinResponse

MEDIA = [
    "application/json",
    "application/merge-patch+json",
    "application/json-patch+json",
    "application/strategic-merge-patch+json",
    "text/plain",
]
WRITTEN = [
    *MEDIA,
    "application/yaml",
    "application/apply-patch+yaml",
    "application/vnd.kubernetes.protobuf",
    "application/cbor",
]
TEXTS = st.sampled_from(
    [
        b"{",
        b"a: &a [*a]",
        b"a: &a 1\nb: *a",
        b"- - - -",
        b"k8s\x00",
        b"k8s\x00\x0a\xff\xff\xff",
        b"\xff\xfe",
        b"---\n---",
        b"!!python/x y",
    ]
)


class NoJoin:
    bundle_pem = ""

    async def join(self, request: JoinRequest) -> JoinResponse:
        raise AssertionError(request)


class Server:
    """The application in this process, with one event loop for all examples."""

    def __init__(self, runner: asyncio.Runner, store: SqliteStore) -> None:
        self.runner = runner
        self.store = store
        app = create_app(
            store,
            trust_domain="cluster.local",
            join=NoJoin(),
            status=self._status,
            flows=FlowRing(),
            tokens=self._review,
        )
        # an exception that the application does not answer itself fails the test
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        headers = {"authorization": "Bearer x"}
        self.client = httpx.AsyncClient(transport=transport, base_url="https://t", headers=headers)

    def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        return self.runner.run(self.client.request(method, path, **arguments))

    async def _status(self) -> dict[str, str]:
        return {}

    async def _review(self, token: str) -> User | None:
        return User("fuzz", ("system:masters",))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path: Path = tmp_path_factory.mktemp("fuzz") / "state" / "store.db"
    with asyncio.Runner() as runner:
        store = runner.run(SqliteStore.open(path))
        runner.run(bootstrap.ensure(store, bootstrap.initial_objects("10.244.0.0/16", 26)))
        yield Server(runner, store)
        runner.run(store.close())


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
WORDS = st.sampled_from(
    [
        "metadata",
        "spec",
        "status",
        "name",
        "namespace",
        "labels",
        "annotations",
        "finalizers",
        "ports",
        "op",
        "path",
        "containers",
        "$patch",
        "resourceVersion",
        "uid",
        "selector",
        "tier",
        "objects",
        "items",
        "value",
        "from",
    ]
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=6), inner, max_size=5)
    ),
    max_leaves=20,
)
METADATA = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "b", "A", "", "a/b"]) | SCALARS},
    optional={"namespace": SCALARS, "labels": JSON, "annotations": JSON, "finalizers": JSON, "uid": SCALARS},
)
OBJECTS = st.builds(
    lambda kind, metadata, rest: {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": metadata,
        **rest,
    },
    st.sampled_from(KINDS),
    METADATA | JSON,
    st.fixed_dictionaries({}, optional={"spec": JSON, "status": JSON, "data": JSON}),
)
BODIES = (OBJECTS | JSON).map(lambda found: json.dumps(found).encode()) | st.binary(max_size=40)
PATHS = st.builds(
    lambda kind, name, sub: (
        (f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.api_version}")
        + ("/namespaces/default" if kind.namespaced else "")
        + f"/{kind.plural}{name}{sub}"
    ),
    st.sampled_from(KINDS),
    st.sampled_from(["", "/a", "/b", "/default"]),
    st.sampled_from(["", "", "/status", "/log", "/x"]),
)


def check(answer: httpx.Response) -> None:
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        status = answer.json()
        assert (status["kind"], status["code"]) == ("Status", answer.status_code)
        assert status["message"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["POST", "PUT", "PATCH", "DELETE"]),
    path=PATHS,
    body=BODIES | TEXTS,
    media=st.sampled_from(WRITTEN),
)
def test_any_body_on_any_path(server: Server, method: str, path: str, body: bytes, media: str) -> None:
    query = {"fieldManager": "fuzz"} if media == "application/apply-patch+yaml" else {}
    check(server.request(method, path, content=body, headers={"content-type": media}, params=query))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(objects=st.lists(OBJECTS | JSON, max_size=4), dry_run=st.booleans())
def test_any_set_is_applied_whole_or_refused(server: Server, objects: list[Any], dry_run: bool) -> None:
    before = server.runner.run(server.store.revision())
    answer = server.request(
        "POST", "/tsujiban/v1/apply", content=json.dumps({"objects": objects, "dryRun": dry_run}).encode()
    )
    check(answer)
    if answer.status_code >= 400 or dry_run:
        assert server.runner.run(server.store.revision()) == before


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=PATHS | st.text(alphabet="/abc.%2f:\\", max_size=20).map(lambda text: "/x" + text),
    name=st.sampled_from(
        ["labelSelector", "fieldSelector", "limit", "continue", "resourceVersion", "includeObject"]
    ),
    value=st.text(max_size=20) | st.sampled_from(["a=b", "a in (b,c)", "0", "9999999999", "metadata.name=a"]),
    accept=st.sampled_from(["*/*", "application/json;as=Table;v=v1;g=meta.k8s.io", ";=,"]),
)
def test_any_query(server: Server, path: str, name: str, value: str, accept: str) -> None:
    answer = server.request("GET", path, params={name: value}, headers={"accept": accept})
    if answer.status_code == 504:  # the one that a question can earn: a state that is not there yet
        assert name == "resourceVersion"
        assert answer.json()["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
    else:
        check(answer)


POINTERS = st.sampled_from(
    ["", "/data", "/data/k", "/metadata", "/metadata/labels", "/metadata/finalizers/-", "/x/0"]
)
OPERATIONS = st.lists(
    st.fixed_dictionaries(
        {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]), "path": POINTERS},
        optional={"from": POINTERS, "value": JSON},
    ),
    max_size=4,
)
FIELDS = st.dictionaries(st.sampled_from(["a", "b"]), st.text(max_size=3) | st.none(), max_size=2)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "data": FIELDS | JSON,
        "metadata": st.fixed_dictionaries(
            {}, optional={"labels": FIELDS | JSON, "finalizers": JSON, "resourceVersion": SCALARS}
        ),
        "x": JSON,
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(media=st.sampled_from(MEDIA[:4]), operations=OPERATIONS, changes=CHANGES)
def test_any_patch_of_what_is_there(server: Server, media: str, operations: Any, changes: Any) -> None:
    server.request("POST", "/api/v1/namespaces/default/configmaps", json={"metadata": {"name": "seed"}})
    body = operations if media == "application/json-patch+json" else changes
    path = "/api/v1/namespaces/default/configmaps/seed"
    check(server.request("PATCH", path, content=json.dumps(body), headers={"content-type": media}))


def test_what_got_in_can_be_read(server: Server) -> None:
    """Runs last: the store holds what the tests above managed to write."""
    for kind in KINDS:
        for item in server.runner.run(server.store.list(kind.group, kind.plural)).items:
            assert load.check(json.loads(item.value)).ok, item
