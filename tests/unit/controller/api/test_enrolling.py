"""Another controller is made by an administrator's token over the API, and by nothing and nobody else."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from structlog.testing import capture_logs
from tests.support.apibed import TOKEN, TRUST_DOMAIN, ApiBed, api_bed

from tsujiban.controller import enrol as module
from tsujiban.controller.api import enrolling
from tsujiban.controller.api.users import MASTERS
from tsujiban.controller.config import ControllerConfig
from tsujiban.controller.enrol import CONFIG, enrol, read_ticket
from tsujiban.controller.enrolment import ENROL_PATH, TOKENS_PATH, Ticket, TokenMade
from tsujiban.identity.ca import CertificateAuthority
from tsujiban.identity.files import write_private
from tsujiban.identity.sealing import public_bytes
from tsujiban.identity.tokens import new_token
from tsujiban.store.config import EtcdConfig
from tsujiban.wire.pinned import ControllerUnreachable, JoinError

pytestmark = pytest.mark.anyio


async def made(admin: httpx.AsyncClient, seconds: int = 60) -> TokenMade:
    answer = await admin.post(TOKENS_PATH, json={"seconds": seconds})
    assert answer.status_code == 200
    return msgspec.convert(answer.json(), TokenMade)


async def ticket(bed: ApiBed, admin: httpx.AsyncClient, **changes: Any) -> Ticket:
    got = await made(admin)
    found = Ticket(server=bed.url, controller_token=got.token, ca_sha256=got.ca_sha256, expires=got.expires)
    return msgspec.structs.replace(found, **changes)


def asking(token: str) -> dict[str, str]:
    request = {"token": token, "receiver": public_bytes(X25519PrivateKey.generate())}
    found: dict[str, str] = msgspec.to_builtins(request)
    return found


def audited(bed: ApiBed, subresource: str = "") -> list[dict[str, Any]]:
    """Of the right to make controllers: what the audit log has."""
    events = [event for event in bed.audit if event.get("objectRef", {}).get("resource") == "controllers"]
    return [event for event in events if event["objectRef"].get("subresource", "") == subresource]


async def test_a_machine_becomes_a_controller(bed: ApiBed, admin: httpx.AsyncClient, tmp_path: Path) -> None:
    state = tmp_path / "new" / "state"
    config = await enrol(
        await ticket(bed, admin), state, {"api_names": ["192.0.2.1"]}, {"ca_file": "/etcd.pem"}
    )
    assert [path.name for path in sorted((tmp_path / "new").iterdir())] == ["state"]
    modes = {str(path.relative_to(state)): path.stat().st_mode & 0o777 for path in state.rglob("*")}
    assert modes == {"ca": 0o700, "ca/root.pem": 0o600, "ca/intermediate.pem": 0o600, CONFIG: 0o600}
    assert state.stat().st_mode & 0o777 == 0o700
    ours = CertificateAuthority.load(state / "ca", TRUST_DOMAIN)
    assert ours.with_keys() == bed.ca.with_keys()
    assert config == msgspec.json.decode((state / CONFIG).read_bytes(), type=ControllerConfig)
    assert (config.cluster, config.state_dir, config.api_names) == ("bed", str(state), ("192.0.2.1",))
    assert config.store == EtcdConfig(endpoints=("https://etcd:2379",), ca_file="/etcd.pem")
    (token,) = audited(bed, "token")
    (event,) = audited(bed)
    assert (token["user"]["username"], token["verb"], token["responseStatus"]["code"]) == (
        "admin",
        "enrol",
        200,
    )
    assert (event["user"], event["verb"], event["responseStatus"]["code"]) == ({}, "enrol", 200)
    assert event["annotations"]["tsujiban.io/invited-by"] == "admin"


@pytest.mark.parametrize("who", ["edit", "admin", "view", "apply"])
async def test_no_right_below_the_whole_clusters_makes_a_token(bed: ApiBed, who: str) -> None:
    rules: list[dict[str, Any]] = []
    if who == "apply":  # every path, and everything that is made, but not the verb
        rules = [
            {"nonResourceURLs": ["*"], "verbs": ["*"]},
            {"apiGroups": ["*"], "resources": ["*"], "verbs": ["create", "update", "get", "list", "delete"]},
        ]
    await bed.grant("somebody", *rules, role="" if rules else who)
    async with bed.client(bed.user("somebody", "people")) as client:
        answer = await client.post(TOKENS_PATH, json={})
    assert (answer.status_code, answer.json()["reason"]) == (403, "Forbidden")
    assert (
        'cannot enrol resource "controllers/token" in API group "internal.tsujiban.io"'
        in answer.json()["message"]
    )
    assert [event["responseStatus"]["code"] for event in audited(bed, "token")] == [403]


async def test_the_right_can_be_given(bed: ApiBed) -> None:
    rule = {"apiGroups": ["internal.tsujiban.io"], "resources": ["controllers/token"], "verbs": ["enrol"]}
    await bed.grant("somebody", rule)
    async with bed.client(bed.user("somebody", "people")) as client:
        await made(client)


async def test_a_node_a_workload_and_nobody_make_no_token(bed: ApiBed) -> None:
    for who, code in ((bed.node("n1"), 403), (bed.workload("web"), 401), (None, 401)):
        async with bed.client(who) as client:
            assert (await client.post(TOKENS_PATH, json={})).status_code == code
            assert (await client.get(TOKENS_PATH)).status_code in (401, 403, 404)


async def test_rights_alone_make_no_token(bed: ApiBed) -> None:
    """An administrator's bearer token may be a pod's; in another's name anybody's rights can be used."""
    async with bed.client(None, authorization=f"Bearer {TOKEN}") as client:
        assert (await client.get("/api/v1/namespaces")).status_code == 200
        for method in ("POST", "DELETE"):
            answer = await client.request(method, TOKENS_PATH, json={})
            assert (answer.status_code, "client certificate" in answer.text) == (403, True)
    async with bed.client(
        bed.user(), **{"impersonate-user": "admin", "impersonate-group": MASTERS}
    ) as client:
        assert (await client.post(TOKENS_PATH, json={})).status_code == 403


async def test_tokens_that_wait_can_be_withdrawn(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    tokens = [(await made(admin)).token for _ in range(2)]
    (first, second) = [event["annotations"]["tsujiban.io/token"] for event in audited(bed, "token")]
    assert [token.partition(".")[0] for token in tokens] == [first, second]
    async with bed.client(bed.user("eve", "people")) as client:
        assert (await client.delete(TOKENS_PATH)).status_code == 403
    assert (await admin.delete(TOKENS_PATH)).json() == {"withdrawn": 2}
    async with bed.client() as machine:
        for token in tokens:
            assert (await machine.post(ENROL_PATH, json=asking(token))).status_code == 403
    assert (await admin.delete(TOKENS_PATH)).json() == {"withdrawn": 0}


async def test_strangers_are_heard_a_few_at_a_time(
    bed: ApiBed, admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = (await made(admin)).token
    monkeypatch.setattr(enrolling, "MOST_AT_ONCE", 0)
    async with bed.client() as machine:
        assert (await machine.post(ENROL_PATH, json=asking(token))).status_code == 429
        monkeypatch.setattr(enrolling, "MOST_AT_ONCE", 1)
        assert (await machine.post(ENROL_PATH, json=asking("a.b"))).status_code == 403
        assert (await machine.post(ENROL_PATH, json=asking(token))).status_code == 200


async def test_who_has_an_identity_of_the_cluster_enrols_nothing(
    bed: ApiBed, admin: httpx.AsyncClient
) -> None:
    """Not even with a good token, which stays good: a node, a pod by its certificate or token, a user."""
    token = (await made(admin)).token
    pods = {"authorization": "Bearer a.b.c"}
    for who, headers in ((bed.node("n1"), {}), (bed.workload("web"), {}), (bed.user(), {}), (None, pods)):
        async with bed.client(who, **headers) as client:
            answer = await client.post(ENROL_PATH, json=asking(token))
            assert (answer.status_code, "sealed" in answer.text) == (403, False)
    async with bed.client() as machine:
        for wrong in ("a.b.c", new_token("n1", time.time())[0]):
            assert (await machine.post(ENROL_PATH, json=asking(wrong))).status_code == 403
        assert (await machine.post(ENROL_PATH, json=asking(token))).status_code == 200
    assert [event["responseStatus"]["code"] for event in audited(bed)] == [403] * 6 + [200]


async def test_a_request_that_is_sent_again_gets_nothing(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    request = asking((await made(admin)).token)
    async with bed.client() as machine:
        first = await machine.post(ENROL_PATH, json=request)
        again = await machine.post(ENROL_PATH, json=request)
    assert (first.status_code, again.status_code) == (200, 403)
    assert "not valid for a controller" in again.json()["message"]


async def test_bad_bodies_are_refused(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    token = (await made(admin)).token
    async with bed.client() as machine:
        for body in ({}, {"token": token}, {**asking(token), "more": 1}, {**asking(token), "receiver": "?"}):
            assert (await machine.post(ENROL_PATH, json=body)).status_code == 400
        assert (await machine.post(ENROL_PATH, content=b"x" * 70_000)).status_code == 413
        assert (await machine.post(ENROL_PATH, json={**asking(token), "receiver": ""})).status_code == 403
    for body in ({"seconds": "long"}, {"for": "ever"}):
        assert (await admin.post(TOKENS_PATH, json=body)).status_code == 400
    assert (await admin.post(TOKENS_PATH, json={"seconds": 1_000_000})).status_code == 403


async def test_where_one_controller_is_alone_it_says_so(tmp_path: Path) -> None:
    async with api_bed(tmp_path / "alone", several=False) as alone:
        async with alone.client(alone.user()) as admin:
            answer = await admin.post(TOKENS_PATH, json={})
        async with alone.client() as machine:
            assert (await machine.post(ENROL_PATH, json=asking("x"))).status_code == 409
    assert (answer.status_code, "--store etcd" in answer.json()["message"]) == (409, True)


# ---------------------------------------------------------------- the new machine


async def refused(ticket: Ticket, state: Path, match: str) -> None:
    """It gets nothing, and nothing is left."""
    with pytest.raises((JoinError, ControllerUnreachable), match=match):
        await enrol(ticket, state, {}, {})
    assert list(state.parent.iterdir()) == []


async def test_a_server_of_another_cluster_sees_no_token(
    bed: ApiBed, admin: httpx.AsyncClient, tmp_path: Path
) -> None:
    (tmp_path / "new").mkdir()
    async with api_bed(tmp_path / "other") as other:
        wanted = await ticket(bed, admin, server=other.url)
        await refused(wanted, tmp_path / "new" / "state", "the token was not sent")
        assert audited(other) == []
    await enrol(msgspec.structs.replace(wanted, server=bed.url), tmp_path / "new" / "state", {}, {})


async def test_a_server_that_sends_another_authority_is_not_believed(
    bed: ApiBed, admin: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new").mkdir()
    evil = CertificateAuthority.create(tmp_path / "evil", TRUST_DOMAIN)
    true, other = bed.ca.with_keys(), evil.with_keys()
    lies = {
        other: "another authority than its own",
        (true[0], other[1]): "not a certificate of this authority",
        (true[0], true[0].replace("BEGIN", "BEGUN")): "does not hold a key and a certificate",
        (_key_of(other[0]) + _certificate_of(true[0]), true[1]): "its key is not the key of its certificate",
    }
    for lie, match in lies.items():
        monkeypatch.setattr(bed.ca, "with_keys", lambda lie=lie: lie)
        await refused(await ticket(bed, admin), tmp_path / "new" / "state", match)


def _key_of(pem: str) -> str:
    return pem[: pem.index("-----BEGIN CERTIFICATE")]


def _certificate_of(pem: str) -> str:
    return pem[pem.index("-----BEGIN CERTIFICATE") :]


async def test_what_was_sealed_for_another_machine_is_not_taken(
    bed: ApiBed, admin: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As somebody who recorded an answer, or stands between the two, would send."""
    (tmp_path / "new").mkdir()
    async with bed.client() as machine:
        recorded = (await machine.post(ENROL_PATH, json=asking((await made(admin)).token))).content

    async def replayed(*_asked: object) -> bytes:
        return recorded

    monkeypatch.setattr(module, "post", replayed)
    await refused(
        await ticket(bed, admin), tmp_path / "new" / "state", "another receiver, token or conversation"
    )


async def test_two_machines_with_one_token(bed: ApiBed, admin: httpx.AsyncClient, tmp_path: Path) -> None:
    wanted = await ticket(bed, admin)
    states = [tmp_path / name / "state" for name in ("a", "b", "c")]
    found = await asyncio.gather(*(enrol(wanted, state, {}, {}) for state in states), return_exceptions=True)
    assert sum(isinstance(one, ControllerConfig) for one in found) == 1
    assert sum("not valid for a controller" in str(one) for one in found) == 2
    assert sum(len(list(state.parent.iterdir())) for state in states) == 1


async def test_a_directory_that_is_in_use_costs_no_token(
    bed: ApiBed, admin: httpx.AsyncClient, tmp_path: Path
) -> None:
    wanted = await ticket(bed, admin)
    state = tmp_path / "state"
    state.mkdir()
    (state / "store.db").touch()
    for there in (state, state / "store.db", state / "store.db" / "below"):
        with pytest.raises(JoinError):
            await enrol(wanted, there, {}, {})
    assert audited(bed) == []
    (state / "store.db").unlink()
    await enrol(wanted, state, {}, {})


async def test_settings_that_cannot_be_leave_nothing(
    bed: ApiBed, admin: httpx.AsyncClient, tmp_path: Path
) -> None:
    (tmp_path / "new").mkdir()
    with pytest.raises(JoinError, match="settings of this controller"):
        await enrol(await ticket(bed, admin), tmp_path / "new" / "state", {"block_size": "wide"}, {})
    assert list((tmp_path / "new").iterdir()) == []


async def test_an_attempt_that_was_killed_leaves_nothing_that_counts(
    bed: ApiBed, admin: httpx.AsyncClient, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    left = tmp_path / ".state.joining"
    left.mkdir(mode=0o700)
    (left / "ca").mkdir()
    (left / "ca" / "root.pem").write_text("half")
    await enrol(await ticket(bed, admin), state, {}, {})
    assert not left.exists()
    CertificateAuthority.load(state / "ca", TRUST_DOMAIN)


async def test_an_attempt_that_is_cancelled_takes_everything_with_it(
    bed: ApiBed, admin: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new").mkdir()
    written = asyncio.Event()
    real = module._write_authority

    async def hang(*asked: Any) -> Any:
        written.set()
        await asyncio.Event().wait()

    def then_hang(*asked: Any) -> None:
        real(*asked)
        raise KeyboardInterrupt

    wanted = await ticket(bed, admin)
    with monkeypatch.context() as patch:
        patch.setattr(module, "post", hang)
        trying = asyncio.create_task(enrol(wanted, tmp_path / "new" / "state", {}, {}))
        await written.wait()
        trying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await trying
        assert list((tmp_path / "new").iterdir()) == []
    monkeypatch.setattr(module, "_write_authority", then_hang)
    with pytest.raises(KeyboardInterrupt):
        await enrol(wanted, tmp_path / "new" / "state", {}, {})
    assert list((tmp_path / "new").iterdir()) == []


async def test_a_token_file_that_others_can_read_is_not_used(
    bed: ApiBed, admin: httpx.AsyncClient, tmp_path: Path
) -> None:
    path = tmp_path / "token.json"
    wanted = await ticket(bed, admin)
    write_private(path, msgspec.json.encode(wanted))
    assert read_ticket(path) == wanted
    path.chmod(0o640)
    with pytest.raises(JoinError, match="can be used by others"):
        read_ticket(path)
    write_private(path, b'{"server": "https://h", "node": "n1", "token": "t", "ca_sha256": "d"}')
    with pytest.raises(JoinError, match="not a token file for a controller"):
        read_ticket(path)


async def test_nothing_secret_is_told(bed: ApiBed, admin: httpx.AsyncClient, tmp_path: Path) -> None:
    with capture_logs() as logs:
        wanted = await ticket(bed, admin)
        await enrol(wanted, tmp_path / "state", {}, {})
        async with bed.client() as machine:
            again = await machine.post(ENROL_PATH, json=asking(wanted.controller_token))
    told = repr((logs, bed.audit, again.text, again.headers))
    identity, _, secret = wanted.controller_token.partition(".")
    keys = [line for pem in bed.ca.with_keys() for line in pem.splitlines()[1:3]]
    assert identity in told
    assert not [one for one in (secret, *keys) if one in told]
