"""Get, list, tables and watch, through the whole server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from tests.support.apibed import ApiBed
from tests.support.wait import PATIENCE

from tsujiban.controller.api import query
from tsujiban.store.protocol import Key

pytestmark = pytest.mark.anyio

MAPS = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


async def make(admin: httpx.AsyncClient, name: str, **labels: str) -> dict[str, Any]:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}}
    answer = await admin.post(MAPS, json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def names(listing: dict[str, Any]) -> list[str]:
    return [item["metadata"]["name"] for item in listing["items"]]


async def test_list(admin: httpx.AsyncClient) -> None:
    for name in ("b", "a"):
        await make(admin, name)
    listing = (await admin.get(MAPS)).json()
    assert (listing["kind"], listing["apiVersion"]) == ("ConfigMapList", "v1")
    assert names(listing) == ["a", "b"]
    assert int(listing["metadata"]["resourceVersion"]) >= 2
    assert names((await admin.get("/api/v1/configmaps")).json()) == ["a", "b"]
    assert names((await admin.get("/api/v1/namespaces/kube-system/configmaps")).json()) == []


async def test_selectors(admin: httpx.AsyncClient) -> None:
    await make(admin, "a", app="web")
    await make(admin, "b", app="db")
    assert names((await admin.get(f"{MAPS}?labelSelector=app%3Dweb")).json()) == ["a"]
    assert names((await admin.get(f"{MAPS}?fieldSelector=metadata.name%3Db")).json()) == ["b"]
    assert (await admin.get(f"{MAPS}?labelSelector=a%3D%3D%3D")).status_code == 400


async def test_pages(admin: httpx.AsyncClient) -> None:
    for name in "abcde":
        await make(admin, name)
    found: list[str] = []
    token = ""
    while True:
        page = (await admin.get(MAPS, params={"limit": "2", "continue": token})).json()
        found += names(page)
        await make(admin, f"{found[-1]}-late")
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert found == ["a", "b", "c", "d", "e"]
    assert (await admin.get(MAPS, params={"continue": "zz"})).status_code == 410


async def test_a_list_does_not_go_on_from_another_namespace(admin: httpx.AsyncClient) -> None:
    """A continue token says where to go on, and who asks writes it: on etcd, one that began in
    an earlier namespace got all that lies between, and needed rights in the last one only."""
    for namespace, code in (("", 410), ("a", 410), ("z", 410), ("default", 200)):
        token = query.token(0, Key("", "configmaps", namespace, "a"))
        answer = await admin.get(MAPS, params={"continue": token})
        assert answer.status_code == code
    everywhere = await admin.get("/api/v1/configmaps", params={"continue": token})
    assert everywhere.status_code == 200
    assert (await admin.get(MAPS, params={"limit": "-1"})).status_code == 400


async def test_tables(admin: httpx.AsyncClient) -> None:
    await make(admin, "a")
    table = (await admin.get(MAPS, headers={"accept": TABLE})).json()
    assert table["kind"] == "Table"
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert table["rows"][0]["cells"][:2] == ["a", 0]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    one = (await admin.get(f"{MAPS}/a?includeObject=Object", headers={"accept": TABLE})).json()
    assert one["rows"][0]["object"]["kind"] == "ConfigMap"


# ---------------------------------------------------------------- watch


@asynccontextmanager
async def watching(
    admin: httpx.AsyncClient, **parameters: str
) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    async with admin.stream("GET", MAPS, params={"watch": "true", **parameters}) as answer:
        assert answer.status_code == 200

        async def events() -> AsyncIterator[dict[str, Any]]:
            async for line in answer.aiter_lines():
                yield json.loads(line)

        yield events()


async def take(events: AsyncIterator[dict[str, Any]], count: int) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    async with asyncio.timeout(PATIENCE):
        while len(found) < count:
            event = await anext(events)
            found.append((event["type"], event["object"]["metadata"].get("name", "")))
    return found


async def test_watch_from_a_list(admin: httpx.AsyncClient) -> None:
    await make(admin, "before")
    since = (await admin.get(MAPS)).json()["metadata"]["resourceVersion"]
    async with watching(admin, resourceVersion=since) as events:
        await make(admin, "a")
        await admin.put(f"{MAPS}/a", json={"metadata": {"name": "a"}, "data": {"k": "v"}})
        await admin.delete(f"{MAPS}/a")
        assert await take(events, 3) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


async def test_watch_without_version_begins_with_what_is_there(admin: httpx.AsyncClient) -> None:
    await make(admin, "a")
    async with watching(admin) as events:
        await make(admin, "b")
        assert await take(events, 2) == [("ADDED", "a"), ("ADDED", "b")]


async def test_watch_is_of_one_namespace(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    async with watching(admin, resourceVersion=str(await bed.store.revision())) as events:
        other = {"metadata": {"name": "other"}}
        await admin.post("/api/v1/namespaces/kube-system/configmaps", json=other)
        await make(admin, "a")
        assert await take(events, 1) == [("ADDED", "a")]


async def test_an_object_that_enters_or_leaves_the_selection(admin: httpx.AsyncClient) -> None:
    since = (await make(admin, "a"))["metadata"]["resourceVersion"]

    async def label(value: str) -> None:
        body = {"metadata": {"name": "a", "labels": {"app": value}}}
        assert (await admin.put(f"{MAPS}/a", json=body)).status_code == 200

    async with watching(admin, resourceVersion=since, labelSelector="app=web") as events:
        await label("db")
        await label("web")
        await admin.put(f"{MAPS}/a", json={"metadata": {"name": "a", "labels": {"app": "web", "x": "y"}}})
        await label("db")
        await admin.delete(f"{MAPS}/a")
        await make(admin, "b", app="web")
        expected = [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a"), ("ADDED", "b")]
        assert await take(events, 4) == expected


async def test_a_forgotten_version_is_gone(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    for name in "abc":
        await make(admin, name)
    await bed.store.compact(await bed.store.revision() - 1)
    answer = await admin.get(MAPS, params={"watch": "1", "resourceVersion": "1"})
    event = answer.json()
    assert (answer.status_code, event["type"]) == (200, "ERROR")
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    exact = {"resourceVersion": "1", "resourceVersionMatch": "Exact"}
    assert (await admin.get(MAPS, params=exact)).json()["reason"] == "Expired"
    assert (await admin.get(MAPS, params={"watch": "1", "resourceVersion": "x"})).status_code == 400


async def test_initial_events_and_bookmark(admin: httpx.AsyncClient) -> None:
    await make(admin, "a")
    parameters = {"sendInitialEvents": "true", "allowWatchBookmarks": "true"}
    parameters |= {"resourceVersion": "0", "resourceVersionMatch": "NotOlderThan"}
    async with watching(admin, **parameters) as events:
        async with asyncio.timeout(PATIENCE):
            first, second = await anext(events), await anext(events)
    assert first["type"] == "ADDED"
    assert second["type"] == "BOOKMARK"
    assert second["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_watch_ends_at_its_time(admin: httpx.AsyncClient) -> None:
    async with asyncio.timeout(PATIENCE):
        async with watching(admin, timeoutSeconds="1") as events:
            assert await anext(events, None) is None


async def test_a_watch_as_table_has_titles_once(admin: httpx.AsyncClient) -> None:
    await make(admin, "a")
    await make(admin, "b")
    async with admin.stream("GET", MAPS, params={"watch": "1"}, headers={"accept": TABLE}) as answer:
        lines = answer.aiter_lines()
        async with asyncio.timeout(PATIENCE):
            first, second = json.loads(await anext(lines)), json.loads(await anext(lines))
    assert first["object"]["columnDefinitions"]
    assert not second["object"]["columnDefinitions"]
    assert second["object"]["rows"][0]["cells"][0] == "b"


async def test_many_watchers_see_one_change(admin: httpx.AsyncClient) -> None:
    since = (await make(admin, "a"))["metadata"]["resourceVersion"]

    async def follow() -> list[tuple[str, str]]:
        async with watching(admin, resourceVersion=since) as events:
            started.release()
            return await take(events, 1)

    started = asyncio.Semaphore(0)
    tasks = [asyncio.create_task(follow()) for _ in range(30)]
    for _ in tasks:
        await started.acquire()
    await make(admin, "b")
    assert await asyncio.gather(*tasks) == [[("ADDED", "b")]] * 30


async def test_a_page_whose_snapshot_is_forgotten(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    for name in "abc":
        await make(admin, name)
    token = (await admin.get(MAPS, params={"limit": "1"})).json()["metadata"]["continue"]
    await make(admin, "bb")
    await make(admin, "d")
    await bed.store.compact(await bed.store.revision())
    gone = await admin.get(MAPS, params={"limit": "1", "continue": token})
    assert (gone.status_code, gone.json()["reason"]) == (410, "Expired")
    rest = await admin.get(MAPS, params={"continue": gone.json()["metadata"]["continue"]})
    assert names(rest.json()) == ["b", "bb", "c", "d"]


async def test_a_state_of_before_and_one_to_come(admin: httpx.AsyncClient) -> None:
    version = (await make(admin, "a"))["metadata"]["resourceVersion"]
    await make(admin, "b")
    exact = {"resourceVersion": version, "resourceVersionMatch": "Exact"}
    assert names((await admin.get(MAPS, params=exact)).json()) == ["a"]
    newer = {"resourceVersion": version, "resourceVersionMatch": "NotOlderThan"}
    assert names((await admin.get(MAPS, params=newer)).json()) == ["a", "b"]
    for match in ("Exact", "NotOlderThan"):
        answer = await admin.get(MAPS, params={"resourceVersion": "99999", "resourceVersionMatch": match})
        assert (answer.status_code, answer.json()["reason"]) == (504, "Timeout")


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"resourceVersionMatch": "Exact"}, 422),
        ({"resourceVersionMatch": "Exact", "resourceVersion": "0"}, 422),
        ({"resourceVersionMatch": "Nearly", "resourceVersion": "1"}, 422),
        ({"continue": "00", "resourceVersion": "1"}, 400),
        ({"watch": "1", "sendInitialEvents": "true"}, 422),
        ({"watch": "1", "resourceVersionMatch": "NotOlderThan", "resourceVersion": "0"}, 422),
        ({"fieldSelector": "data.a=b"}, 400),
        ({"fieldSelector": "spec.nodeName=n"}, 400),
        ({"watch": "1", "fieldSelector": "data.a=b"}, 400),
    ],
)
async def test_words_that_do_not_go_together(
    admin: httpx.AsyncClient, parameters: dict[str, str], code: int
) -> None:
    assert (await admin.get(MAPS, params=parameters)).status_code == code


async def test_metadata_alone(admin: httpx.AsyncClient) -> None:
    await make(admin, "a", app="web")
    accept = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1"
    listing = (await admin.get(MAPS, headers={"accept": accept.format("List")})).json()
    assert listing["kind"] == "PartialObjectMetadataList"
    (item,) = listing["items"]
    assert item["metadata"]["labels"] == {"app": "web"}
    assert item.keys() == {"kind", "apiVersion", "metadata"}
    one = (await admin.get(f"{MAPS}/a", headers={"accept": accept.format("")})).json()
    assert (one["kind"], one["apiVersion"]) == ("PartialObjectMetadata", "meta.k8s.io/v1")
    parameters = {"watch": "1", "timeoutSeconds": "1"}
    watched = await admin.get(MAPS, params=parameters, headers={"accept": accept.format("")})
    assert json.loads(watched.text.splitlines()[0])["object"]["kind"] == "PartialObjectMetadata"


async def test_a_big_answer_is_compressed_for_who_wants_that(admin: httpx.AsyncClient) -> None:
    for name in ("a", "b"):
        body = {"metadata": {"name": name}, "data": {"k": "x" * 100_000}}
        assert (await admin.post(MAPS, json=body)).status_code == 201
    big = await admin.get(MAPS, headers={"accept-encoding": "gzip"})
    assert big.headers["content-encoding"] == "gzip"
    assert int(big.headers["content-length"]) < 10_000
    assert names(big.json()) == ["a", "b"]
    for accepted in ("identity", "gzip;q=0"):
        plain = await admin.get(MAPS, headers={"accept-encoding": accepted})
        assert "content-encoding" not in plain.headers


async def test_a_change_can_bring_an_object_into_a_watch_and_out_of_it(admin: httpx.AsyncClient) -> None:
    made = await make(admin, "a", app="web")
    merge = {"content-type": "application/merge-patch+json"}
    version = made["metadata"]["resourceVersion"]
    async with watching(admin, labelSelector="app=db", resourceVersion=version) as events:
        for app in ("db", "db2", "db", "db"):
            body = {"metadata": {"labels": {"app": app, "n": str(id(app))}}, "data": {}}
            await admin.patch(f"{MAPS}/a", json=body, headers=merge)
        async with asyncio.timeout(PATIENCE):
            seen = [(await anext(events))["type"] for _ in range(3)]
    assert seen == ["ADDED", "DELETED", "ADDED"]


# ---------------------------------------------------------------- versions with other words


async def test_an_event_is_one_object_in_two_versions(admin: httpx.AsyncClient) -> None:
    core, other = (f"{root}/namespaces/default/events" for root in ("/api/v1", "/apis/events.k8s.io/v1"))
    body = {
        "metadata": {"name": "e"},
        "regarding": {"kind": "Pod", "name": "p"},
        "note": "it began",
        "reason": "Started",
        "reportingController": "test",
        "type": "Normal",
    }
    made = await admin.post(other, json=body)
    assert made.status_code == 201, made.text
    assert (made.json()["apiVersion"], made.json()["note"]) == ("events.k8s.io/v1", "it began")
    found = (await admin.get(f"{core}/e")).json()
    assert (found["apiVersion"], found["message"], found["involvedObject"]["name"]) == ("v1", "it began", "p")
    assert "note" not in found
    patch = {"content": b'{"note": "it runs"}', "headers": {"content-type": "application/merge-patch+json"}}
    assert (await admin.patch(f"{other}/e", **patch)).json()["note"] == "it runs"  # type: ignore[arg-type]
    assert (await admin.get(f"{core}/e")).json()["message"] == "it runs"
    for root in (core, other):
        chosen = (await admin.get(root, params={"fieldSelector": "involvedObject.name=p"})).json()
        assert names(chosen) == ["e"]
        assert names((await admin.get(root, params={"fieldSelector": "involvedObject.name=q"})).json()) == []
        table = (await admin.get(root, headers={"accept": TABLE})).json()
        titles = [column["name"] for column in table["columnDefinitions"] if not column["priority"]]
        assert titles == ["Last Seen", "Type", "Reason", "Object", "Message"]
        seen = table["rows"][0]["cells"]
        assert [*seen[1:4], seen[6]] == ["Normal", "Started", "pod/p", "it runs"]
        watched = await admin.get(
            root, params={"watch": "1", "timeoutSeconds": "1", "fieldSelector": "reason=Started"}
        )
        assert json.loads(watched.text.splitlines()[0])["object"]["apiVersion"] == chosen["apiVersion"]
    replaced = {**made.json(), "note": "it ended"}
    replaced["metadata"].pop("resourceVersion")
    assert (await admin.put(f"{other}/e", json=replaced)).status_code == 200
    assert (await admin.get(f"{core}/e")).json()["message"] == "it ended"
