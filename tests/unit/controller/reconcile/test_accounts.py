"""Every namespace has a default identity."""

from __future__ import annotations

from typing import Any

from tsujiban.controller.reconcile import accounts
from tsujiban.controller.world import NAMESPACES, SERVICE_ACCOUNTS, Ref


def test_makes_the_default_account_once(kit: Any) -> None:
    ref = kit.put(Ref(*NAMESPACES, "", "bank"), {"metadata": {"name": "bank"}})
    assert kit.carry_out(accounts.plan(kit.world, ref)) == 1
    assert kit.world.find(SERVICE_ACCOUNTS, "bank", "default") is not None
    assert accounts.plan(kit.world, ref) == []
    assert accounts.plan(kit.world, Ref(*NAMESPACES, "", "gone")) == []
