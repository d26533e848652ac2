"""The certificate authority of one trust domain: a root that signs an intermediate that signs all.

Every `sign_*` method states what it grants; nothing is taken from the CSR but its public key.
The root and the intermediate are each one file (key and certificate together), so that a crash
can never leave a key beside the certificate of another.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tsujiban.identity import castore, crl
from tsujiban.identity.certificates import (
    CLIENT_AUTH,
    SERVER_AUTH,
    Issuer,
    PublicKey,
    Validity,
    authority,
    leaf,
    name,
    validity_of,
)
from tsujiban.identity.csr import check_csr, check_user_csr
from tsujiban.identity.files import write_private
from tsujiban.identity.keys import new_key
from tsujiban.resources import spiffe
from tsujiban.resources.names import SPIFFE_SCHEME, node_identity

log = structlog.get_logger(__name__)

HOUR = 3600.0
DAY = 24 * HOUR
ROOT_LIFETIME = 3652 * DAY
INTERMEDIATE_LIFETIME = 365 * DAY
MAX_WORKLOAD_LIFETIME = DAY
MAX_USER_LIFETIME = 365 * DAY
NODE_LIFETIME = 7 * DAY  # a node that was off for longer must join again
CLOCK_SKEW = 60.0  # seconds by which a certificate is dated back

Clock = Callable[[], float]


class SigningRefused(ValueError):
    """The CA does not grant what is asked of it: a name outside its rules, or an odd lifetime."""


class IdentityRevoked(SigningRefused):
    """The identity is on the list of those that are not taken any more."""


class CertificateAuthority:
    """Signs for one trust domain. Make one with `create`, `load` or `open`."""

    def __init__(
        self, directory: Path, trust_domain: str, root: Issuer, intermediate: Issuer, clock: Clock = time.time
    ) -> None:
        self.directory = directory
        self.trust_domain = trust_domain
        self._root = root
        self._intermediate = intermediate
        self._clock = clock
        # Why nothing is signed for an identity that is revoked; "" is no reason.
        self.refuses: Callable[[str], str] = lambda _: ""

    # ------------------------------------------------------------ life of the CA

    @classmethod
    def create(cls, directory: Path, trust_domain: str, clock: Clock = time.time) -> CertificateAuthority:
        """Make a CA in `directory`, which must not exist yet (mode 0700, files 0600).

        Appears whole or not at all. Raises ValueError (trust domain), CaExistsError, OSError.
        """
        _check_trust_domain(trust_domain)
        now = clock()
        root = _new_authority(trust_domain, "root", None, 1, now, ROOT_LIFETIME)
        intermediate = _new_authority(trust_domain, "intermediate", root, 0, now, INTERMEDIATE_LIFETIME)
        castore.create(directory, root, intermediate)
        return cls(directory, trust_domain, root, intermediate, clock)

    @classmethod
    def load(cls, directory: Path, trust_domain: str, clock: Clock = time.time) -> CertificateAuthority:
        """Load the CA of `directory` and check it. Never makes a new one. Raises CaStoreError."""
        _check_trust_domain(trust_domain)
        root, intermediate = castore.load(directory, trust_domain, clock())
        return cls(directory, trust_domain, root, intermediate, clock)

    @classmethod
    def open(cls, directory: Path, trust_domain: str, clock: Clock = time.time) -> CertificateAuthority:
        """Load the CA of `directory`, or create it when there is none; renew its intermediate when due."""
        try:
            ca = cls.create(directory, trust_domain, clock)
        except castore.CaExistsError:
            ca = cls.load(directory, trust_domain, clock)
        if ca.intermediate_due():
            ca._try_to_renew()
        return ca

    def intermediate_due(self) -> bool:
        """True from the half-life of the intermediate on."""
        validity = validity_of(self._intermediate.certificate)
        return self._clock() >= (validity.not_before + validity.not_after) / 2

    def renew_intermediate(self) -> None:
        """A new certificate of the intermediate, on disk first, for the key that it has: what was signed
        under the old one stays valid, and so do the lists of revoked certificates (see `crl`)."""
        key = self._intermediate.key
        fresh = _new_authority(
            self.trust_domain, "intermediate", self._root, 0, self._clock(), INTERMEDIATE_LIFETIME, key
        )
        write_private(self.directory / castore.INTERMEDIATE_FILE, castore.issuer_to_pem(fresh))
        self._intermediate = fresh

    def _try_to_renew(self) -> None:
        """Renew the intermediate; when the disk refuses, the old one serves on until it ends."""
        try:
            self.renew_intermediate()
        except OSError as error:
            log.error("intermediate not renewed", directory=str(self.directory), reason=str(error))

    # ------------------------------------------------------------ what it grants

    @property
    def bundle_pem(self) -> str:
        """The roots of the trust domain, PEM: what peers verify with."""
        return _pem(self._root.certificate)

    def with_keys(self) -> tuple[str, str]:
        """Root and intermediate, PEM, each with its key: whoever has them is this authority."""
        root, intermediate = map(castore.issuer_to_pem, (self._root, self._intermediate))
        return root.decode(), intermediate.decode()

    def crl(self, serials: Iterable[int]) -> str:
        """The lists of revoked certificates, PEM: the root's, which is empty, and the intermediate's.

        Every controller that shares the keys makes the same ones, and a renewed certificate changes none.
        Raises ValueError for what is no serial number.
        """
        validity = validity_of(self._root.certificate)
        lists = (crl.sign(self._root, (), validity), crl.sign(self._intermediate, serials, validity))
        return "".join(lists)

    def sign_workload(self, csr_pem: str, spiffe_id: str, lifetime: float = HOUR) -> str:
        """Chain (leaf first, without root) for `spiffe://<trust domain>/ns/<ns>/sa/<account>`.

        `lifetime` in seconds, at most a day. Raises CsrRefused, SigningRefused.
        """
        if not 0 < lifetime <= MAX_WORKLOAD_LIFETIME:
            raise SigningRefused(f"lifetime of a workload must be within a day, not {lifetime} s")
        workload = spiffe.workload(spiffe_id)
        if workload is None or workload.trust_domain != self.trust_domain:
            raise SigningRefused(
                f"{spiffe_id!r} is not a workload's identity (spiffe://{self.trust_domain}/ns/NAMESPACE/sa/ACCOUNT)"
            )
        return self._sign_svid(csr_pem, spiffe_id, lifetime)

    def sign_node(self, csr_pem: str, node: str, lifetime: float = NODE_LIFETIME) -> str:
        """Chain for the agent of `node`. Raises CsrRefused, SigningRefused."""
        spiffe_id = node_identity(self.trust_domain, node)
        if spiffe.node(spiffe_id) != node:
            raise SigningRefused(f"{node!r} is not a node name")
        return self._sign_svid(csr_pem, spiffe_id, lifetime)

    def sign_server(
        self, csr_pem: str, dns_names: Sequence[str], ip_addresses: Sequence[str], lifetime: float = 365 * DAY
    ) -> str:
        """Chain for a server of the control plane, for these names. Raises CsrRefused, SigningRefused."""
        try:
            names: list[x509.GeneralName] = [x509.DNSName(dns) for dns in dns_names]
            names += [x509.IPAddress(ipaddress.ip_address(address)) for address in ip_addresses]
        except ValueError as error:
            raise SigningRefused(f"not a DNS name or an address: {error}") from error
        if not names:
            raise SigningRefused("a server certificate needs a DNS name or an address")
        return self._sign(csr_pem, x509.Name([]), names, [SERVER_AUTH], lifetime)

    def sign_admin(
        self,
        csr_pem: str,
        user: str,
        groups: Sequence[str] = ("system:masters",),
        lifetime: float = 365 * DAY,
    ) -> str:
        """Chain for a person who uses the API: CN is the user, each O a group, as in Kubernetes."""
        if not user or not groups or not all(groups):
            raise SigningRefused("an API client certificate needs a user and at least one group")
        return self._sign(csr_pem, name(user, groups), [], [CLIENT_AUTH], lifetime)

    def sign_user(self, csr_pem: str, lifetime: float) -> str:
        """Chain for the user and groups that a CSR names, none of which may be the system's own.

        `lifetime` in seconds, at most a year. Raises CsrRefused, SigningRefused.
        """
        if not 0 < lifetime <= MAX_USER_LIFETIME:
            raise SigningRefused(f"lifetime of a user's certificate must be within a year, not {lifetime} s")
        asked = check_user_csr(csr_pem)
        for text in (asked.user, *asked.groups):
            if text.casefold().startswith("system:"):
                raise SigningRefused(f"{text[:64]!r} is a name of the system's own: no request gets it")
        subject = name(asked.user, asked.groups)
        return self._issue(asked.key, subject, [], [CLIENT_AUTH], lifetime)

    def _sign_svid(self, csr_pem: str, spiffe_id: str, lifetime: float) -> str:
        reason = self.refuses(spiffe_id)
        if reason:
            raise IdentityRevoked(reason)
        # X.509-SVID 4.4: an SVID's extended key usage, when present, holds both
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(spiffe_id)]
        return self._sign(csr_pem, x509.Name([]), names, [SERVER_AUTH, CLIENT_AUTH], lifetime)

    def _sign(
        self,
        csr_pem: str,
        subject: x509.Name,
        names: Sequence[x509.GeneralName],
        usages: Sequence[x509.ObjectIdentifier],
        lifetime: float,
    ) -> str:
        return self._issue(check_csr(csr_pem, frozenset(names)), subject, names, usages, lifetime)

    def _issue(
        self,
        public_key: PublicKey,
        subject: x509.Name,
        names: Sequence[x509.GeneralName],
        usages: Sequence[x509.ObjectIdentifier],
        lifetime: float,
    ) -> str:
        if self.intermediate_due():
            self._try_to_renew()
        issuer = self._intermediate
        now = self._clock()
        limits = validity_of(issuer.certificate)
        validity = Validity(max(now - CLOCK_SKEW, limits.not_before), min(now + lifetime, limits.not_after))
        if validity.not_after <= now:
            raise SigningRefused("the lifetime asked for, or the CA's intermediate certificate, is over")
        certificate = leaf(subject, names, usages, public_key, issuer, validity)
        return _pem(certificate) + _pem(issuer.certificate)


def _check_trust_domain(name: str) -> None:
    parsed = spiffe.parse(SPIFFE_SCHEME + name)
    if parsed is None or parsed.path:
        raise ValueError(f"{name!r} is not a trust domain: lower-case letters, digits, '.', '-' and '_' only")


def _new_authority(
    trust_domain: str,
    role: str,
    parent: Issuer | None,
    path_length: int,
    now: float,
    lifetime: float,
    key: ec.EllipticCurvePrivateKey | None = None,
) -> Issuer:
    key = key or new_key()
    not_after = now + lifetime
    if parent is not None:
        not_after = min(not_after, validity_of(parent.certificate).not_after)
    validity = Validity(now - CLOCK_SKEW, not_after)
    certificate = authority(trust_domain, f"{trust_domain} {role}"[:64], key, parent, path_length, validity)
    return Issuer(certificate, key)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
