from __future__ import annotations

import asyncio
import json
import time

import httpx
import pytest
from tests.support.apibed import TRUST_DOMAIN, ApiBed
from tests.support.wait import PATIENCE

from tsujiban.identity.keys import create_spiffe_csr, new_key
from tsujiban.identity.tokens import new_token
from tsujiban.wire.join import BUNDLE_PATH, JOIN_PATH
from tsujiban.wire.messages import Flow

pytestmark = pytest.mark.anyio


def flow(rule: str = "default/p/ingress/0", verdict: str = "deny") -> Flow:
    return Flow(
        time_ns=1,
        node="n",
        post="kernel",
        direction="ingress",
        endpoint="default/web",
        verdict=verdict,
        rule=rule,
        source="10.0.0.1",
        source_port=1,
        destination="10.0.0.2",
        destination_port=2,
        protocol=6,
    )


async def test_status(admin: httpx.AsyncClient) -> None:
    assert (await admin.get("/tsujiban/v1/status")).json()["components"][0]["name"] == "store"


async def test_flows_are_filtered_lines(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    bed.flows.extend([flow(), flow(verdict="allow"), flow()])
    lines = [
        json.loads(line) for line in (await admin.get("/tsujiban/v1/flows?verdict=deny")).text.splitlines()
    ]
    assert [line["sequence"] for line in lines] == [1, 3]
    assert lines[0]["rule"] == "default/p/ingress/0"
    late = (await admin.get("/tsujiban/v1/flows", params={"since": "2"})).text
    assert [json.loads(line)["sequence"] for line in late.splitlines()] == [3]
    newest = (await admin.get("/tsujiban/v1/flows", params={"limit": "1"})).text
    assert [json.loads(line)["sequence"] for line in newest.splitlines()] == [3]


async def test_flows_can_be_followed(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    bed.flows.extend([flow()])
    async with admin.stream("GET", "/tsujiban/v1/flows?follow=1") as answer:
        lines = answer.aiter_lines()
        async with asyncio.timeout(PATIENCE):
            assert json.loads(await anext(lines))["sequence"] == 1
            bed.flows.extend([flow(), flow()])
            assert [json.loads(await anext(lines))["sequence"] for _ in range(2)] == [2, 3]


async def test_join_and_bundle_need_no_certificate(bed: ApiBed) -> None:
    token, record = new_token("n1", time.time())
    await bed.tokens.add(record)
    csr = create_spiffe_csr(new_key(), f"spiffe://{TRUST_DOMAIN}/node/n1")
    body = {"token": token, "csr_pem": csr, "node": "n1"}
    async with bed.client() as machine:
        assert (await machine.get(BUNDLE_PATH)).text == bed.ca.bundle_pem
        joined = await machine.post(JOIN_PATH, json=body)
        assert joined.status_code == 200
        assert joined.json()["trust_domain"] == TRUST_DOMAIN
        again = await machine.post(JOIN_PATH, json=body)
        assert (again.status_code, again.json()["reason"]) == (403, "Forbidden")
        assert (await machine.post(JOIN_PATH, json={"token": token})).status_code == 400
        assert (await machine.post(JOIN_PATH, content=b"x" * 70_000)).status_code == 413
        assert (await machine.get(JOIN_PATH)).status_code == 401
