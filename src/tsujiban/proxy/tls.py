"""TLS of the mesh: version 1.3, both sides authenticated, keys by SDS over the agent's stream.

The trust bundle comes with the SPIFFE validator, which checks that a certificate belongs to the
trust domain whose bundle verifies it. No session is resumed: every connection proves its identity.
"""

from __future__ import annotations

from tsujiban.identity.svid import Svid
from tsujiban.proxy import names
from tsujiban.proxy.matchers import Json, typed
from tsujiban.proxy.resource import Kind, Resource
from tsujiban.proxy.site import SIDECAR, NodeSite, Site
from tsujiban.resources.names import SPIFFE_SCHEME

_TLS = "envoy.extensions.transport_sockets.tls.v3."


def _common(site: Site, certificate: Json, validation: Json) -> Json:
    return {
        "tls_params": {
            "tls_minimum_protocol_version": "TLSv1_3",
            "tls_maximum_protocol_version": "TLSv1_3",
        },
        "alpn_protocols": [names.ALPN],
        **certificate,
        "combined_validation_context": {
            "default_validation_context": validation,
            "validation_context_sds_secret_config": {"name": names.TRUST_SECRET, "sds_config": site.ads()},
        },
    }


def server(site: Site) -> Json:
    """Transport socket of a tunnel's server: any client of the trust domain may speak; what it
    may do is decided on the CONNECT."""
    config = typed(
        _TLS + "DownstreamTlsContext",
        common_tls_context=_common(site, site.own_certificate(), {}),
        require_client_certificate=True,
        disable_stateless_session_resumption=True,
        disable_stateful_session_resumption=True,
    )
    return {"name": "tls", "typed_config": config}


def client(site: Site, identity: str) -> Json:
    """Transport socket of a tunnel's client: the server must prove exactly `identity`."""
    expected = {"san_type": "URI", "matcher": {"exact": identity}}
    validation: Json = {"match_typed_subject_alt_names": [expected]}
    config = typed(
        _TLS + "UpstreamTlsContext",
        common_tls_context=_common(site, site.certificate(), validation),
        max_session_keys=0,
    )
    return {"name": "tls", "typed_config": config}


def secrets(svid: Svid, site: Site = SIDECAR, crl: str = "") -> list[Resource]:
    """The secrets of a workload: its certificate and key, and whom it trusts, but for what is in `crl`: lists
    (PEM) of every authority, or none. Envoy's SPIFFE validator looks for them in the bundle.

    In a node's Envoy the certificate goes by two names: one that is asked for on demand is never
    delivered when a listener has asked for it before (Envoy 1.40)."""
    certificate: Json = {
        "certificate_chain": {"inline_string": svid.chain_pem},
        "private_key": {"inline_string": svid.key_pem},
    }
    both = (names.IDENTITY_SECRET, names.CLIENT_SECRET)
    held = [site.name(one) for one in (both if isinstance(site, NodeSite) else both[:1])]
    domain = svid.spiffe_id.removeprefix(SPIFFE_SCHEME).partition("/")[0]
    validator = typed(
        _TLS + "SPIFFECertValidatorConfig",
        trust_domains=[{"name": domain, "trust_bundle": {"inline_string": svid.bundle_pem + crl}}],
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
        *(
            Resource(
                Kind.SECRET,
                one,
                {"name": one, "tls_certificate": certificate},
                on_demand=one == site.name(names.CLIENT_SECRET),
            )
            for one in held
        ),
        Resource(Kind.SECRET, names.TRUST_SECRET, trust),
    ]
