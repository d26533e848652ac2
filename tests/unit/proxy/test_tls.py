from __future__ import annotations

from tsujiban.identity.svid import Svid
from tsujiban.proxy import names, tls
from tsujiban.proxy.resource import Kind
from tsujiban.proxy.site import SIDECAR

SVID = Svid(
    spiffe_id="spiffe://t.example/ns/a/sa/b",
    chain_pem="CHAIN",
    key_pem="KEY",
    bundle_pem="BUNDLE",
    not_before=0,
    not_after=1,
)


def test_both_sides_speak_tls_1_3_only_and_prove_themselves() -> None:
    for config in (tls.server(SIDECAR)["typed_config"], tls.client(SIDECAR, "spiffe://t/x")["typed_config"]):
        common = config["common_tls_context"]
        assert set(common["tls_params"].values()) == {"TLSv1_3"}
        assert common["alpn_protocols"] == [names.ALPN]
        assert common["tls_certificate_sds_secret_configs"][0]["name"] == names.IDENTITY_SECRET
    assert tls.server(SIDECAR)["typed_config"]["require_client_certificate"] is True


def test_a_client_expects_one_identity_and_no_other() -> None:
    context = tls.client(SIDECAR, "spiffe://t/x")["typed_config"]["common_tls_context"]
    validation = context["combined_validation_context"]["default_validation_context"]
    expected = [{"san_type": "URI", "matcher": {"exact": "spiffe://t/x"}}]
    assert validation == {"match_typed_subject_alt_names": expected}


def test_no_session_is_resumed() -> None:
    server = tls.server(SIDECAR)["typed_config"]
    assert server["disable_stateless_session_resumption"]
    assert server["disable_stateful_session_resumption"]
    assert tls.client(SIDECAR, "spiffe://t/x")["typed_config"]["max_session_keys"] == 0


def test_secrets_hold_the_key_and_the_bundle_of_its_own_trust_domain() -> None:
    identity, trust = tls.secrets(SVID)
    assert {identity.kind, trust.kind} == {Kind.SECRET}
    assert b"KEY" in identity.encoded()
    assert b"t.example" in trust.encoded()
    assert b"BUNDLE" in trust.encoded()
    assert "KEY" not in repr(identity)
