from __future__ import annotations

from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.discovery.v3 import discovery_pb2

from tsujiban.local.demo.thief import unpack


def response(name: str) -> discovery_pb2.DeltaDiscoveryResponse:
    secret = secret_pb2.Secret(name=name)
    secret.tls_certificate.certificate_chain.inline_string = "chain"
    secret.tls_certificate.private_key.inline_bytes = b"key"
    found = discovery_pb2.DeltaDiscoveryResponse()
    found.resources.add(name=name).resource.Pack(secret)
    return found


def test_the_secret_is_taken_out_whatever_form_it_has() -> None:
    loot = unpack(response("identity"), "identity")
    assert loot is not None
    assert (loot.chain, loot.key) == ("chain", "key")


def test_other_resources_are_passed_over() -> None:
    assert unpack(response("trust"), "identity") is None
    assert unpack(discovery_pb2.DeltaDiscoveryResponse(), "identity") is None
