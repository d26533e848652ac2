"""Renewal at half-life, retries, and a controller that sends back something else than was asked for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from tests.support.pki import TRUST_DOMAIN, Clock, Pki
from tests.support.wait import PATIENCE, until

from tsujiban.identity import rotation
from tsujiban.identity.keys import create_csr, new_key
from tsujiban.identity.rotation import (
    FIRST_RETRY,
    LAST_RETRY,
    SignFailed,
    SvidManager,
    accept_chain,
    next_renewal,
    retry_delay,
)
from tsujiban.identity.svid import Svid
from tsujiban.identity.verify import VerificationError, parse_chain

WEB = f"spiffe://{TRUST_DOMAIN}/ns/default/sa/web"
API = f"spiffe://{TRUST_DOMAIN}/ns/default/sa/api"
POD = "default/web-1"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "FIRST_RETRY", 0.01)
    monkeypatch.setattr(rotation, "_LONGEST_SLEEP", 0.01)


class Controller:
    """Signs with a real authority, and can be told to misbehave."""

    def __init__(self, pki: Pki) -> None:
        self.pki = pki
        self.identity = WEB
        self.requests: list[tuple[str, str]] = []
        self.failures: list[Exception] = []
        self.answer: Callable[[str], str] | None = None

    async def sign(self, pod: str, csr_pem: str) -> str:
        self.requests.append((pod, csr_pem))
        if self.failures:
            raise self.failures.pop(0)
        if self.answer is not None:
            return self.answer(csr_pem)
        return self.pki.ca.sign_workload(csr_pem, self.identity)


class Node:
    """A manager and what it handed out."""

    def __init__(
        self, controller: Controller, sign: Callable[[str, str], Awaitable[str]] | None = None
    ) -> None:
        self.clock = Clock(time.time())
        self.updates: list[tuple[str, Svid]] = []
        self.manager = SvidManager(
            sign or controller.sign,
            lambda pod, svid: self.updates.append((pod, svid)),
            controller.pki.ca.bundle_pem,
            clock=self.clock,
            spread=lambda: 0.0,
        )


def run(pki: Pki, scenario: Callable[[Controller, Node], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        controller = Controller(pki)
        node = Node(controller)
        try:
            await scenario(controller, node)
        finally:
            await node.manager.close()

    asyncio.run(main())


# ---------------------------------------------------------------- pure parts


@pytest.mark.parametrize(("spread", "expected"), [(0.0, 1500.0), (0.5, 1450.0), (1.0, 1400.0)])
def test_next_renewal(spread: float, expected: float) -> None:
    assert next_renewal(1000.0, 2000.0, spread) == pytest.approx(expected)


def test_retry_delay_doubles_up_to_a_cap() -> None:
    delays = [retry_delay(failures, 1.0) for failures in range(1, 2000)]
    assert delays[:3] == [rotation.FIRST_RETRY * factor for factor in (1, 2, 4)]
    assert max(delays) == LAST_RETRY
    assert retry_delay(1, 0.0) == rotation.FIRST_RETRY / 2
    assert FIRST_RETRY < LAST_RETRY


def test_accept_chain(pki: Pki) -> None:
    key = new_key()
    chain_pem = pki.ca.sign_workload(create_csr(key, []), WEB)
    svid = accept_chain(chain_pem, key, WEB, pki.ca.bundle_pem, time.time())
    assert (svid.spiffe_id, svid.chain_pem, svid.bundle_pem) == (WEB, chain_pem, pki.ca.bundle_pem)
    assert svid.not_after - svid.not_before == 3660
    with pytest.raises(VerificationError, match="another key"):
        accept_chain(chain_pem, new_key(), WEB, pki.ca.bundle_pem, time.time())
    with pytest.raises(VerificationError, match="not spiffe"):
        accept_chain(chain_pem, key, API, pki.ca.bundle_pem, time.time())
    with pytest.raises(VerificationError, match="expired"):
        accept_chain(chain_pem, key, WEB, pki.ca.bundle_pem, time.time() + 3601)


# ---------------------------------------------------------------- the manager


def test_obtains_and_hands_out(pki: Pki) -> None:
    async def scenario(controller: Controller, node: Node) -> None:
        node.manager.ensure(POD, WEB)
        assert node.manager.get(POD) is None
        assert node.manager.status()[0].expires == 0
        await until(lambda: bool(node.updates))
        ((pod, svid),) = node.updates
        assert (pod, svid) == (POD, node.manager.get(POD))
        (status,) = node.manager.status()
        assert (status.pod, status.spiffe_id, status.error) == (POD, WEB, "")
        assert status.expires == svid.not_after
        node.manager.ensure(POD, WEB)  # again: nothing new
        await asyncio.sleep(0.05)
        assert len(controller.requests) == 1

    run(pki, scenario)


def test_the_private_key_is_in_no_request(pki: Pki) -> None:
    async def scenario(controller: Controller, node: Node) -> None:
        node.manager.ensure(POD, WEB)
        await until(lambda: bool(node.updates))
        assert all("PRIVATE" not in csr for _, csr in controller.requests)

    run(pki, scenario)


def test_renews_at_half_life_with_a_new_key(pki: Pki) -> None:
    async def scenario(controller: Controller, node: Node) -> None:
        node.manager.ensure(POD, WEB)
        await until(lambda: len(node.updates) == 1)
        node.clock.now += 1700
        await asyncio.sleep(0.1)
        assert len(controller.requests) == 1
        node.clock.now += 200
        await until(lambda: len(node.updates) == 2)
        first, second = (svid for _, svid in node.updates)
        assert first.key_pem != second.key_pem
        assert node.manager.get(POD) == second

    run(pki, scenario)


def test_retries_and_reports_while_the_old_one_stays(pki: Pki) -> None:
    async def scenario(controller: Controller, node: Node) -> None:
        node.manager.ensure(POD, WEB)
        await until(lambda: len(node.updates) == 1)
        first = node.manager.get(POD)
        controller.failures = [SignFailed("no controller"), TimeoutError(), SignFailed("no controller")]
        node.clock.now += 1900
        await until(lambda: bool(node.manager.status()[0].error))
        assert node.manager.get(POD) == first
        await until(lambda: len(node.updates) == 2)
        assert node.manager.status()[0].error == ""
        assert len(controller.requests) == 5

    run(pki, scenario)


def test_an_expired_svid_is_not_given_out(pki: Pki) -> None:
    async def scenario(controller: Controller, node: Node) -> None:
        node.manager.ensure(POD, WEB)
        await until(lambda: len(node.updates) == 1)
        controller.answer = lambda _csr: ""
        node.clock.now += 3601
        assert node.manager.get(POD) is None
        assert node.manager.status()[0].expires < node.clock.now

    run(pki, scenario)


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (lambda pki, csr: pki.ca.sign_workload(create_csr(new_key(), []), WEB), "another key"),
        (lambda pki, csr: pki.ca.sign_workload(create_csr(new_key(), []), API), "not spiffe"),
        (lambda pki, csr: pki.ca.sign_node(create_csr(new_key(), []), "node-1"), "not spiffe"),
        (lambda pki, csr: pki.ca.bundle_pem, "authority"),
        (lambda pki, csr: "", "cannot be parsed"),
        (lambda pki, csr: "x" * 100_000, "larger than"),
    ],
)
def test_a_lying_controller_gives_no_identity(pki: Pki, lie: Callable[[Pki, str], str], reason: str) -> None:
    async def scenario(controller: Controller, node: Node) -> None:
        controller.answer = lambda csr: lie(pki, csr)
        node.manager.ensure(POD, WEB)
        await until(lambda: len(controller.requests) > 2)
        assert reason in node.manager.status()[0].error
        assert node.updates == []
        assert node.manager.get(POD) is None
        controller.answer = None
        await until(lambda: len(node.updates) == 1)

    run(pki, scenario)


def test_another_identity_replaces_the_old_one(pki: Pki) -> None:
    async def scenario(controller: Controller, node: Node) -> None:
        node.manager.ensure(POD, WEB)
        await until(lambda: len(node.updates) == 1)
        controller.identity = API
        node.manager.ensure(POD, API)
        assert node.manager.get(POD) is None
        await until(lambda: len(node.updates) == 2)
        assert node.updates[-1][1].spiffe_id == API

    run(pki, scenario)


def test_removed_pod_is_forgotten_and_its_late_answer_dropped(pki: Pki) -> None:
    async def scenario(controller: Controller, node: Node) -> None:
        asked, answer = asyncio.Event(), asyncio.Event()

        async def slow(pod: str, csr_pem: str) -> str:
            asked.set()
            await answer.wait()
            return await controller.sign(pod, csr_pem)

        other = Node(controller, slow)
        other.manager.ensure(POD, WEB)
        await asked.wait()
        other.manager.remove(POD)
        other.manager.remove("default/unknown")
        answer.set()
        await asyncio.sleep(0.05)
        assert (other.updates, other.manager.status(), other.manager.get(POD)) == ([], [], None)

    run(pki, scenario)


def test_bundle_change_is_handed_out_without_a_new_key(pki: Pki) -> None:
    async def scenario(controller: Controller, node: Node) -> None:
        node.manager.ensure(POD, WEB)
        await until(lambda: len(node.updates) == 1)
        node.manager.set_bundle(pki.ca.bundle_pem)
        assert len(node.updates) == 1
        (pki.directory / "next").mkdir()
        both = pki.ca.bundle_pem + Pki(pki.directory / "next").ca.bundle_pem
        node.manager.set_bundle(both)
        (_, old), (_, new) = node.updates
        assert (new.bundle_pem, new.key_pem) == (both, old.key_pem)
        assert len(controller.requests) == 1

    run(pki, scenario)


def test_bundle_without_our_root_makes_it_ask_again(pki: Pki) -> None:
    async def scenario(controller: Controller, node: Node) -> None:
        node.manager.ensure(POD, WEB)
        await until(lambda: len(node.updates) == 1)
        (pki.directory / "next").mkdir()
        controller.pki = Pki(pki.directory / "next")
        node.manager.set_bundle(controller.pki.ca.bundle_pem)
        await until(lambda: len(node.updates) == 2)
        assert node.updates[-1][1].bundle_pem == controller.pki.ca.bundle_pem

    run(pki, scenario)


def test_a_defect_is_reported_and_renewal_goes_on(pki: Pki) -> None:
    async def scenario(controller: Controller, node: Node) -> None:
        controller.failures = [ZeroDivisionError()]
        node.manager.ensure(POD, WEB)
        await until(lambda: "ZeroDivisionError" in node.manager.status()[0].error)
        await until(lambda: len(node.updates) == 1)
        assert node.manager.status()[0].error == ""

    run(pki, scenario)


def test_a_defect_of_a_removed_pod_revives_nothing(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "FIRST_RETRY", 0.02)

    async def scenario(controller: Controller, node: Node) -> None:
        controller.failures = [ZeroDivisionError()]
        node.manager.ensure(POD, WEB)
        await until(lambda: bool(node.manager.status()[0].error))
        node.manager.remove(POD)
        await asyncio.sleep(0.1)
        assert (len(controller.requests), node.updates) == (1, [])

    run(pki, scenario)


def test_a_defect_that_stays_is_tried_less_and_less_often(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    in_a_row: list[int] = []

    def delay(failures: int, _spread: float) -> float:
        in_a_row.append(failures)
        return 0.0

    monkeypatch.setattr(rotation, "retry_delay", delay)

    async def scenario(controller: Controller, node: Node) -> None:
        controller.failures = [ZeroDivisionError(), ZeroDivisionError(), ZeroDivisionError()]
        node.manager.ensure(POD, WEB)
        await until(lambda: len(node.updates) == 1)
        assert in_a_row == [1, 2, 3]

    run(pki, scenario)


def test_until_waits_for_the_first_one(pki: Pki) -> None:
    async def scenario(controller: Controller, node: Node) -> None:
        with pytest.raises(KeyError):
            await node.manager.until(POD)
        controller.failures = [SignFailed("later")]
        node.manager.ensure(POD, WEB)
        await asyncio.wait_for(node.manager.until(POD), PATIENCE)
        assert node.manager.get(POD) is not None
        await asyncio.wait_for(node.manager.until(POD), PATIENCE)

    run(pki, scenario)


@pytest.mark.parametrize("spiffe_id", ["", "web", "spiffe://Bank/x"])
def test_what_is_no_spiffe_id_is_refused_at_once(pki: Pki, spiffe_id: str) -> None:
    async def scenario(_controller: Controller, node: Node) -> None:
        with pytest.raises(ValueError, match="not a SPIFFE ID"):
            node.manager.ensure(POD, spiffe_id)

    run(pki, scenario)


def test_a_certificate_due_at_birth_does_not_spin(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "FIRST_RETRY", 3600.0)
    monkeypatch.setattr(rotation, "_LONGEST_SLEEP", 3600.0)

    async def scenario(controller: Controller, node: Node) -> None:
        def short(csr_pem: str) -> str:
            if len(controller.requests) > 10:
                raise SignFailed("it spins")
            chain_pem = pki.ca.sign_workload(csr_pem, WEB)
            node.clock.now = parse_chain(chain_pem)[0].not_valid_after_utc.timestamp() - 1
            return chain_pem

        def late(pod: str, svid: Svid) -> None:
            node.clock.now += 2
            node.updates.append((pod, svid))

        controller.answer = short
        monkeypatch.setattr(node.manager, "_on_update", late)
        node.manager.ensure(POD, WEB)
        await until(lambda: bool(node.updates))
        await asyncio.sleep(0.05)
        assert len(controller.requests) == 1

    run(pki, scenario)


def test_what_is_revoked_is_replaced_at_once_by_another_key(pki: Pki) -> None:
    async def scenario(controller: Controller, node: Node) -> None:
        node.manager.ensure(POD, WEB)
        node.manager.ensure("default/api-1", WEB)
        await until(lambda: len(node.updates) == 2)
        first = node.manager.get(POD)
        assert first is not None
        serial = parse_chain(first.chain_pem)[0].serial_number
        node.manager.revoked({"1"})
        node.manager.revoked({f"{serial:x}"})
        await until(lambda: len(node.updates) == 3)
        pod, fresh = node.updates[-1]
        assert pod == POD
        assert fresh.key_pem != first.key_pem
        assert len(controller.requests) == 3

    run(pki, scenario)


def test_who_got_nothing_asks_again_when_the_list_has_changed(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "FIRST_RETRY", 3600.0)
    monkeypatch.setattr(rotation, "LAST_RETRY", 3600.0)

    async def scenario(controller: Controller, node: Node) -> None:
        controller.failures.append(SignFailed("revoked"))
        node.manager.ensure(POD, WEB)
        await until(lambda: node.manager.status()[0].error == "revoked")
        node.manager.revoked(())
        await until(lambda: len(node.updates) == 1)
        assert node.manager.status()[0].error == ""

    run(pki, scenario)
