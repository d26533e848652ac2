from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from tests.support.apibed import ApiBed

from tsujiban.controller.api import health
from tsujiban.store.protocol import StoreUnavailable

pytestmark = pytest.mark.anyio


async def good() -> bool:
    return True


async def bad() -> bool:
    return False


async def broken() -> bool:
    raise StoreUnavailable("a secret address does not answer")


async def stuck() -> bool:
    await asyncio.Event().wait()
    return True


def client(**checks: health.Check) -> httpx.AsyncClient:
    app = Starlette(routes=[Route("/readyz", health.Checks("/readyz", checks).answer)])
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


async def test_all_is_well() -> None:
    async with client(a=good, b=good) as asked:
        assert (await asked.get("/readyz")).text == "ok"
        verbose = await asked.get("/readyz?verbose")
        assert (verbose.status_code, verbose.text) == (200, "[+]a ok\n[+]b ok\nreadyz check passed\n")


@pytest.mark.parametrize("check", [bad, broken, stuck])
async def test_what_fails_is_told_and_why_is_not(
    check: health.Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.05)
    async with client(a=good, b=check) as asked:
        failed = await asked.get("/readyz")
        told = "[+]a ok\n[-]b failed: reason withheld\nreadyz check failed\n"
        assert (failed.status_code, failed.text) == (500, told)
        assert (await asked.get("/readyz?exclude=b")).text == "ok"
        excluded = await asked.get("/readyz?verbose&exclude=b&exclude=c")
        assert excluded.text.splitlines()[1:3] == [
            "[+]b excluded: ok",
            'warn: some health checks cannot be excluded: no matches for "c"',
        ]


async def test_every_path_and_each_of_its_checks(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    await bed.caught_up()
    async with bed.client() as nobody:
        for path, checks in (
            ("/livez", ["ping", "etcd"]),
            ("/readyz", ["ping", "etcd", "informer-sync"]),
            ("/healthz", ["ping", "etcd"]),
        ):
            verbose = (await nobody.get(f"{path}?verbose")).text.splitlines()
            assert verbose == [*(f"[+]{name} ok" for name in checks), f"{path[1:]} check passed"]
            for name in checks:
                assert (await admin.get(f"{path}/{name}")).text == "ok"
                assert (await nobody.get(f"{path}/{name}")).status_code == 401
            assert (await admin.get(f"{path}/other")).json()["reason"] == "NotFound"


async def test_a_store_that_does_not_answer(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    await bed.store.close()
    failed = await admin.get("/readyz")
    assert failed.status_code == 500
    assert "[-]etcd failed: reason withheld" in failed.text
    one = await admin.get("/readyz/etcd")
    assert (one.status_code, one.text) == (500, "internal server error: etcd failed")
    assert (await admin.get("/readyz/ping")).text == "ok"
