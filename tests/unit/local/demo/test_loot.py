from __future__ import annotations

import pytest

from tsujiban.local.demo.forgery import self_signed
from tsujiban.local.demo.loot import Loot


def test_the_owner_is_the_spiffe_id_and_the_key_is_never_printed() -> None:
    loot = self_signed("spiffe://test/ns/default/sa/summary")
    assert loot.owner == "spiffe://test/ns/default/sa/summary"
    assert repr(loot) == "Loot()"


def test_no_certificate_no_owner() -> None:
    with pytest.raises(ValueError, match="PEM"):
        _ = Loot(chain="", key="").owner
