"""Against real handshakes: Python's own TLS, in memory."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tsujiban.local.demo.forgery import self_signed
from tsujiban.local.demo.tlsrecords import TLS13, NotTls, check_tls13, negotiated_version, records


def handshake(tmp_path: Path, version: ssl.TLSVersion, curves: str = "") -> tuple[bytes, bytes]:
    """Both directions of a connection that carried `secret` from the client."""
    loot = self_signed("spiffe://test/ns/a/sa/b")
    path = tmp_path / "pem"
    path.write_text(loot.chain + loot.key)
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.load_cert_chain(path)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    for context in (server, client):
        context.minimum_version = context.maximum_version = version
    if curves:
        server.set_ecdh_curve(curves)
    ends = []
    for context, is_server in ((client, False), (server, True)):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        ends.append((context.wrap_bio(incoming, outgoing, server_side=is_server), incoming, outgoing))
    wires = [b"", b""]
    done = [False, False]
    while not all(done):
        for i, (end, _, outgoing) in enumerate(ends):
            try:
                end.do_handshake()
                done[i] = True
            except ssl.SSLWantReadError:
                pass
            data = outgoing.read()
            wires[i] += data
            ends[1 - i][1].write(data)
    ends[0][0].write(b"secret")
    wires[0] += ends[0][2].read()
    return wires[0], wires[1]


def test_tls13_is_recognised(tmp_path: Path) -> None:
    client, server = handshake(tmp_path, ssl.TLSVersion.TLSv1_3)
    assert check_tls13(client, server) == len(records(client)) + len(records(server))
    assert b"secret" not in client


def test_a_hello_retry_is_tls13_too(tmp_path: Path) -> None:
    client, server = handshake(tmp_path, ssl.TLSVersion.TLSv1_3, curves="secp521r1")
    assert negotiated_version(server) == TLS13
    assert check_tls13(client, server) > 0


def test_tls12_is_refused(tmp_path: Path) -> None:
    client, server = handshake(tmp_path, ssl.TLSVersion.TLSv1_2)
    with pytest.raises(NotTls, match=r"not TLS 1\.3"):
        check_tls13(client, server)


def test_one_plain_byte_at_the_end_is_noticed(tmp_path: Path) -> None:
    client, server = handshake(tmp_path, ssl.TLSVersion.TLSv1_3)
    with pytest.raises(NotTls, match="no TLS content type"):
        check_tls13(client + b"GET / HTTP/1.1", server)


def test_a_handshake_message_in_the_clear_later_is_noticed(tmp_path: Path) -> None:
    client, server = handshake(tmp_path, ssl.TLSVersion.TLSv1_3)
    with pytest.raises(NotTls, match="in the clear"):
        check_tls13(client, server + bytes([22, 3, 3, 0, 1, 11]))


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (b"GET / HTTP/1.1\r\n", "content type"),
        (bytes([22, 3, 2, 0, 1, 0]), "version"),
        (bytes([22, 3, 3, 0x41, 1, 0]), "length"),
        (bytes([22, 3, 3, 0, 0, 0]), "length"),
        (bytes([23, 3, 3, 0, 1, 0]), "begin with a handshake"),
        (bytes([22, 3, 3, 0, 1, 0]) + bytes([22, 3, 1, 0, 1, 0]), "version"),
    ],
)
def test_what_is_no_record_is_said(stream: bytes, message: str) -> None:
    with pytest.raises(NotTls, match=message):
        records(stream)


def test_the_last_record_may_be_cut_off(tmp_path: Path) -> None:
    client, _ = handshake(tmp_path, ssl.TLSVersion.TLSv1_3)
    assert len(records(client[:-3])) == len(records(client))


def test_a_silent_server_is_no_tls() -> None:
    with pytest.raises(NotTls, match="ServerHello"):
        negotiated_version(b"")
