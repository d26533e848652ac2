"""No text is two identities: whatever parses, prints as itself and uses only the allowed letters."""

from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from tsujiban.resources.spiffe import parse

_domain = st.text(string.ascii_lowercase + string.digits + "._-", min_size=1, max_size=40)
_segment = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=20).filter(
    lambda s: s not in (".", "..")
)
_hostile = st.text(st.sampled_from("spiffe:/.%#?@ \n\x00aA1-_\u00e9"), max_size=40)


@given(_domain, st.lists(_segment, max_size=6))
def test_valid_ids_survive_a_round_trip(domain: str, segments: list[str]) -> None:
    text = "spiffe://" + "/".join([domain, *segments])
    parsed = parse(text)
    assert parsed is not None
    assert (str(parsed), parsed.trust_domain) == (text, domain)
    assert parsed.path.split("/")[1:] == segments


@given(st.one_of(st.text(max_size=60), _hostile, _hostile.map(lambda s: "spiffe://a" + s)))
def test_anything_parses_to_itself_or_is_refused(text: str) -> None:
    parsed = parse(text)
    if parsed is not None:
        assert str(parsed) == text
        assert set(text) <= set(string.ascii_letters + string.digits + ":/._-")
        assert ".." not in parsed.path.split("/")
