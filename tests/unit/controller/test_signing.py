"""A node gets the identities of its own pods, and of nobody else's."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.support.pki import TRUST_DOMAIN, Pki

from tsujiban.controller.signing import Signer
from tsujiban.identity.keys import create_csr, create_spiffe_csr, new_key
from tsujiban.identity.verify import verify_chain
from tsujiban.wire.messages import Sign, Signed

WEB = f"spiffe://{TRUST_DOMAIN}/ns/default/sa/web"
ADMIN = f"spiffe://{TRUST_DOMAIN}/ns/kube-system/sa/admin"
STORE = {("node-1", "default/web-1"): WEB, ("node-2", "kube-system/admin-1"): ADMIN}


class Bench:
    def __init__(self, directory: Path) -> None:
        self.pki = Pki(directory)
        self.signer = Signer(self.pki.ca, lambda node, pod: STORE.get((node, pod)), lifetime=600.0)

    def ask(self, node: str, pod: str, csr_pem: str = "") -> Signed:
        request = Sign(request=7, pod=pod, csr_pem=csr_pem or create_csr(new_key(), []))
        return asyncio.run(self.signer.sign(node, request))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_own_pod(bench: Bench) -> None:
    key = new_key()
    signed = bench.ask("node-1", "default/web-1", create_spiffe_csr(key, WEB))
    assert (signed.request, signed.error) == (7, "")
    peer = verify_chain(signed.chain_pem, bench.pki.ca.bundle_pem, TRUST_DOMAIN)
    assert str(peer.spiffe_id) == WEB
    assert peer.leaf.public_key() == key.public_key()
    assert peer.not_after - peer.not_before == 660


def test_own_node(bench: Bench) -> None:
    signed = bench.ask("node-1", "")
    peer = verify_chain(signed.chain_pem, bench.pki.ca.bundle_pem, TRUST_DOMAIN)
    assert str(peer.spiffe_id) == f"spiffe://{TRUST_DOMAIN}/node/node-1"


@pytest.mark.parametrize(
    ("node", "pod"),
    [
        ("node-1", "kube-system/admin-1"),
        ("node-2", "default/web-1"),
        ("node-3", "default/web-1"),
        ("node-1", "default/web-2"),
        ("node-1", "DEFAULT/web-1"),
        ("node-1", "default/web-1 "),
        ("node-1", "/default/web-1"),
        ("node-1", "x" * 100_000),
    ],
)
def test_pods_of_others_and_of_nobody(bench: Bench, node: str, pod: str) -> None:
    signed = bench.ask(node, pod)
    assert signed.chain_pem == ""
    assert "no pod" in signed.error
    assert len(signed.error) < 1000


@pytest.mark.parametrize("wish", [ADMIN, f"spiffe://{TRUST_DOMAIN}/node/node-2"])
@pytest.mark.parametrize("pod", ["default/web-1", ""])
def test_csr_that_asks_for_another_identity(bench: Bench, pod: str, wish: str) -> None:
    signed = bench.ask("node-1", pod, create_spiffe_csr(new_key(), wish))
    assert signed.chain_pem == ""
    assert "other names" in signed.error


def test_csr_that_is_garbage(bench: Bench) -> None:
    signed = bench.ask("node-1", "default/web-1", "garbage")
    assert (signed.request, signed.chain_pem) == (7, "")
    assert "parsed" in signed.error


def test_store_that_names_a_foreign_identity(bench: Bench) -> None:
    """A defect of the store is no way round the authority's own rules."""
    STORE[("node-1", "default/odd")] = "spiffe://evil.local/ns/a/sa/b"
    try:
        assert "not a workload's identity" in bench.ask("node-1", "default/odd").error
    finally:
        del STORE[("node-1", "default/odd")]


def test_refusals_are_logged_with_node_and_pod(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.ask("node-1", "kube-system/admin-1")
    logged = capsys.readouterr().out
    assert "signing refused" in logged
    assert "node-1" in logged
    assert "kube-system/admin-1" in logged


def test_a_pod_whose_identity_is_revoked_gets_nothing_and_is_told_of(bench: Bench) -> None:
    told: list[tuple[str, str]] = []

    async def tell(pod: str, reason: str) -> None:
        told.append((pod, reason))

    bench.signer = Signer(bench.pki.ca, lambda node, pod: STORE.get((node, pod)), 600.0, tell)
    bench.pki.ca.refuses = lambda one: "it is revoked" if one == WEB else ""
    assert bench.ask("node-1", "default/web-1").error == "it is revoked"
    assert "no pod" in bench.ask("node-1", "default/web-2").error
    assert told == [("default/web-1", "it is revoked")]
    bench.pki.ca.refuses = lambda _: ""
    assert bench.ask("node-1", "default/web-1").chain_pem
