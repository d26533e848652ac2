"""SPIFFE IDs, read strictly: what cannot be read is nobody (SPIFFE-ID specification, section 2)."""

from __future__ import annotations

import re
from typing import NamedTuple

_MAX_LENGTH = 2048  # bytes of the whole ID, section 2.3
_ID = re.compile(r"spiffe://(?P<domain>[a-z0-9._-]{1,255})(?P<path>(?:/[a-zA-Z0-9._-]+)*)")
_NAME = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_WORKLOAD = re.compile(rf"/ns/(?P<namespace>{_NAME})/sa/(?P<account>{_NAME}(?:\.{_NAME})*)")
_NODE = re.compile(rf"/node/(?P<node>{_NAME}(?:\.{_NAME})*)")


class SpiffeId(NamedTuple):
    """A trust domain, and a path that is empty or starts with a slash."""

    trust_domain: str
    path: str

    def __str__(self) -> str:
        return f"spiffe://{self.trust_domain}{self.path}"


class Workload(NamedTuple):
    """Whose identity a workload's SPIFFE ID is."""

    trust_domain: str
    namespace: str
    service_account: str


def parse(text: str) -> SpiffeId | None:
    """The SPIFFE ID that `text` is, or None.

    No upper case in the trust domain, no port, no user, no query, no fragment, no
    percent-encoding, no empty, `.` or `..` segment, no trailing slash.
    """
    if len(text) > _MAX_LENGTH:
        return None
    match = _ID.fullmatch(text)
    if match is None or any(segment in (".", "..") for segment in match["path"].split("/")):
        return None
    return SpiffeId(match["domain"], match["path"])


def workload(text: str) -> Workload | None:
    """Namespace and service account of a workload's ID `spiffe://D/ns/N/sa/S`, or None."""
    found = parse(text)
    match = _WORKLOAD.fullmatch(found.path) if found else None
    if found is None or match is None:
        return None
    return Workload(found.trust_domain, match["namespace"], match["account"])


def node(text: str) -> str | None:
    """Name of the node whose agent has the ID `spiffe://D/node/N`, or None."""
    found = parse(text)
    match = _NODE.fullmatch(found.path) if found else None
    return match["node"] if match else None
