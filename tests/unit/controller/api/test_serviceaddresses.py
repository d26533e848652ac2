"""Nobody draws another's traffic to themselves by claiming its address."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from tests.support.apibed import ApiBed

from tsujiban.controller.api.serviceaddresses import ServiceAddresses
from tsujiban.store.protocol import Key

pytestmark = pytest.mark.anyio

SERVICES = "/api/v1/namespaces/default/services"


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


def node_port(number: int) -> dict[str, Any]:
    return {"type": "NodePort", "ports": [{"port": 80, "nodePort": number}]}


async def asked(client: httpx.AsyncClient, **spec: Any) -> tuple[int, str]:
    answer = await client.post(SERVICES, json=service("mine", **spec), params={"dryRun": "All"})
    return answer.status_code, str(answer.json().get("message", ""))


@pytest.fixture
async def victim(admin: httpx.AsyncClient) -> None:
    made = await admin.post(
        SERVICES,
        json=service(
            "victim",
            type="NodePort",
            clusterIP="10.96.0.20",
            externalIPs=["192.0.2.1"],
            ports=[{"port": 80, "nodePort": 30080}],
        ),
    )
    assert made.status_code == 201, made.text


@pytest.mark.usefixtures("victim")
@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"clusterIP": "10.96.0.20"}, "already allocated"),
        ({"clusterIPs": ["10.96.0.30", "10.96.0.20"], "clusterIP": "10.96.0.30"}, "already allocated"),
        ({"externalIPs": ["10.96.0.20"]}, "already allocated"),
        ({"externalIPs": ["192.0.2.1"]}, "already allocated"),
        ({"externalIPs": ["10.96.0.40"]}, "service network"),
        ({"clusterIP": "10.96.0.1"}, "already allocated"),  # the API's
        ({"clusterIP": "10.96.0.10"}, "already allocated"),  # that of names
        ({"clusterIP": "8.8.8.8"}, "valid range"),
        ({"clusterIP": "127.0.0.1"}, "valid range"),
        ({"clusterIP": "fd00::1"}, "valid range"),
        ({"externalIPs": ["10.244.3.7"]}, "pods' network"),
        ({"externalIPs": ["172.16.0.1"]}, "address of a node"),
        ({"externalIPs": ["127.0.0.1"]}, "loopback"),
        ({"externalIPs": ["fe80::1"]}, "link-local"),
        (
            node_port(30080),
            "spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated",
        ),
        (node_port(80), "30000-32767"),
    ],
)
async def test_what_is_somebodys_is_refused_to_everybody(
    admin: httpx.AsyncClient, spec: dict[str, Any], why: str
) -> None:
    node = {"metadata": {"name": "n1"}}
    assert (await admin.post("/api/v1/nodes", json=node)).status_code == 201
    status = {**node, "status": {"addresses": [{"type": "InternalIP", "address": "172.16.0.1"}]}}
    assert (await admin.put("/api/v1/nodes/n1/status", json=status)).status_code == 200
    code, message = await asked(admin, **spec)
    assert code == 422
    assert why in message


@pytest.mark.usefixtures("victim")
async def test_a_service_keeps_its_own(admin: httpx.AsyncClient) -> None:
    there = (await admin.get(f"{SERVICES}/victim")).json()
    there["metadata"]["labels"] = {"a": "b"}
    assert (await admin.put(f"{SERVICES}/victim", json=there)).status_code == 200
    assert await asked(admin, clusterIP="None") == (201, "")
    assert await asked(admin, clusterIP="10.96.0.21") == (201, "")
    assert await asked(admin, **node_port(30081)) == (201, "")
    headers = {"content-type": "application/merge-patch+json"}
    taken = {"spec": {"externalIPs": ["10.96.0.1"]}}
    assert (await admin.patch(f"{SERVICES}/victim", json=taken, headers=headers)).status_code == 422


async def test_an_external_address_takes_a_right_of_its_own(bed: ApiBed) -> None:
    """CVE-2020-8554: who may make a service had whatever the cluster sends to an address outside."""
    await bed.grant("eve", role="edit", namespace="default")
    await bed.grant("ann", role="edit", namespace="default")
    rule = {"apiGroups": [""], "resources": ["services/externalips"], "verbs": ["update"]}
    await bed.grant("ann", rule, namespace="default")
    async with bed.client(bed.user("eve", "staff")) as eve, bed.client(bed.user("ann", "staff")) as ann:
        code, message = await asked(eve, externalIPs=["198.51.100.7"])
        assert (code, "services/externalips" in message) == (403, True)
        assert (await asked(ann, externalIPs=["198.51.100.7"]))[0] == 201
        assert (await asked(eve))[0] == 201


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"clusterIP": "10.96.0.20"}, "10.96.0.20: provided IP is already allocated"),
        (node_port(30080), "30080: provided port is already allocated"),
    ],
)
async def test_of_two_that_ask_at_the_same_moment_one_gets_it(
    admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, spec: dict[str, Any], why: str
) -> None:
    both = asyncio.Barrier(2)
    look = ServiceAddresses._taken

    async def looked(self: ServiceAddresses, own: Key) -> frozenset[str]:
        """Nobody writes before both have looked."""
        found = await look(self, own)
        await both.wait()
        return found

    monkeypatch.setattr(ServiceAddresses, "_taken", looked)
    answers = await asyncio.gather(
        *(admin.post(SERVICES, json=service(name, **spec)) for name in ("one", "two"))
    )
    assert sorted(answer.status_code for answer in answers) == [201, 422]
    (refused,) = (answer.json() for answer in answers if answer.status_code == 422)
    assert why in refused["message"]
    assert len((await admin.get(SERVICES)).json()["items"]) == 1


async def test_of_one_set_only_one_gets_it(admin: httpx.AsyncClient) -> None:
    objects = [
        {"apiVersion": "v1", "kind": "Service", **service(name, clusterIP="10.96.0.20")}
        for name in ("one", "two")
    ]
    answer = await admin.post("/tsujiban/v1/apply", json={"objects": objects})
    assert (answer.status_code, "already allocated" in answer.text) == (422, True)
    assert (await admin.get(SERVICES)).json()["items"] == []
