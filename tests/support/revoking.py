"""A list of revoked certificates, as a controller would give it to proxies."""

from __future__ import annotations

import msgspec
from cryptography import x509
from tests.support.proxybed import Bed

from tsujiban.identity.svid import Svid
from tsujiban.policy.program import AuthzProgram
from tsujiban.policy.revocation import RULE, compile_revocations
from tsujiban.resources.kinds.core import ConfigMap


def revoked(bed: Bed, *entries: str) -> dict[str, AuthzProgram]:
    """Changes: these are on the list, besides a serial number that nobody has."""
    form = compile_revocations(ConfigMap(data={"revoked": "\n".join(("serial:1", *entries))}))
    assert form is not None
    crl = bed.pki.ca.crl(int(one, 16) for one in form.program.revokes or ())
    return {RULE: msgspec.structs.replace(form.program, crl=crl)}


def serial(svid: Svid) -> str:
    """The entry for one certificate."""
    leaf = x509.load_pem_x509_certificates(svid.chain_pem.encode())[0]
    return f"serial:{leaf.serial_number:x}"
