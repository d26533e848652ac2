"""Requests are signed when they are approved, once, and do not pile up."""

from __future__ import annotations

from typing import Any

import pytest

from tsujiban.controller.reconcile import csrs
from tsujiban.controller.world import CERTIFICATE_REQUESTS, Ref

REF = Ref(*CERTIFICATE_REQUESTS, "", "r")
THEN = "2026-01-01T00:00:00Z"
NOW = 1_767_225_600.0  # the same moment


def put(kit: Any, *kinds: str, **status: Any) -> None:
    conditions = [{"type": kind, "status": "True", "lastUpdateTime": THEN} for kind in kinds]
    found = {**({"conditions": conditions} if conditions else {}), **status}
    kit.put(REF, {"metadata": {"name": "r", "creationTimestamp": THEN}, "spec": {"x": 1}, "status": found})


def signed(spec: dict[str, Any]) -> str:
    assert spec == {"x": 1}
    return "Y2VydA=="


def refused(_spec: dict[str, Any]) -> str:
    raise csrs.SigningImpossible("no")


def test_an_approved_request_is_signed_once(kit: Any) -> None:
    put(kit, "Approved")
    kit.carry_out(csrs.plan(kit.world, REF, signed))
    assert kit.world.get(REF)["status"]["certificate"] == "Y2VydA=="
    assert csrs.plan(kit.world, REF, refused) == []


@pytest.mark.parametrize(
    "kinds", [(), ("Denied",), ("Failed",), ("Approved", "Denied"), ("Approved", "Failed")]
)
def test_others_are_not(kit: Any, kinds: tuple[str, ...]) -> None:
    put(kit, *kinds)
    assert csrs.plan(kit.world, REF, signed) == []


def test_what_is_not_ours_waits_and_what_cannot_be_fails(kit: Any) -> None:
    put(kit, "Approved")
    assert csrs.plan(kit.world, REF, lambda _spec: None) == []
    kit.carry_out(csrs.plan(kit.world, REF, refused))
    failed = kit.world.get(REF)["status"]["conditions"][1]
    assert (failed["type"], failed["reason"], failed["message"]) == (
        "Failed",
        "SignerValidationFailure",
        "no",
    )
    assert csrs.plan(kit.world, REF, signed) == []
    assert csrs.plan(kit.world, REF._replace(name="gone"), signed) == []


@pytest.mark.parametrize(
    ("kinds", "status", "hours"),
    [
        ((), {}, 24),
        (("Approved",), {}, 24),
        (("Approved",), {"certificate": "x"}, 1),
        (("Denied",), {}, 1),
        (("Approved", "Failed"), {}, 1),
    ],
)
def test_old_ones_go(kit: Any, kinds: tuple[str, ...], status: dict[str, Any], hours: int) -> None:
    put(kit, *kinds, **status)
    assert csrs.all_requests(kit.world) == [REF]
    assert csrs.expired(kit.world, REF, NOW + hours * 3600 - 1) == []
    assert kit.carry_out(csrs.expired(kit.world, REF, NOW + hours * 3600 + 1)) == 1
    assert csrs.expired(kit.world, REF, NOW) == []
