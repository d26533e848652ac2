"""No bytes whatever make the DNS server raise, or answer an answer."""

import dns.message
from hypothesis import given
from hypothesis import strategies as st

from tsujiban.network import dns as server
from tsujiban.network.zone import Records, Zone

INDEX = server.Index(
    Zone(domain="c.l", names={"a.svc.c.l": Records(addresses=["10.0.0.1"])}, networks=["10.0.0.0/8"])
)
QUERY = dns.message.make_query("a.svc.c.l", "A", use_edns=0, payload=1400).to_wire()


def _serve(data: bytes) -> bytes | None:
    query = server.parse(data)
    if query is None or isinstance(query, bytes):
        return query
    return server.to_wire(server.answer(INDEX, query) or server.refuse(query), query, udp=True)


def _check(data: bytes) -> None:
    response = _serve(data)
    if response is not None:
        assert response[:2] == data[:2]
        assert response[2] & 0x80
        assert len(response) <= server.MAX_UDP
        assert server.parse(response) is None


@given(st.binary(max_size=600))
def test_random_bytes(data: bytes) -> None:
    _check(data)


@given(st.binary(max_size=200), st.integers(0, 255))
def test_random_bytes_after_a_header_of_a_question(data: bytes, count: int) -> None:
    _check(bytes([1, 2, 1, 0, 0, 1, 0, count % 3, 0, 0, 0, count % 2]) + data)


@given(
    st.lists(st.tuples(st.integers(0, len(QUERY) - 1), st.integers(0, 255)), max_size=8), st.integers(0, 40)
)
def test_damaged_questions(changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(QUERY)
    for position, value in changes:
        data[position] = value
    _check(bytes(data[: len(data) - cut]))
