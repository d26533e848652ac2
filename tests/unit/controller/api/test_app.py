"""The server as a whole, over real TLS."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from tests.support.apibed import TOKEN, ApiBed, Credentials, api_bed
from tests.support.wait import PATIENCE, until

from tsujiban.identity.ca import CertificateAuthority
from tsujiban.identity.keys import create_csr, key_to_pem, new_key
from tsujiban.resources import revoked

CONFIGS = "/api/v1/namespaces/kube-system/configmaps"

pytestmark = pytest.mark.anyio


async def test_health_needs_no_credentials(bed: ApiBed) -> None:
    await bed.caught_up()
    async with bed.client() as nobody:
        for path in ("/healthz", "/livez", "/readyz"):
            assert (await nobody.get(path)).text == "ok"


@pytest.mark.parametrize(
    "path", ["/version", "/api", "/apis", "/api/v1/pods", "/tsujiban/v1/status", "/tsujiban/v1/flows", "/x"]
)
async def test_anonymous_is_refused(bed: ApiBed, path: str) -> None:
    async with bed.client() as nobody:
        answer = await nobody.get(path)
    assert answer.status_code == 401
    assert answer.json()["reason"] == "Unauthorized"


async def test_a_token_is_as_good_as_a_certificate(bed: ApiBed) -> None:
    async with bed.client(None, authorization=f"Bearer {TOKEN}") as robot:
        assert (await robot.get("/api/v1/namespaces")).status_code == 200
    async with bed.client(None, authorization="Bearer guess") as stranger:
        assert (await stranger.get("/api/v1/namespaces")).status_code == 401


async def test_a_workload_certificate_is_no_user(bed: ApiBed) -> None:
    async with bed.client(bed.workload("web")) as workload:
        assert (await workload.get("/api/v1/namespaces")).status_code == 401


async def test_a_node_sees_itself_and_nothing_else(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    for name in ("n1", "n2"):
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
        assert (await admin.post("/api/v1/nodes", json=node)).status_code == 201
    async with bed.client(bed.node("n1")) as node1:
        assert (await node1.get("/api/v1/nodes/n1")).status_code == 200
        for path in ("/api/v1/nodes/n2", "/api/v1/nodes", "/api/v1/secrets", "/tsujiban/v1/flows"):
            assert (await node1.get(path)).status_code == 403, path
        assert (await node1.delete("/api/v1/nodes/n1")).status_code == 403


async def test_a_user_without_rights_may_only_discover(bed: ApiBed) -> None:
    async with bed.client(bed.user("eve", "guests")) as eve:
        for path in ("/api", "/apis/apps/v1", "/version", "/version/", "/openapi/v2"):
            assert (await eve.get(path)).status_code == 200, path
        answer = await eve.get("/api/v1/namespaces/default/secrets")
        assert answer.status_code == 403
        assert answer.json()["message"] == (
            'secrets is forbidden: User "eve" cannot list resource "secrets" in API group ""'
            ' in the namespace "default"'
        )


async def test_a_host_header_does_not_choose_the_path_that_is_authorized(bed: ApiBed) -> None:
    """Eve may read /version. She asks for the flows of everybody, and writes a Host header that turns the
    URL, put together from both, into one of /version."""
    async with bed.client(bed.user("eve", "guests")) as eve:
        for host in ("x/version?", "x/version#", "x/api/v1"):
            answer = await eve.get("/tsujiban/v1/flows", headers={"host": host})
            assert answer.status_code == 403, host


@pytest.mark.parametrize(
    "path",
    [
        "//api/v1/namespaces/default/secrets",
        "/api//v1/namespaces/default/secrets",
        "/api/v1/namespaces/default/secrets/",
        "/api/v1/namespaces/default/secrets//",
        "/api/v1/namespaces/default/./secrets",
        "/api/v1/namespaces/other/../default/secrets",
        "/version/../api/v1/namespaces/default/secrets",
        "/api/v1/namespaces/default/%73ecrets",
        "/api/v1/namespaces/default%2Fsecrets",
        "/api/v1/namespaces/default/secrets%2Fhidden",
        "/api/v1/namespaces/default/secrets/hidden%00",
        "/api/v1/namespaces/default/SECRETS",
        "/API/v1/namespaces/default/secrets",
        "/api/v1/namespaces/default/secrets?/version",
        "/api/v1/namespaces/default/secrets;/version",
        "/api/v1/secrets?fieldSelector=metadata.name%3Dversion",
        "/api/v1/watch/namespaces/default/secrets",
        "/healthz/../api/v1/namespaces/default/secrets",
        "//tsujiban/v1/flows",
        "/tsujiban/v1/flows/",
        "/tsujiban/v1/%66lows",
    ],
)
async def test_odd_paths_open_nothing(bed: ApiBed, admin: httpx.AsyncClient, path: str) -> None:
    """Eve, who may discover, writes the path of a secret in every way she can think of."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hidden"}, "data": {"k": "aGk="}}
    await admin.post("/api/v1/namespaces/default/secrets", json=secret)
    user = bed.user("eve", "guests")
    reader, writer = await asyncio.open_connection("127.0.0.1", bed.port, ssl=bed.tls(user))
    writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    await writer.drain()
    answer = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    status = int(answer.split()[1])
    assert status in (400, 403, 404, 301, 307), answer[:200]
    assert b"aGk=" not in answer


async def test_a_certificate_of_another_authority_does_not_get_through_tls(
    bed: ApiBed, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("other")
    other = CertificateAuthority.create(directory / "ca", "cluster.local")
    key = new_key()
    forged = Credentials(directory, "x", other.sign_admin(create_csr(key, []), "admin"), key_to_pem(key))
    async with bed.client(forged) as mallory:
        with pytest.raises((httpx.TransportError, ssl.SSLError)):  # the latter when the alert comes through
            await mallory.get("/api/v1/secrets")


async def test_old_tls_is_refused(bed: ApiBed) -> None:
    context = bed.tls(bed.user())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        await asyncio.open_connection("127.0.0.1", bed.port, ssl=context)


async def test_unknown_paths_and_methods_are_status_objects(admin: httpx.AsyncClient) -> None:
    for path in (
        "/",
        "/x",
        "/api/v2",
        "/apis/nope",
        "/api/v1/nopes",
        "/api/v1/namespaces/default/pods/a/b/c",
    ):
        answer = await admin.get(path)
        assert (answer.status_code, answer.json()["kind"]) == (404, "Status"), path
    answer = await admin.put("/api/v1/pods", json={})
    assert (answer.status_code, answer.json()["reason"]) == (405, "MethodNotAllowed")


async def test_bodies_are_bounded(admin: httpx.AsyncClient) -> None:
    big = b'{"x":"' + b"y" * 1_600_000 + b'"}'
    headers = {"content-type": "application/json"}
    path = "/api/v1/namespaces/default/configmaps"
    assert (await admin.post(path, content=big, headers=headers)).status_code == 413

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"y" * 50_000

    assert (await admin.post(path, content=chunks(), headers=headers)).status_code == 413


async def test_headers_are_bounded(bed: ApiBed) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", bed.port, ssl=bed.tls(bed.user()))
    writer.write(b"GET /version HTTP/1.1\r\nhost: x\r\nx-long: " + b"a" * 70_000)
    await writer.drain()
    assert b" 431 " in await asyncio.wait_for(reader.readline(), PATIENCE)
    writer.close()


async def test_small_answers_do_not_wait_for_acknowledgements(admin: httpx.AsyncClient) -> None:
    clock = asyncio.get_running_loop().time
    took = [1.0]
    while min(took) > 0.035 and len(took) < 100:  # a delayed acknowledgement takes 40 ms, each time
        started = clock()
        await admin.get("/api/v1/namespaces/default")
        took.append(clock() - started)
    assert min(took) < 0.035


async def test_everything_is_in_the_audit_log(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s"},
        "stringData": {"k": "hidden"},
    }
    async with bed.client() as nobody:
        await nobody.get("/api/v1/namespaces")
        await nobody.get("/healthz")
    answers = [
        await admin.post("/api/v1/namespaces", json=namespace),
        await admin.get("/api/v1/namespaces"),
        await admin.delete("/api/v1/namespaces/none"),
        await admin.post("/tsujiban/v1/apply", json={"objects": [secret]}),
    ]
    told = [
        (
            event["user"].get("username"),
            event["verb"],
            event.get("objectRef", {}).get("name"),
            event["responseStatus"]["code"],
        )
        for event in bed.audit
    ]
    assert told == [
        (None, "get", None, 401),
        ("admin", "create", "n", 201),
        ("admin", "list", None, 200),
        ("admin", "delete", "none", 404),
        ("admin", "create", "s", 200),
        ("admin", "apply", None, 200),
    ]
    ids = [
        event["auditID"]
        for event in bed.audit[1:]
        if event.get("annotations", {}).get("tsujiban.io/apply") is None
    ]
    assert [answer.headers["audit-id"] for answer in answers] == ids
    assert "hidden" not in repr(bed.audit)


async def test_a_cancelled_server_ends_its_watches(tmp_path: Path) -> None:
    clock = asyncio.get_running_loop().time
    async with (
        api_bed(tmp_path / "bed") as bed,
        bed.client(bed.user()) as client,
        client.stream("GET", "/api/v1/pods?watch=1") as answer,
    ):
        assert answer.status_code == 200
        ending = clock()
    assert clock() - ending < 10


async def test_a_revoked_user_is_cut_off_in_the_middle_of_a_watch(
    bed: ApiBed, admin: httpx.AsyncClient
) -> None:
    """And no other user is."""
    lost = bed.user("lost")
    leaf = x509.load_pem_x509_certificates(lost.certificate.read_bytes())[0]
    head = {"name": "tsujiban-revoked", "namespace": "kube-system"}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": head}
    entries = {"revoked": f"serial:{leaf.serial_number:x}"}
    made = await admin.post(CONFIGS, json=config)
    assert made.status_code == 201
    refused = await admin.put(f"{CONFIGS}/tsujiban-revoked", json={**config, "data": {"revoked": "nonsense"}})
    assert refused.status_code == 422
    assert "line 1: 'nonsense'" in refused.text
    async with bed.client(lost) as client:
        async with (
            client.stream("GET", "/api/v1/pods?watch=1") as watch,
            admin.stream("GET", "/api/v1/pods?watch=1") as other,
        ):
            listed = await admin.put(f"{CONFIGS}/tsujiban-revoked", json={**config, "data": entries})
            assert listed.status_code == 200
            with pytest.raises(httpx.HTTPError):
                await anext(watch.aiter_bytes())
            assert other.status_code == 200
        assert (await client.get("/api/v1/pods")).status_code == 401
        assert (await admin.get("/api/v1/pods")).status_code == 200
        assert (await admin.delete(f"{CONFIGS}/tsujiban-revoked")).status_code == 200
        await until(lambda: bed.revocations.listed == revoked.Listed())
        assert (await client.get("/api/v1/pods")).status_code == 200


async def test_that_there_are_no_custom_resources_is_told_to_everybody_who_is_known(bed: ApiBed) -> None:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    async with bed.client(bed.user("nobody-much", "nobodies")) as somebody, bed.client() as nobody:
        answer = await somebody.get(path)
        assert (answer.status_code, answer.json()["items"]) == (200, [])
        assert (await somebody.get(path, params={"watch": "true"})).status_code == 404
        assert (await somebody.post(path, json={})).status_code in (403, 405)
        assert (await somebody.get(f"{path}/x")).status_code == 404
        assert (await nobody.get(path)).status_code == 401
