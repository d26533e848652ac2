from __future__ import annotations

from pathlib import Path

import httpx

from tsujiban.local.client import Client
from tsujiban.local.kubeconfig import Access
from tsujiban.local.live import fetch

ACCESS = Access("https://127.0.0.1:1", Path("ca"), Path("cert"), Path("key"))


def test_only_what_policy_looks_at_is_fetched_and_kinds_not_served_are_passed_over() -> None:
    seen: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.path)
        if request.url.path == "/api/v1/namespaces":
            return httpx.Response(200, json={"items": [{"metadata": {"name": "shop"}}]})
        return httpx.Response(404, json={})

    found = fetch(Client(ACCESS, httpx.MockTransport(handle)))
    assert [one.title for one in found] == ["Namespace shop"]
    assert "/apis/projectcalico.org/v3/globalnetworkpolicies" in seen
    assert not any("secrets" in path for path in seen)
