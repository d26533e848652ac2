from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from tsujiban.local.client import CONNECT_SECONDS, ApiError, Client, resource_path
from tsujiban.local.kubeconfig import Access
from tsujiban.local.unreachable import Unreachable
from tsujiban.resources.registry import resolve

ACCESS = Access("https://127.0.0.1:1", Path("ca"), Path("cert"), Path("key"))


@pytest.mark.parametrize(
    ("word", "namespace", "name", "path"),
    [
        ("pods", None, "", "/api/v1/pods"),
        ("pods", "shop", "", "/api/v1/namespaces/shop/pods"),
        ("pods", "shop", "web", "/api/v1/namespaces/shop/pods/web"),
        ("namespaces", "shop", "shop", "/api/v1/namespaces/shop"),
        ("deployments", "shop", "web", "/apis/apps/v1/namespaces/shop/deployments/web"),
        ("gnp", None, "all", "/apis/projectcalico.org/v3/globalnetworkpolicies/all"),
    ],
)
def test_paths_are_those_of_kubernetes(word: str, namespace: str | None, name: str, path: str) -> None:
    assert resource_path(resolve(word), namespace, name) == path


def _client(answer: httpx.Response, seen: list[httpx.Request] | None = None) -> Client:
    def handle(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(request)
        return answer

    return Client(ACCESS, httpx.MockTransport(handle))


def test_items_of_a_list_know_their_kind() -> None:
    client = _client(httpx.Response(200, json={"items": [{"metadata": {"name": "a"}}]}))
    assert client.list(resolve("pods"))["items"][0]["kind"] == "Pod"


def test_apply_sends_all_objects_at_once() -> None:
    seen: list[httpx.Request] = []
    _client(httpx.Response(200, json={}), seen).apply([{"kind": "Pod"}], dry_run=True)
    assert seen[0].url.path == "/tsujiban/v1/apply"
    assert json.loads(seen[0].content) == {"objects": [{"kind": "Pod"}], "dryRun": True}


def test_watch_asks_from_where_it_is_told() -> None:
    seen: list[httpx.Request] = []
    answer = httpx.Response(200, text='{"type": "ADDED"}\n\n{"type": "DELETED"}\n')
    events = list(_client(answer, seen).watch(resolve("pods"), "shop", since="7"))
    assert [event["type"] for event in events] == ["ADDED", "DELETED"]
    assert dict(seen[0].url.params) == {"watch": "1", "resourceVersion": "7"}


def test_a_refusal_carries_the_status() -> None:
    with pytest.raises(ApiError, match="not so") as caught:
        _client(httpx.Response(422, json={"message": "not so", "details": {"x": 1}})).status()
    assert caught.value.http == 422
    assert caught.value.status["details"] == {"x": 1}


def test_a_refusal_of_a_stream_is_a_refusal() -> None:
    with pytest.raises(ApiError, match="gone"):
        list(_client(httpx.Response(410, json={"message": "gone"})).flows())


def test_a_refusal_that_is_not_json_is_told() -> None:
    with pytest.raises(ApiError, match="Bad Gateway"):
        _client(httpx.Response(502, text="Bad Gateway")).status()


def test_exists() -> None:
    assert _client(httpx.Response(200, json={})).exists(resolve("pods"), "a", "b")
    assert not _client(httpx.Response(404, json={})).exists(resolve("pods"), "a", "b")
    with pytest.raises(ApiError):
        _client(httpx.Response(403, json={})).exists(resolve("pods"), "a", "b")


def test_nobody_answers() -> None:
    def handle(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(Unreachable, match="refused") as caught:
        Client(ACCESS, httpx.MockTransport(handle)).status()
    assert "tsujiban up" in caught.value.hint


def test_a_certificate_that_cannot_be_read() -> None:
    with pytest.raises(Unreachable, match="client certificate"):
        Client(ACCESS)


def test_who_knows_more_of_a_silent_server_is_asked() -> None:
    def refuse(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    for known, said in ((Unreachable("its controller ended"), "its controller ended"), (None, "refused")):
        with Client(ACCESS, httpx.MockTransport(refuse), lambda known=known: known) as client:  # type: ignore[misc]  # the loop's own
            for ask in (client.status, lambda client=client: list(client.flows())):
                with pytest.raises(Unreachable, match=said):
                    ask()


def test_a_server_without_a_processor_is_waited_for_whatever_is_asked() -> None:
    waits: list[float] = []

    def handle(request: httpx.Request) -> httpx.Response:
        waits.append(request.extensions["timeout"]["connect"])
        return httpx.Response(200, json={})

    with Client(ACCESS, httpx.MockTransport(handle)) as client:
        client.status()
        list(client.flows())
    assert waits == [CONNECT_SECONDS] * 2
    assert CONNECT_SECONDS >= 15
