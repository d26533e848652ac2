"""SPIFFE IDs, parsed by the letter of the specification, because a loose parser is a bypass.

Two parsers that disagree on one string ("%2e%2e", an upper-case trust domain, an empty segment)
let a peer be one workload to the proxy and another to policy. So everything that the
specification does not allow is an error here, and an error means: deny.

Source: SPIFFE-ID standard, section 2 (trust domain 2.1, path 2.2, length 2.3).
"""

from __future__ import annotations

import re

import msgspec

from tsujiban.resources.names import SPIFFE_SCHEME

MAX_ID_BYTES = 2048
MAX_TRUST_DOMAIN_BYTES = 255

# \Z and not $: the latter lets a trailing newline through
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]+\Z", re.ASCII)
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+\Z", re.ASCII)


class SpiffeIdError(ValueError):
    """The text is not a SPIFFE ID; the message says which rule it breaks."""


class SpiffeId(msgspec.Struct, frozen=True):
    """A parsed SPIFFE ID. `path` begins with a slash, or is empty for the trust domain itself."""

    trust_domain: str
    path: str = ""

    def __str__(self) -> str:
        return f"{SPIFFE_SCHEME}{self.trust_domain}{self.path}"

    @property
    def principal(self) -> str:
        """The ID without its scheme, as Istio writes principals."""
        return f"{self.trust_domain}{self.path}"


def parse_trust_domain(name: str) -> str:
    """Return `name` when it is a valid trust domain name. Raises SpiffeIdError."""
    if not name:
        raise SpiffeIdError("trust domain is empty")
    if not _TRUST_DOMAIN.match(name):
        raise SpiffeIdError(
            f"trust domain {_shown(name)} may hold only lower-case letters, digits, '.', '-' and '_'"
        )
    if len(name) > MAX_TRUST_DOMAIN_BYTES:
        raise SpiffeIdError(f"trust domain is longer than {MAX_TRUST_DOMAIN_BYTES} bytes")
    return name


def parse_spiffe_id(text: str) -> SpiffeId:
    """Parse a SPIFFE ID. Raises SpiffeIdError when any rule of the standard is broken."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_ID_BYTES:
        raise SpiffeIdError(f"SPIFFE ID is longer than {MAX_ID_BYTES} bytes")
    if not text.startswith(SPIFFE_SCHEME):
        raise SpiffeIdError(f"SPIFFE ID {_shown(text)} does not begin with {SPIFFE_SCHEME}")
    trust_domain, slash, path = text[len(SPIFFE_SCHEME) :].partition("/")
    parse_trust_domain(trust_domain)
    if not slash:
        return SpiffeId(trust_domain)
    for segment in path.split("/"):
        _check_segment(segment)
    return SpiffeId(trust_domain, "/" + path)


def _check_segment(segment: str) -> None:
    if not segment:
        raise SpiffeIdError("SPIFFE ID has an empty path segment or a trailing slash")
    if segment in (".", ".."):
        raise SpiffeIdError("SPIFFE ID has a relative path segment")
    if not _SEGMENT.match(segment):
        raise SpiffeIdError(
            f"SPIFFE ID path segment {_shown(segment)} may hold only letters, digits, '.', '-' and '_'"
        )


def _shown(text: str) -> str:
    return ascii(text[:100])
