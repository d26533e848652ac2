"""What no honest node says, and whose certificate is a node's."""

from __future__ import annotations

import ssl
import time
from pathlib import Path

import msgspec
import pytest
from tests.support.nodestream import hello
from tests.support.pki import TRUST_DOMAIN, Pki

from tsujiban.controller.nodechecks import (
    MAX_POD_STATUS,
    MAX_PROBLEM,
    MAX_PROBLEMS,
    check,
    check_hello,
    identify,
    shown,
)
from tsujiban.wire.messages import Enforced, PodStatus, ToController
from tsujiban.wire.transport import StreamRefused


def test_a_node_is_known_by_its_certificate_until_that_ends(tmp_path: Path) -> None:
    text = Pki(tmp_path).node("node-1", 100.0).path.read_text()
    first = text[text.index("-----BEGIN CERT") : text.index("-----END CERT")] + "-----END CERTIFICATE-----\n"
    der = ssl.PEM_cert_to_DER_cert(first)
    node, certificate = identify(der, TRUST_DOMAIN, time.time())
    expires = certificate.not_valid_after_utc.timestamp()
    assert node == "node-1"
    with pytest.raises(StreamRefused, match="expired"):
        identify(der, TRUST_DOMAIN, expires)
    with pytest.raises(StreamRefused, match="not a node's"):
        identify(der, "other.domain", time.time())
    with pytest.raises(StreamRefused, match="not a node's"):
        identify(b"", TRUST_DOMAIN, time.time())


def test_hello_says_the_certificates_name() -> None:
    good = hello("node-1")
    assert check_hello("node-1", good) is good
    bad: list[ToController | None] = [
        None,
        Enforced(revision=1, took_us=1),
        hello("node-2"),
        msgspec.structs.replace(good, addresses=("127.0.0.1",)),
        msgspec.structs.replace(good, system={"name": "x"}),
        msgspec.structs.replace(good, capacity={"pods": "1"}),
        msgspec.structs.replace(good, capacity={"cpu": "-1"}),
        msgspec.structs.replace(good, capacity={"memory": "1\n"}),
        msgspec.structs.replace(good, version="1\x1b[2J"),  # it is shown to people, as VERSION of the node
        msgspec.structs.replace(good, version="1" * 201),
    ]
    for message in bad:
        with pytest.raises(StreamRefused):
            check_hello("node-1", message)


def test_a_status_is_json() -> None:
    check("node-1", PodStatus(pod="a/b", uid="u", status=b"{}"))
    for status in (b"[", b'{"message": "' + b"x" * MAX_POD_STATUS + b'"}'):
        with pytest.raises(StreamRefused):
            check("node-1", PodStatus(pod="a/b", uid="u", status=status))


def test_what_could_not_be_enforced_is_short() -> None:
    """It goes into the status of every policy: megabytes from one node would be gigabytes in the store."""
    told = shown(["kernel: no", "\x1b[31m" + "x" * 10_000, *(str(number) for number in range(1000))])
    assert told[0] == "kernel: no"
    assert told[1].isprintable()
    assert len(told[1]) == MAX_PROBLEM
    assert len(told) == MAX_PROBLEMS
