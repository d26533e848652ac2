"""The authority grants what it says, and refuses the rest."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.support.pki import TRUST_DOMAIN, Clock, Pki

from tsujiban.identity.ca import (
    CLOCK_SKEW,
    DAY,
    HOUR,
    INTERMEDIATE_LIFETIME,
    ROOT_LIFETIME,
    CertificateAuthority,
    IdentityRevoked,
    SigningRefused,
)
from tsujiban.identity.castore import CaExistsError, CaStoreError
from tsujiban.identity.certificates import validity_of
from tsujiban.identity.csr import CsrRefused
from tsujiban.identity.keys import create_csr, create_spiffe_csr, new_key
from tsujiban.identity.verify import parse_chain, verify_chain

WEB = f"spiffe://{TRUST_DOMAIN}/ns/default/sa/web"
NOW = 1_800_000_000.0


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def ca(tmp_path: Path, clock: Clock) -> CertificateAuthority:
    return CertificateAuthority.create(tmp_path / "ca", TRUST_DOMAIN, clock)


def csr() -> str:
    return create_csr(new_key(), [])


# ---------------------------------------------------------------- what it grants


def test_workload(ca: CertificateAuthority) -> None:
    key = new_key()
    chain_pem = ca.sign_workload(create_spiffe_csr(key, WEB), WEB)
    peer = verify_chain(chain_pem, ca.bundle_pem, TRUST_DOMAIN, NOW)
    assert str(peer.spiffe_id) == WEB
    assert peer.leaf.public_key() == key.public_key()
    assert (peer.not_before, peer.not_after) == (NOW - CLOCK_SKEW, NOW + HOUR)
    usage = peer.leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert list(peer.leaf.subject) == []


def test_chain_is_leaf_then_intermediate_without_root(ca: CertificateAuthority) -> None:
    leaf, intermediate = parse_chain(ca.sign_workload(csr(), WEB))
    (root,) = parse_chain(ca.bundle_pem)
    leaf.verify_directly_issued_by(intermediate)
    intermediate.verify_directly_issued_by(root)
    lengths = [
        certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
        for certificate in (root, intermediate)
    ]
    assert lengths == [1, 0]
    assert validity_of(root).not_after == NOW + ROOT_LIFETIME
    assert validity_of(intermediate).not_after == NOW + INTERMEDIATE_LIFETIME


def test_node(ca: CertificateAuthority) -> None:
    peer = verify_chain(ca.sign_node(csr(), "node-1"), ca.bundle_pem, TRUST_DOMAIN, NOW)
    assert str(peer.spiffe_id) == f"spiffe://{TRUST_DOMAIN}/node/node-1"


def test_server(ca: CertificateAuthority) -> None:
    leaf = parse_chain(ca.sign_server(csr(), ["controller", "localhost"], ["127.0.0.1", "::1"]))[0]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["controller", "localhost"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == []
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_admin(ca: CertificateAuthority) -> None:
    leaf = parse_chain(ca.sign_admin(csr(), "alice", ["system:masters", "ops"]))[0]
    assert leaf.subject.rfc4514_string() == "CN=alice,O=ops,O=system:masters"
    with pytest.raises(x509.ExtensionNotFound):
        leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]


# ---------------------------------------------------------------- what it refuses


@pytest.mark.parametrize(
    "spiffe_id",
    [
        f"spiffe://{TRUST_DOMAIN}",
        f"spiffe://{TRUST_DOMAIN}/node/node-1",
        f"spiffe://{TRUST_DOMAIN}/ns/default/sa/web/x",
        f"spiffe://{TRUST_DOMAIN}/ns/default/sa/../web",
        f"spiffe://{TRUST_DOMAIN}/ns//sa/web",
        f"spiffe://{TRUST_DOMAIN}/ns/default/sa/",
        "spiffe://evil.local/ns/default/sa/web",
        f"spiffe://{TRUST_DOMAIN}.evil/ns/default/sa/web",
        "web",
        "",
    ],
)
def test_other_identities_are_refused(ca: CertificateAuthority, spiffe_id: str) -> None:
    with pytest.raises(SigningRefused, match="not a workload's identity"):
        ca.sign_workload(csr(), spiffe_id)


@pytest.mark.parametrize(
    "node", ["", "a/b", "..", "Node", "node 1", "node\n", "-a", "node-1/../../ns/a/sa/b"]
)
def test_odd_node_names_are_refused(ca: CertificateAuthority, node: str) -> None:
    with pytest.raises(SigningRefused, match="not a node name"):
        ca.sign_node(csr(), node)


@pytest.mark.parametrize("lifetime", [0.0, -1.0, DAY + 1, float("nan"), float("inf")])
def test_odd_lifetimes_are_refused(ca: CertificateAuthority, lifetime: float) -> None:
    with pytest.raises(SigningRefused, match="lifetime"):
        ca.sign_workload(csr(), WEB, lifetime)


def test_server_without_names_or_with_odd_ones(ca: CertificateAuthority) -> None:
    with pytest.raises(SigningRefused, match="needs a DNS name"):
        ca.sign_server(csr(), [], [])
    with pytest.raises(SigningRefused, match="not a DNS name or an address"):
        ca.sign_server(csr(), [], ["localhost"])
    with pytest.raises(SigningRefused, match="not a DNS name or an address"):
        ca.sign_server(csr(), ["b\u00e4nk"], [])


@pytest.mark.parametrize(("user", "groups"), [("", ["g"]), ("u", []), ("u", ["g", ""])])
def test_admin_without_user_or_group(ca: CertificateAuthority, user: str, groups: list[str]) -> None:
    with pytest.raises(SigningRefused, match="needs a user"):
        ca.sign_admin(csr(), user, groups)


def sign_workload(ca: CertificateAuthority, csr_pem: str) -> str:
    return ca.sign_workload(csr_pem, WEB)


def sign_node(ca: CertificateAuthority, csr_pem: str) -> str:
    return ca.sign_node(csr_pem, "node-1")


def sign_server(ca: CertificateAuthority, csr_pem: str) -> str:
    return ca.sign_server(csr_pem, ["localhost"], [])


def sign_admin(ca: CertificateAuthority, csr_pem: str) -> str:
    return ca.sign_admin(csr_pem, "alice")


@pytest.mark.parametrize("sign", [sign_workload, sign_node, sign_server, sign_admin])
def test_every_method_checks_the_csr(
    ca: CertificateAuthority, sign: Callable[[CertificateAuthority, str], str]
) -> None:
    sign(ca, csr())
    with pytest.raises(CsrRefused, match="other names"):
        sign(ca, create_spiffe_csr(new_key(), f"spiffe://{TRUST_DOMAIN}/ns/default/sa/admin"))


def test_leaf_never_outlives_an_intermediate_that_cannot_be_renewed(
    ca: CertificateAuthority, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """The disk is gone: the old intermediate serves on until it ends, and the log says so."""
    shutil.rmtree(ca.directory)
    clock.now = NOW + INTERMEDIATE_LIFETIME - 600
    leaf, intermediate = parse_chain(ca.sign_workload(csr(), WEB))
    assert validity_of(leaf).not_after == validity_of(intermediate).not_after
    assert "intermediate not renewed" in capsys.readouterr().out
    clock.now = NOW + INTERMEDIATE_LIFETIME + 1
    with pytest.raises(SigningRefused, match="is over"):
        ca.sign_workload(csr(), WEB)


def test_leaf_is_never_dated_before_its_issuer(ca: CertificateAuthority, clock: Clock) -> None:
    clock.now = NOW - 30  # the clock went back a little
    leaf, intermediate = parse_chain(ca.sign_workload(csr(), WEB))
    assert validity_of(leaf).not_before == validity_of(intermediate).not_before


# ---------------------------------------------------------------- its life


def test_loaded_authority_is_the_same(ca: CertificateAuthority, clock: Clock) -> None:
    loaded = CertificateAuthority.load(ca.directory, TRUST_DOMAIN, clock)
    assert loaded.bundle_pem == ca.bundle_pem
    verify_chain(loaded.sign_workload(csr(), WEB), ca.bundle_pem, TRUST_DOMAIN, NOW)


def test_create_refuses_to_replace(ca: CertificateAuthority) -> None:
    with pytest.raises(CaExistsError, match="already"):
        CertificateAuthority.create(ca.directory, TRUST_DOMAIN)
    assert sorted(path.name for path in ca.directory.parent.iterdir()) == ["ca"]


def test_open_creates_once_then_loads(tmp_path: Path, clock: Clock) -> None:
    first = CertificateAuthority.open(tmp_path / "x" / "ca", TRUST_DOMAIN, clock)
    assert (
        CertificateAuthority.open(tmp_path / "x" / "ca", TRUST_DOMAIN, clock).bundle_pem == first.bundle_pem
    )


def test_open_never_replaces_a_damaged_authority(ca: CertificateAuthority) -> None:
    (ca.directory / "root.pem").unlink()
    with pytest.raises(CaStoreError, match=r"root\.pem"):
        CertificateAuthority.open(ca.directory, TRUST_DOMAIN)


@pytest.mark.parametrize("how", ["open", "sign"])
def test_intermediate_is_renewed_at_half_life_and_old_leaves_stay_good(
    ca: CertificateAuthority, clock: Clock, how: str
) -> None:
    """By a controller that starts, and by one that just runs."""
    assert not ca.intermediate_due()
    clock.now = NOW + INTERMEDIATE_LIFETIME / 2 - 100
    old_chain = ca.sign_workload(csr(), WEB)
    clock.now += 200
    renewed = CertificateAuthority.open(ca.directory, TRUST_DOMAIN, clock) if how == "open" else ca
    new_chain = renewed.sign_workload(csr(), WEB)
    assert parse_chain(new_chain)[1] != parse_chain(old_chain)[1]
    assert not renewed.intermediate_due()
    loaded = CertificateAuthority.load(ca.directory, TRUST_DOMAIN, clock)
    assert parse_chain(loaded.sign_node(csr(), "n"))[1] == parse_chain(new_chain)[1]
    for chain_pem in (old_chain, new_chain):
        verify_chain(chain_pem, ca.bundle_pem, TRUST_DOMAIN, clock.now)


@pytest.mark.parametrize("trust_domain", ["", "Bank.local", "bank.local/x", "a b", "bank.local:1"])
def test_odd_trust_domains_are_refused(tmp_path: Path, trust_domain: str) -> None:
    with pytest.raises(ValueError, match="not a trust domain"):
        CertificateAuthority.create(tmp_path / "ca", trust_domain)
    assert list(tmp_path.iterdir()) == []


def test_longest_trust_domain(tmp_path: Path) -> None:
    long = "a" * 255
    ca = CertificateAuthority.create(tmp_path / "ca", long)
    verify_chain(ca.sign_workload(csr(), f"spiffe://{long}/ns/a/sa/b"), ca.bundle_pem, long)


def test_two_authorities_do_not_trust_each_other(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = Pki(tmp_path / "a"), Pki(tmp_path / "b")
    with pytest.raises(Exception, match="does not verify"):
        verify_chain(one.ca.sign_workload(csr(), WEB), two.ca.bundle_pem, TRUST_DOMAIN)


def test_nothing_is_signed_for_a_revoked_identity(ca: CertificateAuthority) -> None:
    listed = {WEB, f"spiffe://{TRUST_DOMAIN}/node/n"}
    ca.refuses = lambda one: f"{one} is revoked" if one in listed else ""
    with pytest.raises(IdentityRevoked, match="is revoked"):
        ca.sign_workload(csr(), WEB)
    with pytest.raises(IdentityRevoked, match="is revoked"):
        ca.sign_node(csr(), "n")
    assert ca.sign_workload(csr(), WEB + "-2")
    listed.clear()
    assert ca.sign_workload(csr(), WEB)
