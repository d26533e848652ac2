"""certificates.k8s.io/v1: asking the cluster's authority for a client certificate."""

from __future__ import annotations

import msgspec

from tsujiban.resources.kinds.meta import Object, Shape, Status

GROUP = "certificates.k8s.io"


class CertificateSigningRequestSpec(Shape, frozen=True):
    """`request` is the PEM of a PKCS#10 request, in base64. Who asks is filled in by the server."""

    request: str = ""
    signer_name: str = ""
    expiration_seconds: int | None = None
    usages: tuple[str, ...] = ()
    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)


class CertificateSigningRequestCondition(Status, frozen=True):
    """`type` is Approved, Denied or Failed."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_update_time: str | None = None
    last_transition_time: str | None = None


class CertificateSigningRequestStatus(Status, frozen=True):
    """`certificate` is a PEM chain, in base64."""

    conditions: tuple[CertificateSigningRequestCondition, ...] = ()
    certificate: str = ""


class CertificateSigningRequest(Object, frozen=True):
    """A request for a certificate, to be approved or denied, then signed."""

    spec: CertificateSigningRequestSpec = CertificateSigningRequestSpec()
    status: CertificateSigningRequestStatus | None = None
