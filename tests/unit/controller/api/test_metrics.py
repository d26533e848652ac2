from __future__ import annotations

import httpx
import pytest
from tests.support.apibed import ApiBed

pytestmark = pytest.mark.anyio


async def test_who_waits_and_how_full_it_is(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    await bed.grant("ann", role="view", namespace="default")
    async with bed.client(bed.user("ann", "staff")) as ann:
        pods = "/api/v1/namespaces/default/pods"
        assert (await ann.get(pods)).status_code == 200
        assert (await ann.get("/metrics")).status_code == 403
        async with ann.stream("GET", f"{pods}?watch=1"):
            answer = await admin.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    expected = {
        'apiserver_flowcontrol_current_executing_requests{priority_level="workload"}': "0",
        'apiserver_flowcontrol_current_executing_seats{priority_level="node-high"}': "0",
        'apiserver_flowcontrol_current_inqueue_requests{priority_level="leader-election"}': "0",
        'apiserver_flowcontrol_dispatched_requests_total{priority_level="workload"}': "2",
        'apiserver_longrunning_requests{kind="watches"}': "1",
        'apiserver_longrunning_requests{kind="sessions"}': "0",
        'tsujiban_api_connections{proven="false"}': "0",
    }
    assert {name: found[name] for name in expected} == expected
    assert int(found['tsujiban_api_connections{proven="true"}']) >= 2
    titles = [line.split()[2] for line in answer.text.splitlines() if line.startswith("# TYPE")]
    assert {name.partition("{")[0] for name in found} <= set(titles)
