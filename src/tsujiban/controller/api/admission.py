"""May this object be stored: the judgement of `resources`, alone and beside what is stored.

What an object leans on (its namespace, its tier) is read here, and handed back as checks for
the same transaction, so that it cannot be deleted in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tsujiban.controller.api.errors import ApiError, forbidden, invalid, not_found
from tsujiban.resources import load
from tsujiban.resources.findings import Finding, errors
from tsujiban.resources.registry import Kind
from tsujiban.store.protocol import Check, Key, NotFound, Store

Json = dict[str, Any]

BUILT_IN_TIERS = frozenset({"default", "kube-admin", "kube-baseline"})
TIERED = (
    "networkpolicies",
    "globalnetworkpolicies",
    "stagednetworkpolicies",
    "stagedglobalnetworkpolicies",
)
PERMANENT_NAMESPACES = frozenset({"default", "kube-system"})
CALICO = "projectcalico.org"


def shape_findings(document: Json) -> list[Finding]:
    """All errors of an object by itself."""
    return errors(load.check(document).findings)


def judge(kind: Kind, document: Json) -> None:
    """Refuse an object that is wrong by itself.

    Raises:
        ApiError: 422 with every cause.
    """
    findings = shape_findings(document)
    if findings:
        raise invalid(kind.kind, kind.group, str(document["metadata"].get("name", "")), findings)


def leans_on(kind: Kind, document: Json) -> list[Key]:
    """What must exist for the object to be stored: its namespace, its tier."""
    keys = []
    if kind.namespaced:
        keys.append(Key("", "namespaces", "", document["metadata"]["namespace"]))
    tier = tier_of(kind, document)
    if tier and tier not in BUILT_IN_TIERS:
        keys.append(Key(CALICO, "tiers", "", tier))
    return keys


def tier_of(kind: Kind, document: Json) -> str:
    """Name of the tier that a Calico policy is in; "" for other kinds."""
    if kind.group != CALICO or kind.plural not in TIERED:
        return ""
    spec = document.get("spec")
    return str(spec.get("tier") or "default") if isinstance(spec, dict) else "default"


async def admit(store: Store, kind: Kind, document: Json) -> list[Check]:
    """Judge an object, alone and against the store; the checks belong into the transaction that writes it.

    Raises:
        ApiError: 422 with every cause, or 404 for a namespace that does not exist.
    """
    judge(kind, document)
    checks = []
    for key in leans_on(kind, document):
        try:
            await store.get(key)
        except NotFound:
            raise missing(kind, document, key) from None
        checks.append(Check(key))
    return checks


def missing(kind: Kind, document: Json, key: Key) -> ApiError:
    """The refusal for something that an object leans on and that does not exist."""
    if key.resource == "namespaces":
        return not_found(key)
    return invalid(kind.kind, kind.group, document["metadata"]["name"], [missing_tier(key.name)])


def missing_tier(name: str) -> Finding:
    """The finding for a policy in a tier that does not exist."""
    return Finding(
        code="unknown-tier",
        message=f"tier {name!r} does not exist",
        hint="create the Tier first, or in the same apply",
        field="spec.tier",
    )


async def admit_deletion(store: Store, kind: Kind, name: str) -> None:
    """Refuse to delete what others stand on.

    Raises:
        ApiError: 403 for the first namespaces, 409 for a tier with policies in it.
    """
    if (kind.group, kind.plural) == ("", "namespaces") and name in PERMANENT_NAMESPACES:
        raise forbidden(f"namespace {name!r} cannot be deleted")
    if (kind.group, kind.plural) == (CALICO, "tiers"):
        users = [key for plural in TIERED for key in await _in_tier(store, plural, name)]
        if users:
            listed = ", ".join(str(key) for key in users[:10])
            raise ApiError(409, "Conflict", f"tier {name!r} still has {len(users)} policies: {listed}")


class _Spec(msgspec.Struct):
    tier: str = "default"


class _Tiered(msgspec.Struct):
    spec: _Spec = msgspec.field(default_factory=_Spec)


async def _in_tier(store: Store, plural: str, tier: str) -> Sequence[Key]:
    listing = await store.list(CALICO, plural)
    return [
        item.key for item in listing.items if msgspec.json.decode(item.value, type=_Tiered).spec.tier == tier
    ]
