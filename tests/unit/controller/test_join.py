"""Joining: one good token, one certificate; every lie costs nothing but an error."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from tests.support.pki import TRUST_DOMAIN, Clock, Pki

from tsujiban.controller.join import JoinRefused, JoinService
from tsujiban.identity.keys import create_csr, create_spiffe_csr, new_key
from tsujiban.identity.tokens import FileTokenStore, new_token
from tsujiban.identity.verify import verify_chain
from tsujiban.wire.join import JoinRequest, JoinResponse


class Bench:
    def __init__(self, directory: Path) -> None:
        self.pki = Pki(directory)
        self.clock = Clock(time.time())
        self.tokens = FileTokenStore(directory / "tokens")
        self.service = JoinService(self.pki.ca, self.tokens, self.clock)

    def token(self, node: str = "node-1") -> str:
        token, record = new_token(node, self.clock.now, 60)
        asyncio.run(self.tokens.add(record))
        return token

    def join(self, token: str, node: str = "node-1", csr_pem: str = "") -> JoinResponse:
        csr_pem = csr_pem or create_csr(new_key(), [])
        return asyncio.run(self.service.join(JoinRequest(token=token, csr_pem=csr_pem, node=node)))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_joins_once(bench: Bench) -> None:
    key, token = new_key(), bench.token()
    answer = bench.join(token, csr_pem=create_csr(key, []))
    assert (answer.bundle_pem, answer.trust_domain) == (bench.service.bundle_pem, TRUST_DOMAIN)
    peer = verify_chain(answer.chain_pem, answer.bundle_pem, TRUST_DOMAIN)
    assert str(peer.spiffe_id) == f"spiffe://{TRUST_DOMAIN}/node/node-1"
    assert peer.leaf.public_key() == key.public_key()
    with pytest.raises(JoinRefused, match="not valid"):
        bench.join(token)


def test_all_bad_tokens_look_the_same(bench: Bench) -> None:
    """The reason says nothing of which tokens exist."""
    good, other = bench.token(), bench.token("node-2")
    wrong = good.split(".")[0] + "." + "0" * 64
    reasons = set()
    for token in ("", "garbage", wrong, "0" * 16 + "." + "0" * 64, other):
        with pytest.raises(JoinRefused) as caught:
            bench.join(token)
        reasons.add(caught.value.reason)
    bench.clock.now += 61
    with pytest.raises(JoinRefused) as caught:
        bench.join(good)
    reasons.add(caught.value.reason)
    assert len(reasons) == 1


def test_another_node_cannot_be_claimed(bench: Bench) -> None:
    token = bench.token("node-1")
    for node in ("node-2", "", "node-1/x", "../node-1"):
        with pytest.raises(JoinRefused):
            bench.join(token, node)
    assert bench.join(token)


@pytest.mark.parametrize(
    "csr_pem", ["garbage", create_spiffe_csr(new_key(), "spiffe://bank.local/node/node-2")]
)
def test_bad_csr_leaves_the_token_usable(bench: Bench, csr_pem: str) -> None:
    token = bench.token()
    with pytest.raises(JoinRefused, match="CSR"):
        bench.join(token, csr_pem=csr_pem)
    assert bench.join(token)


def test_of_simultaneous_requests_one_wins(bench: Bench) -> None:
    token = bench.token()

    async def race() -> list[JoinResponse | BaseException]:
        request = JoinRequest(token=token, csr_pem=create_csr(new_key(), []), node="node-1")
        return await asyncio.gather(*(bench.service.join(request) for _ in range(8)), return_exceptions=True)

    answers = asyncio.run(race())
    assert sum(isinstance(answer, JoinResponse) for answer in answers) == 1
    assert sum(isinstance(answer, JoinRefused) for answer in answers) == 7


def test_a_token_taken_between_check_and_use_gives_nothing(bench: Bench) -> None:
    """A second controller process consumed it."""
    token = bench.token()

    class Late(FileTokenStore):
        async def consume(self, token_id: str) -> bool:
            await super().consume(token_id)
            return await super().consume(token_id)

    service = JoinService(bench.pki.ca, Late(bench.pki.directory / "tokens"), bench.clock)
    request = JoinRequest(token=token, csr_pem=create_csr(new_key(), []), node="node-1")
    with pytest.raises(JoinRefused, match="not valid"):
        asyncio.run(service.join(request))


def test_the_log_names_the_node_but_not_the_secret(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    token = bench.token()
    with pytest.raises(JoinRefused):
        bench.join(token, "node-2")
    bench.join(token)
    logged = capsys.readouterr().out
    assert "node-2" in logged
    assert "node joined" in logged
    assert token.split(".")[1] not in logged


def test_a_token_of_before_the_node_was_revoked_is_none(bench: Bench) -> None:
    """It lay on the same disk."""
    old, other = bench.token(), bench.token("node-2")
    bench.clock.now += 10
    revoked = {"node-1": bench.clock.now}

    async def when(node: str) -> float:
        return revoked.get(node, 0.0)

    bench.service = JoinService(bench.pki.ca, bench.tokens, bench.clock, when)
    with pytest.raises(JoinRefused, match="not valid"):
        bench.join(old)
    assert bench.join(other, "node-2").chain_pem
    assert bench.join(bench.token()).chain_pem
