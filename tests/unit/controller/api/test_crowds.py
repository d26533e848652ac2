from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from tests.support.apibed import ApiBed
from tests.support.wait import PATIENCE

from tsujiban.controller.api import crowds
from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.crowds import Crowds
from tsujiban.controller.api.errors import ApiError
from tsujiban.controller.api.users import User

pytestmark = pytest.mark.anyio

PODS = "/api/v1/namespaces/default/pods"
WATCH = f"{PODS}?watch=1"


async def test_a_storm_of_watches_is_told_to_come_back(bed: ApiBed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowds, "MAX_WATCHES", 2)
    for name in ("ann", "bob"):
        await bed.grant(name, role="view", namespace="default")
    ann, bob, admin = bed.user("ann", "staff"), bed.user("bob", "staff"), bed.user()
    async with bed.client(ann) as client, bed.client(bob) as other, bed.client(admin) as exempt:
        async with client.stream("GET", WATCH) as first, client.stream("GET", WATCH) as second:
            assert first.status_code == second.status_code == 200
            refused = await client.get(WATCH)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
            assert refused.json()["reason"] == "TooManyRequests"
            assert (await client.get(PODS)).status_code == 200  # a list is no watch
            assert (await other.get(f"{WATCH}&timeoutSeconds=1")).status_code == 200
            answers = await asyncio.gather(*(exempt.get(f"{WATCH}&timeoutSeconds=1") for _ in range(3)))
            assert [answer.status_code for answer in answers] == [200, 200, 200]
        async with asyncio.timeout(PATIENCE):  # until the server has seen them go
            while True:
                answer = await client.get(f"{WATCH}&timeoutSeconds=1")
                if answer.status_code == 200:
                    break
                await asyncio.sleep(0.01)


async def test_a_watch_that_is_refused_does_not_count(bed: ApiBed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowds, "MAX_WATCHES", 1)
    await bed.grant("ann", role="view", namespace="default")
    async with bed.client(bed.user("ann", "staff")) as client:
        for _ in range(3):
            assert (await client.get(f"{WATCH}&labelSelector=%21%21")).status_code == 400
            answer = await client.get(f"{WATCH}&timeoutSeconds=1")
            assert isinstance(answer, httpx.Response)
            assert answer.status_code == 200


def wanted(**changes: Any) -> Attributes:
    return Attributes(**({"verb": "get", "resource": "pods", "name": "p"} | changes))


def test_watches_and_sessions_are_counted_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowds, "MAX_WATCHES", 1)
    monkeypatch.setattr(crowds, "MAX_SESSIONS", 2)
    found, ann = Crowds(), User("ann")
    watch, log, command = wanted(verb="watch"), wanted(subresource="log"), wanted(subresource="exec")
    ends = [found.enter(ann, one) for one in (watch, log, command)]
    for one in (watch, log, command, wanted(subresource="portforward"), wanted(subresource="attach")):
        with pytest.raises(ApiError, match="open; end some") as caught:
            found.enter(ann, one)
        assert caught.value.code == 429
    found.enter(User("bob"), log)
    found.enter(User("root", ("system:masters",)), watch)
    assert found.open == {"watches": 2, "sessions": 3}
    ends[1]()
    found.enter(ann, command)
    for _ in range(9):
        found.enter(ann, wanted())()
    assert found.open == {"watches": 2, "sessions": 3}


async def test_flows_that_are_followed_count_as_watches(bed: ApiBed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowds, "MAX_WATCHES", 1)
    path = "/tsujiban/v1/flows"
    await bed.grant("ann", {"nonResourceURLs": [path], "verbs": ["get"]})
    async with bed.client(bed.user("ann", "staff")) as client:
        async with client.stream("GET", f"{path}?follow=1") as first:
            assert first.status_code == 200
            assert (await client.get(f"{path}?follow=1")).status_code == 429
            assert (await client.get(path)).status_code == 200  # what there is, is no watch
        assert (await client.get(f"{path}?follow=maybe")).status_code == 400
