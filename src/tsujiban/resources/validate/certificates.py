"""Certificate signing requests. Source: kubernetes pkg/apis/certificates/validation (API reference).

What a signer grants is its own business; here is what every request must be.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from tsujiban.resources.kinds import certificates
from tsujiban.resources.validate import names
from tsujiban.resources.validate.report import Report

MIN_EXPIRATION_SECONDS = 600
MAX_REQUEST_BYTES = 16 * 1024

USAGES = (
    "signing",
    "digital signature",
    "content commitment",
    "key encipherment",
    "key agreement",
    "data encipherment",
    "cert sign",
    "crl sign",
    "encipher only",
    "decipher only",
    "any",
    "server auth",
    "client auth",
    "code signing",
    "email protection",
    "s/mime",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "timestamping",
    "ocsp signing",
    "microsoft sgc",
    "netscape sgc",
)
_CONDITIONS = ("Approved", "Denied", "Failed")
_SIGNER_PATH = re.compile(r"[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?(?:/[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?)*")


def _request(request: certificates.CertificateSigningRequest, raw: Mapping[str, Any], report: Report) -> None:
    spec = request.spec
    if report.required(("spec", "request"), spec.request):
        _pem(spec.request, report)
    _signer(spec.signer_name, report)
    if not spec.usages:
        report.error(("spec", "usages"), "missing-field", "usages are required")
    report.distinct(("spec", "usages"), spec.usages)
    for index, usage in enumerate(spec.usages):
        report.one_of(("spec", "usages", index), usage, USAGES)
    seconds = spec.expiration_seconds
    if seconds is not None and seconds < MIN_EXPIRATION_SECONDS:
        text = f"may not specify a duration less than {MIN_EXPIRATION_SECONDS} seconds (10 minutes)"
        report.error(("spec", "expirationSeconds"), "out-of-range", text)
    _conditions(request, report)


def _pem(text: str, report: Report) -> None:
    path = ("spec", "request")
    if len(text) > MAX_REQUEST_BYTES * 4 // 3 + 4:
        report.error(path, "too-large", f"larger than {MAX_REQUEST_BYTES} bytes")
        return
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        report.error(path, "bad-value", "it is not base64")
        return
    if not data.lstrip().startswith(b"-----BEGIN CERTIFICATE REQUEST-----"):
        report.error(path, "bad-value", "PEM block type must be CERTIFICATE REQUEST")


def _signer(name: str, report: Report) -> None:
    path = ("spec", "signerName")
    if not report.required(path, name):
        return
    domain, _, rest = name.partition("/")
    well = "." in domain and names.is_subdomain(domain) and len(name) <= 571
    if not well or not _SIGNER_PATH.fullmatch(rest):
        text = f"{name[:64]!r} must be a domain and a path: DOMAIN/NAME"
        report.error(path, "bad-value", text, "for users of this API: kubernetes.io/kube-apiserver-client")
    elif name == "kubernetes.io/legacy-unknown":
        report.error(path, "bad-value", "the legacy signerName is not allowed via this API version")


def _conditions(request: certificates.CertificateSigningRequest, report: Report) -> None:
    found = request.status.conditions if request.status else ()
    path = ("status", "conditions")
    for index, condition in enumerate(found):
        report.one_of((*path, index, "type"), condition.type, _CONDITIONS)
        if condition.status not in ("", "True"):
            text = f"status of {condition.type} can only be True"
            report.error((*path, index, "status"), "bad-value", text)
    kinds = [condition.type for condition in found]
    report.distinct(path, kinds)
    if "Approved" in kinds and "Denied" in kinds:
        report.error(path, "conflict", "Approved and Denied conditions are mutually exclusive")


CHECKS = {"CertificateSigningRequest": _request}
