"""An Svid must never print its key."""

from __future__ import annotations

from tsujiban.identity.svid import Svid


def test_repr_and_str_never_hold_the_key() -> None:
    svid = Svid(
        spiffe_id="spiffe://td/ns/a/sa/b",
        chain_pem="CHAIN",
        key_pem="SECRET-KEY",
        bundle_pem="BUNDLE",
        not_before=1.0,
        not_after=2.0,
    )
    for text in (repr(svid), str(svid), f"{svid}", f"{[svid]}"):
        assert "SECRET-KEY" not in text
        assert "spiffe://td/ns/a/sa/b" in text
