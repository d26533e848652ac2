"""A certificate and its key, as a thief carries them: kept out of every log by having no `repr`."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509


@dataclass(frozen=True, slots=True)
class Loot:
    """PEM texts."""

    chain: str = field(repr=False)
    key: str = field(repr=False)

    @property
    def owner(self) -> str:
        """The SPIFFE ID in the first certificate. Raises ValueError when it names none."""
        certificate = x509.load_pem_x509_certificate(self.chain.encode())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = names.get_values_for_type(x509.UniformResourceIdentifier)
        if len(found) != 1:
            raise ValueError(f"the certificate holds {len(found)} URIs, not one")
        return str(found[0])
