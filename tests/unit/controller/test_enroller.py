"""One token makes one machine a controller, once, whichever controllers it is brought to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from structlog.testing import capture_logs

from tsujiban.controller import enroller as module
from tsujiban.controller.config import ControllerConfig
from tsujiban.controller.enroller import TOKENS, Enroller, EnrolRefused, StoredTokens
from tsujiban.controller.enrolment import (
    GROUP,
    MAX_SECONDS,
    Authority,
    EnrolRequest,
    Ticket,
    TokenMade,
    context,
    shared,
    taken_over,
)
from tsujiban.controller.join import JoinRefused, JoinService
from tsujiban.identity.ca import CertificateAuthority
from tsujiban.identity.sealing import Sealed, public_bytes, unseal
from tsujiban.identity.tokens import FileTokenStore, new_token
from tsujiban.resources.registry import KINDS
from tsujiban.store.config import EtcdConfig
from tsujiban.store.sqlite import SqliteStore
from tsujiban.wire.join import JoinFile, JoinRequest, bundle_digest

pytestmark = pytest.mark.anyio

CONFIG = ControllerConfig(
    cluster="c", state_dir="/nowhere", pod_cidr="10.9.0.0/16", store=EtcdConfig(endpoints=("https://e:2379",))
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Bed:
    def __init__(self, store: SqliteStore, ca: CertificateAuthority) -> None:
        self.store, self.ca = store, ca
        self.now = 1_800_000_000.0
        self.tokens = StoredTokens(store, lambda: self.now)
        self.one, self.two = self.controller(), self.controller()

    def controller(self) -> Enroller:
        return Enroller(self.ca, self.tokens, shared(CONFIG), lambda: self.now)

    def opened(self, made: TokenMade, sealed: Sealed, own: X25519PrivateKey) -> Authority:
        plain = unseal(sealed, own, made.token, context(made.ca_sha256))
        return msgspec.json.decode(plain, type=Authority)

    async def kept(self) -> list[bytes]:
        return [item.value for item in (await self.store.list(GROUP, TOKENS)).items]


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    store = await SqliteStore.open(tmp_path / "store.db")
    yield Bed(store, CertificateAuthority.create(tmp_path / "ca", "cluster.local"))
    await store.close()


def asking(token: str, own: X25519PrivateKey | None = None) -> EnrolRequest:
    return EnrolRequest(token=token, receiver=public_bytes(own or X25519PrivateKey.generate()))


async def test_a_token_of_one_buys_the_authority_at_the_other(bed: Bed) -> None:
    own = X25519PrivateKey.generate()
    made = await bed.one.invite("admin", 60)
    assert (made.ca_sha256, made.expires) == (bundle_digest(bed.ca.bundle_pem), bed.now + 60)
    assert made.token.partition(".")[2].encode() not in b"".join(await bed.kept())
    sealed, record = await bed.two.enrol(asking(made.token, own))
    assert record.by == "admin"
    got = bed.opened(made, sealed, own)
    assert (got.root_pem, got.intermediate_pem) == bed.ca.with_keys()
    config = taken_over(got.settings, "/mine", {"node_endpoints": ["192.0.2.1:7443"]}, {})
    own_fields = {"state_dir": "/mine", "node_endpoints": ("192.0.2.1:7443",)}
    assert config == msgspec.structs.replace(CONFIG, **own_fields)
    assert await bed.kept() == []


async def test_a_token_is_good_once(bed: Bed) -> None:
    made = await bed.one.invite("admin", 60)
    await bed.one.enrol(asking(made.token))
    for controller in (bed.one, bed.two):
        with pytest.raises(EnrolRefused, match="not valid"):
            await controller.enrol(asking(made.token))


async def test_of_many_that_bring_one_token_one_gets_it(bed: Bed) -> None:
    made = await bed.one.invite("admin", 60)
    both = [bed.one, bed.two] * 8
    found = await asyncio.gather(*(one.enrol(asking(made.token)) for one in both), return_exceptions=True)
    assert sum(isinstance(one, tuple) for one in found) == 1
    assert sum(isinstance(one, EnrolRefused) for one in found) == len(both) - 1


async def test_a_token_ends(bed: Bed) -> None:
    made = await bed.one.invite("admin", 60)
    bed.now += 60
    with pytest.raises(EnrolRefused, match="not valid"):
        await bed.one.enrol(asking(made.token))
    await bed.one.invite("admin", 60)
    assert len(await bed.kept()) == 1  # the old one is taken away


@pytest.mark.parametrize("seconds", [0, -1, MAX_SECONDS + 1, float("nan")])
async def test_a_token_does_not_last(bed: Bed, seconds: float) -> None:
    with pytest.raises(EnrolRefused, match="good for"):
        await bed.one.invite("admin", seconds)


async def test_tokens_that_wait_are_bounded(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TOKENS", 2)
    for _ in range(2):
        await bed.one.invite("admin", 60)
    with pytest.raises(EnrolRefused, match="2 tokens"):
        await bed.two.invite("admin", 60)
    bed.now += 60
    await bed.two.invite("admin", 60)


async def test_wrong_ones_are_refused_in_the_same_words(bed: Bed) -> None:
    good = (await bed.one.invite("admin", 60)).token
    identity, _, secret = good.partition(".")
    wrong = [
        "",
        "x",
        secret,
        f"{identity}.{secret[::-1]}",
        f"{secret[:16]}.{secret}",
        good + "0",
        f"{good}\n",
    ]
    said = set()
    for token in wrong:
        with pytest.raises(EnrolRefused) as refusal:
            await bed.one.enrol(asking(token))
        said.add(str(refusal.value))
    assert len(said) == 1
    await bed.one.enrol(asking(good))


async def test_a_bad_key_leaves_the_token(bed: Bed) -> None:
    made = await bed.one.invite("admin", 60)
    for key in (b"", bytes(32), b"x" * 31):
        with pytest.raises(EnrolRefused, match="public key"):
            await bed.one.enrol(EnrolRequest(token=made.token, receiver=key))
    await bed.one.enrol(asking(made.token))


async def test_a_token_for_a_node_makes_no_controller_and_the_other_way_round(
    bed: Bed, tmp_path: Path
) -> None:
    """Also if the record of one were found where those of the other are."""
    nodes = FileTokenStore(tmp_path / "tokens")
    joining = JoinService(bed.ca, nodes, clock=lambda: bed.now)
    for node in ("node-1", ""):
        token, record = new_token(node, bed.now, 60)
        await nodes.add(record)
        with pytest.raises(EnrolRefused, match="not valid"):
            await bed.one.enrol(asking(token))
        await bed.tokens.add(record)
        with pytest.raises(EnrolRefused, match="not valid"):
            await bed.one.enrol(asking(token))
    made = await bed.one.invite("admin", 60)
    for store in (nodes, bed.tokens):
        joining = JoinService(bed.ca, store, clock=lambda: bed.now)
        with pytest.raises(JoinRefused, match="not valid"):
            await joining.join(JoinRequest(token=made.token, csr_pem="", node=""))
    await bed.one.enrol(asking(made.token))


def test_a_file_for_one_is_none_for_the_other() -> None:
    ticket = Ticket(server="https://h", controller_token="t", ca_sha256="d", expires=1.0)  # noqa: S106 - of this test
    node = JoinFile(server="https://h", node="n", token="t", ca_sha256="d")  # noqa: S106 - of this test
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(ticket), type=JoinFile)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(node), type=Ticket)


async def test_nothing_secret_is_shown_or_logged(bed: Bed) -> None:
    own = X25519PrivateKey.generate()
    with capture_logs() as logs:
        made = await bed.one.invite("admin", 60)
        request = asking(made.token, own)
        sealed, record = await bed.one.enrol(request)
        with pytest.raises(EnrolRefused) as refusal:
            await bed.one.enrol(request)
    got = bed.opened(made, sealed, own)
    ticket = Ticket(server="s", controller_token=made.token, ca_sha256=made.ca_sha256, expires=made.expires)
    shown = repr((logs, made, request, record, refusal.value, got, ticket))
    assert record.id in shown
    secret = made.token.partition(".")[2]
    keys = [line for pem in bed.ca.with_keys() for line in pem.splitlines()[1:3]]
    assert not [one for one in (secret, *keys) if one in shown]
    events = [(line["event"], line.get("by") or line.get("invited_by")) for line in logs]
    assert events == [
        ("token for a controller made", "admin"),
        ("controller enrolled", "admin"),
    ]


def test_no_path_of_the_api_leads_to_the_tokens() -> None:
    assert GROUP not in {kind.group for kind in KINDS}
