"""How another controller becomes one of this cluster: what it is given, what it asks, what it gets. Pure.

As a node, the new machine has a file with a one-time token and the digest of the cluster's trust bundle. What
it gets is the authority itself, so that is sealed once more, for a key that it has made for this alone."""

from __future__ import annotations

from typing import Any

import msgspec

from tsujiban.controller.config import ControllerConfig
from tsujiban.resources.names import INTERNAL_GROUP

TOKENS_PATH = "/tsujiban/v1/controllers/tokens"
ENROL_PATH = "/tsujiban/v1/controllers/enrol"
# the right to make a token: whoever has it can be this cluster's authority
GROUP, RESOURCE, VERB = INTERNAL_GROUP, "controllers", "enrol"

DEFAULT_SECONDS = 15 * 60
MAX_SECONDS = 24 * 3600

# what must be the same at all controllers; the rest is each one's own
_SHARED = (
    "cluster", "trust_domain", "cluster_domain", "pod_cidr", "block_size", "service_cidr", "dns_address",
    "as_number", "api_endpoints", "svid_lifetime", "lease_seconds", "store",
)  # fmt: skip


class Ticket(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Given to a machine that is to become a controller. Holds a secret: mode 0600."""

    server: str  # https://HOST:PORT of the API of a controller
    controller_token: str  # by another name than in a node's join file: neither passes for the other
    ca_sha256: str  # `wire.join.bundle_digest` of the cluster's trust bundle
    expires: float  # UNIX seconds

    def __repr__(self) -> str:
        return f"Ticket(server={self.server!r}, expires={self.expires})"


class TokenRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST to `TOKENS_PATH`."""

    seconds: int = DEFAULT_SECONDS


class TokenMade(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to a `TokenRequest`."""

    token: str
    ca_sha256: str
    expires: float  # UNIX seconds

    def __repr__(self) -> str:
        return f"TokenMade(expires={self.expires})"


class EnrolRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST to `ENROL_PATH`; the answer is an `identity.sealing.Sealed` of an `Authority`."""

    token: str
    receiver: bytes  # X25519 public key

    def __repr__(self) -> str:
        return "EnrolRequest()"


class Authority(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of the cluster, and the settings that all its controllers share."""

    root_pem: str
    intermediate_pem: str
    settings: dict[str, Any]

    def __repr__(self) -> str:
        return f"Authority(settings={self.settings!r})"


def context(ca_sha256: str) -> bytes:
    """What a seal is bound to, beside token and keys: what this is for, and which cluster's it is."""
    return msgspec.msgpack.encode((ENROL_PATH, ca_sha256))


def shared(config: ControllerConfig) -> dict[str, Any]:
    """The settings that another controller takes over."""
    found: dict[str, Any] = msgspec.to_builtins(config)
    return {name: found[name] for name in _SHARED}


def taken_over(
    settings: dict[str, Any], state_dir: str, own: dict[str, Any], store: dict[str, Any]
) -> ControllerConfig:
    """The configuration of a controller with these shared settings; those of its `own`, and how it reaches
    the `store`, go before. Raises msgspec.ValidationError."""
    wanted = {name: settings[name] for name in _SHARED if name in settings}
    if store:
        wanted["store"] = {**msgspec.convert(wanted.get("store"), dict[str, Any]), **store}
    return msgspec.convert({**wanted, **own, "state_dir": state_dir}, ControllerConfig)
