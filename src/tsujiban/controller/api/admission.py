"""May this object be stored: the judgement of `resources`, alone and beside what is stored.

What an object leans on (its namespace, its tier) is read here, and handed back as checks for
the same transaction, so that it cannot be deleted in between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tsujiban.controller.api.aside import worked
from tsujiban.controller.api.errors import ApiError, forbidden, invalid
from tsujiban.controller.reconcile.unserved import without_effect
from tsujiban.controller.zones import zone
from tsujiban.resources import load
from tsujiban.resources.crosscheck import crosscheck
from tsujiban.resources.defaults import BUILT_IN_TIERS
from tsujiban.resources.findings import Finding, errors
from tsujiban.resources.load import LoadedObject
from tsujiban.resources.registry import Kind
from tsujiban.store.protocol import Check, Key, NotFound, Store, Stored

Json = dict[str, Any]

TIERED = (
    "networkpolicies",
    "globalnetworkpolicies",
    "stagednetworkpolicies",
    "stagedglobalnetworkpolicies",
)
_ADMIN = "adminnetworkpolicies"
_POLICY_MODULES = frozenset({"calico", "cnp", "istio", "netpol"})
# what nothing here makes pods of
_NOT_RUN = {
    ("", "replicationcontrollers"): "makes no pods",
    ("", "persistentvolumeclaims"): "nothing here provides its storage: it stays pending",
    ("", "persistentvolumes"): "no pod can use it",
    ("networking.k8s.io", "ingresses"): "nothing here routes by it",
}  # stored as in a cluster whose controller for it was not installed
PERMANENT_NAMESPACES = frozenset({"default", "kube-system"})
CALICO = "projectcalico.org"


def shape_findings(document: Json) -> list[Finding]:
    """All errors of an object by itself."""
    return errors(load.check(document).findings)


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


async def admit(
    store: Store,
    kind: Kind,
    document: Json,
    warn: Callable[[str], None] = lambda _text: None,
    size: int = 0,
) -> list[Check]:
    """Judge an object, alone and against the store; the checks (that its namespace exists) belong into the
    transaction that writes it, or, when nothing is written, to `demand`. What is odd but no error goes to
    `warn`. `size` is about how many bytes the object has.

    Raises:
        ApiError: 422 with every cause.
    """
    loaded = await worked(size, load.check, document)
    findings = errors(loaded.findings) + _zone_findings(kind, document)
    if not findings and kind.module in _POLICY_MODULES:
        findings = await together(store, loaded.objects)
    if findings:
        raise invalid(kind.kind, kind.group, str(document["metadata"].get("name", "")), findings)
    for finding in loaded.findings:
        warn(f"{finding.field}: {finding.message}" if finding.field else finding.message)
    if idle := _NOT_RUN.get((kind.group, kind.plural)):
        warn(f"{kind.kind} is stored, and {idle}")
    for text in without_effect((kind.group, kind.plural), document):
        warn(text)
    return [Check(key) for key in leans_on(kind, document)]


def _zone_findings(kind: Kind, document: Json) -> list[Finding]:
    """Whether a CronJob's time zone is one: this machine's, for the schedule is kept here."""
    spec = document.get("spec")
    name = spec.get("timeZone") if isinstance(spec, dict) else None
    if (kind.group, kind.plural) != ("batch", "cronjobs") or name is None or not isinstance(name, str):
        return []
    if zone(name) is not None:
        return []
    text = f'Invalid value: "{name[:64]}": unknown time zone {name[:64]}'
    return [Finding(code="bad-value", message=text, field="spec.timeZone")]


async def admit_account(store: Store, kind: Kind, document: Json) -> None:
    """Refuse a new pod whose service account does not exist. `default` may still be on its way: the control
    plane makes one in every namespace.

    Raises:
        ApiError: 403, in the words of Kubernetes' own admission.
    """
    key = account_of(kind, document)
    if key is not None and await find(store, key) is None:
        raise forbidden(
            f'pods "{document["metadata"].get("name", "")}" is forbidden: error looking up service account'
            f' {key.namespace}/{key.name}: serviceaccount "{key.name}" not found'
        )


def account_of(kind: Kind, document: Json) -> Key | None:
    """The service account that must be there before a pod; None for what is no pod, or runs as `default`."""
    spec = document.get("spec")
    account = spec.get("serviceAccountName") if isinstance(spec, dict) else None
    if (kind.group, kind.plural) != ("", "pods") or account in (None, "", "default"):
        return None
    return Key("", "serviceaccounts", str(document["metadata"].get("namespace", "")), str(account))


async def demand(store: Store, checks: Sequence[Check]) -> None:
    """For a dry run, what the transaction would find out. Raises NotFound."""
    for check in checks:
        await store.get(check.key)


async def find(store: Store, key: Key) -> Stored | None:
    """The object, or None."""
    try:
        return await store.get(key)
    except NotFound:
        return None


async def together(store: Store, objects: Sequence[LoadedObject]) -> list[Finding]:
    """Errors of objects beside each other and beside what is stored: doubles, tiers, priorities."""
    judged = [found for found in objects if found.kind.module in _POLICY_MODULES]
    tiers: list[str] = []
    if any(found.kind.group == CALICO for found in judged):
        tiers = [item.key.name for item in (await store.list(CALICO, "tiers")).items]
    others = await _of_one_priority_order(store, judged)
    return crosscheck([*others, *objects], tiers=tiers, warnings=False)


async def _of_one_priority_order(store: Store, objects: Sequence[LoadedObject]) -> list[LoadedObject]:
    """The stored AdminNetworkPolicies, when there is one to judge: no two may have one priority."""
    own = {found.object.metadata.name for found in objects if found.kind.plural == _ADMIN}
    if not own:
        return []
    listing = await store.list("policy.networking.k8s.io", _ADMIN)
    return [
        found
        for item in listing.items
        if item.key.name not in own
        for found in load.check(msgspec.json.decode(item.value)).objects
    ]


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
