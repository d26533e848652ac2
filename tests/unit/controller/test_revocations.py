from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.support.pki import TRUST_DOMAIN, Pki

from tsujiban.controller import revocations
from tsujiban.controller.revocations import KEY, Revocations
from tsujiban.identity.keys import create_csr, new_key
from tsujiban.resources import revoked
from tsujiban.store.protocol import Key

NODE = f"spiffe://{TRUST_DOMAIN}/node/n1"


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


def certificate(chain_pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificates(chain_pem.encode())[0]


def node(pki: Pki, name: str = "n1") -> x509.Certificate:
    return certificate(pki.ca.sign_node(create_csr(new_key(), []), name))


def put(found: Revocations, text: str, key: Key = KEY) -> None:
    found.put(key, json.dumps({"kind": "ConfigMap", "data": {"revoked": text}}).encode())


def test_before_the_list_is_read_nobody_is_taken(pki: Pki) -> None:
    found = Revocations()
    assert "not been read" in found.certificate(node(pki))
    assert "not been read" in found.identity(NODE)
    put(found, "serial:1", Key("", "configmaps", "kube-system", "other"))
    assert found.listed is None
    found.loaded()
    assert found.certificate(node(pki)) == found.identity(NODE) == ""


def test_a_list_that_is_none_from_the_beginning_lets_nobody_in(pki: Pki) -> None:
    found = Revocations()
    found.put(KEY, b"rubbish")
    found.loaded()
    assert "nobody is taken" in found.certificate(node(pki))
    assert "nobody is taken" in found.identity(NODE)
    assert "nobody is taken" in found.problem()
    found.drop(KEY)
    assert found.certificate(node(pki)) == found.problem() == ""


def test_a_serial_number_refuses_one_certificate_of_anybody(pki: Pki) -> None:
    found = Revocations()
    one, user = node(pki), certificate(pki.ca.sign_admin(create_csr(new_key(), []), "ann"))
    put(found, f"serial:{one.serial_number:x}\nserial:{user.serial_number:x}")
    found.loaded()  # changes nothing
    assert "is revoked" in found.certificate(one)
    assert "is revoked" in found.of_der(user.public_bytes(Encoding.DER))
    assert found.certificate(node(pki)) == ""
    assert found.of_der(b"rubbish") == "it cannot be parsed"


def test_a_node_loses_what_was_issued_before_and_may_join_again(pki: Pki) -> None:
    found = Revocations()
    one, other = node(pki), node(pki, "n2")
    put(found, revoked.node_entry("node/n1", time.time() + 1))
    assert "must join again" in found.certificate(one)
    assert found.certificate(other) == ""
    assert found.identity(NODE) == ""  # it gets a new one
    put(found, revoked.node_entry("node/n1", time.time() - 1))
    assert found.certificate(node(pki)) == ""


def test_who_asks_when_a_node_was_revoked_waits_for_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        found = Revocations()
        asked = asyncio.ensure_future(found.node_revoked("n1"))
        await asyncio.sleep(0)
        assert not asked.done()
        put(found, "node/n1 before=2026-01-31T12:00:00Z")
        assert await asked == 1_769_860_800.0
        assert await found.node_revoked("n2") == 0.0
        monkeypatch.setattr(revocations, "READ_SECONDS", 0.0)
        with pytest.raises(TimeoutError):
            await Revocations().node_revoked("n1")

    asyncio.run(scenario())


def test_an_identity_is_refused_whatever_it_shows_until_it_is_taken_from_the_list(pki: Pki) -> None:
    found = Revocations()
    put(found, NODE)
    assert NODE in found.certificate(node(pki))
    assert NODE in found.identity(NODE)
    found.drop(Key("", "configmaps", "kube-system", "other"))
    assert found.identity(NODE)
    found.drop(KEY)
    assert found.certificate(node(pki)) == found.identity(NODE) == ""


def test_changes_are_told_and_faults_too(capsys: pytest.CaptureFixture[str]) -> None:
    found = Revocations()
    told: list[frozenset[str]] = []
    found.on_change.append(lambda: told.append(found.listed.serials if found.listed else frozenset()))
    for text in ("serial:1", "serial:1", "serial:1\nserial:2\nnonsense", "serial:2"):
        put(found, text)
        assert bool(found.problem()) == ("nonsense" in text)
    assert told == [{"1"}, {"1", "2"}, {"2"}]
    assert "line 3: 'nonsense' is neither" in capsys.readouterr().out
    found.put(KEY, b'{"data": 7}')
    assert "the list before it counts on" in found.problem()
    assert found.listed is not None
    assert found.listed.serials == {"2"}
    found.put(KEY, b'{"metadata": {}}')
    assert found.problem() == ""
    assert found.listed == revoked.Listed()
