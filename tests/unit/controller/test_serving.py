"""The controller's certificate is for its names, and for the one by which nodes know it."""

from __future__ import annotations

import stat
import time
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tsujiban.controller import serving
from tsujiban.controller.config import ControllerConfig
from tsujiban.identity.ca import CertificateAuthority
from tsujiban.wire.messages import CONTROLLER_NAME

IDENTITY = "0123456789abcdef" * 2


def test_names_key_and_end(tmp_path: Path) -> None:
    ca = CertificateAuthority.open(tmp_path / "ca", "cluster.local")
    path = serving.make_certificate(ca, tmp_path, ("localhost", "127.0.0.1", "172.31.255.1"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    pem = path.read_bytes()
    leaf = x509.load_pem_x509_certificate(pem[pem.index(b"-----BEGIN CERTIFICATE-----") :])
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {CONTROLLER_NAME, "localhost"}
    assert set(names.get_values_for_type(x509.IPAddress)) == {
        ip_address("127.0.0.1"),
        ip_address("172.31.255.1"),
    }
    assert load_pem_private_key(pem, None).public_key() == leaf.public_key()
    assert serving.expires(path) == leaf.not_valid_after_utc.timestamp() > time.time()


def test_each_start_makes_a_new_key(tmp_path: Path) -> None:
    ca = CertificateAuthority.open(tmp_path / "ca", "cluster.local")
    first = serving.make_certificate(ca, tmp_path, ("localhost",)).read_bytes()
    assert serving.make_certificate(ca, tmp_path, ("localhost",)).read_bytes() != first


def test_pods_names_of_the_api_are_in_it_when_pods_reach_it() -> None:
    alone = ControllerConfig(cluster="c", state_dir="/nowhere", api_names=("localhost",))
    assert serving.names(alone, IDENTITY) == ("localhost", f"{IDENTITY}.{CONTROLLER_NAME}")
    reached = ControllerConfig(
        cluster="c", state_dir="/nowhere", api_names=("localhost",), api_endpoints=("172.31.255.1:6443",)
    )
    assert {"localhost", "kubernetes.default.svc", "10.96.0.1"} <= set(serving.names(reached, IDENTITY))
