"""Whatever names a CSR asks for, its key is given out only when they are the granted ones."""

from __future__ import annotations

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from tsujiban.identity.csr import CsrRefused, check_csr
from tsujiban.identity.keys import create_csr, new_key

KEY = new_key()

_uri = st.sampled_from(
    [
        "spiffe://bank.local/ns/a/sa/b",
        "spiffe://bank.local/ns/a/sa/c",
        "spiffe://bank.local/node/n",
        "spiffe://evil.local/ns/a/sa/b",
    ]
).map(x509.UniformResourceIdentifier)
_dns = st.sampled_from(["a", "b.example", "spiffe"]).map(x509.DNSName)
_mail = st.sampled_from(["a@b.example"]).map(x509.RFC822Name)
_name = st.one_of(_uri, _dns, _mail)


@given(st.lists(_name, max_size=4), st.frozensets(_name, max_size=3))
def test_names_asked_for(asked: list[x509.GeneralName], granted: frozenset[x509.GeneralName]) -> None:
    csr_pem = create_csr(KEY, asked)
    if not asked or (frozenset(asked) == granted and len(asked) == len(granted)):
        assert check_csr(csr_pem, granted) == KEY.public_key()
    else:
        with pytest.raises(CsrRefused, match="other names"):
            check_csr(csr_pem, granted)


@given(st.text(max_size=200))
def test_text_is_no_csr(text: str) -> None:
    with pytest.raises(CsrRefused):
        check_csr(text, frozenset())


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_a_flipped_byte_never_passes_as_another_key(position: int, mask: int) -> None:
    """Either it is refused, or (a bit that is no part of what is signed) it is the same key."""
    lines = create_csr(KEY, []).splitlines()
    body = list("".join(lines[1:-1]))
    body[position % len(body)] = chr((ord(body[position % len(body)]) ^ mask) & 0x7F)
    damaged = "\n".join([lines[0], "".join(body), lines[-1]])
    try:
        key = check_csr(damaged, frozenset())
    except CsrRefused:
        return
    assert key == KEY.public_key()
