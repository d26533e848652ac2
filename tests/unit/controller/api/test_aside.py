from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx
import pytest
from tests.support.wait import PATIENCE

from tsujiban.controller.api import bodies, managed
from tsujiban.controller.api.aside import LARGE, worked

pytestmark = pytest.mark.anyio

MAPS = "/api/v1/namespaces/default/configmaps"


async def test_only_what_is_large_changes_the_thread() -> None:
    assert await worked(LARGE - 1, threading.current_thread) is threading.current_thread()
    assert await worked(LARGE, threading.current_thread) is not threading.current_thread()
    with pytest.raises(ValueError, match="invalid literal"):
        await worked(LARGE, int, "x")


async def test_a_large_body_is_read_there_too(
    admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A megabyte of YAML, or of protobuf's messages of nothing, took seconds to be read."""
    threads = []
    original = bodies.parse_yaml

    def noted(body: bytes) -> Any:
        threads.append(threading.current_thread())
        return original(body)

    monkeypatch.setattr(bodies, "parse_yaml", noted)
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: " + "x" * LARGE + "}\n"
    for kind in ("yaml", "apply-patch+yaml"):
        headers = {"content-type": f"application/{kind}"}
        method, path = ("POST", MAPS) if kind == "yaml" else ("PATCH", f"{MAPS}/b?fieldManager=m")
        body = text.replace("name: a", "name: b" if method == "PATCH" else "name: a")
        answer = await admin.request(method, path, content=body, headers=headers)
        assert answer.status_code == 201, answer.text
    assert len(threads) == 2
    assert threading.main_thread() not in threads


@pytest.mark.parametrize("how", ["create", "apply", "change"])
async def test_the_others_are_answered_while_a_large_object_is_worked_on(
    admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """An apply of one object of sixty thousand fields was ten seconds in which nothing else was done."""
    begun, go = threading.Event(), threading.Event()

    def held(name: str) -> None:
        original = getattr(managed, name)

        def work(*args: Any, **kwargs: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():
                begun.set()
                go.wait(PATIENCE)
            return original(*args, **kwargs)

        monkeypatch.setattr(managed, name, work)

    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "x" * LARGE}}
    if how == "change":
        assert (await admin.post(MAPS, json=body)).status_code == 201
    held("applied" if how == "apply" else "updated")
    headers = {"content-type": f"application/{'apply-patch+yaml' if how == 'apply' else 'merge-patch+json'}"}
    writing = asyncio.ensure_future(
        admin.post(MAPS, json=body)
        if how == "create"
        else admin.patch(f"{MAPS}/a?fieldManager=m", json=body, headers=headers)
    )
    async with asyncio.timeout(PATIENCE):
        while not begun.is_set():
            assert (await admin.get(MAPS)).status_code == 200
    assert not writing.done()
    go.set()
    assert (await writing).status_code in (200, 201)
