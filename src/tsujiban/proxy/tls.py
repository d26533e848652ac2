"""TLS of the mesh: version 1.3, both sides authenticated, keys by SDS over the agent's stream.

The trust bundle comes with the SPIFFE validator, which checks that a certificate belongs to the
trust domain whose bundle verifies it. No session is resumed: every connection proves its identity.
"""

from __future__ import annotations

from tsujiban.identity.svid import Svid
from tsujiban.proxy import names
from tsujiban.proxy.matchers import Json, typed
from tsujiban.proxy.resource import Kind, Resource
from tsujiban.resources.names import SPIFFE_SCHEME

ADS: Json = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
_TLS = "envoy.extensions.transport_sockets.tls.v3."


def _common(validation: Json) -> Json:
    return {
        "tls_params": {
            "tls_minimum_protocol_version": "TLSv1_3",
            "tls_maximum_protocol_version": "TLSv1_3",
        },
        "alpn_protocols": [names.ALPN],
        "tls_certificate_sds_secret_configs": [{"name": names.IDENTITY_SECRET, "sds_config": ADS}],
        "combined_validation_context": {
            "default_validation_context": validation,
            "validation_context_sds_secret_config": {"name": names.TRUST_SECRET, "sds_config": ADS},
        },
    }


def server() -> Json:
    """Transport socket of a tunnel's server: any client of the trust domain may speak; what it
    may do is decided on the CONNECT."""
    config = typed(
        _TLS + "DownstreamTlsContext",
        common_tls_context=_common({}),
        require_client_certificate=True,
        disable_stateless_session_resumption=True,
        disable_stateful_session_resumption=True,
    )
    return {"name": "tls", "typed_config": config}


def client(identity: str) -> Json:
    """Transport socket of a tunnel's client: the server must prove exactly `identity`."""
    expected = {"san_type": "URI", "matcher": {"exact": identity}}
    config = typed(
        _TLS + "UpstreamTlsContext",
        common_tls_context=_common({"match_typed_subject_alt_names": [expected]}),
        max_session_keys=0,
    )
    return {"name": "tls", "typed_config": config}


def secrets(svid: Svid) -> list[Resource]:
    """The two secrets of a workload: its certificate and key, and whom it trusts."""
    identity: Json = {
        "name": names.IDENTITY_SECRET,
        "tls_certificate": {
            "certificate_chain": {"inline_string": svid.chain_pem},
            "private_key": {"inline_string": svid.key_pem},
        },
    }
    domain = svid.spiffe_id.removeprefix(SPIFFE_SCHEME).partition("/")[0]
    validator = typed(
        _TLS + "SPIFFECertValidatorConfig",
        trust_domains=[{"name": domain, "trust_bundle": {"inline_string": svid.bundle_pem}}],
    )
    trust: Json = {
        "name": names.TRUST_SECRET,
        "validation_context": {
            "custom_validator_config": {
                "name": "envoy.tls.cert_validator.spiffe",
                "typed_config": validator,
            }
        },
    }
    return [
        Resource(Kind.SECRET, names.IDENTITY_SECRET, identity),
        Resource(Kind.SECRET, names.TRUST_SECRET, trust),
    ]
