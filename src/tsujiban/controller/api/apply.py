"""`POST /tsujiban/v1/apply`: a set of objects, all or none, in one transaction.

Every object is judged alone and beside the others and the store; one error refuses the whole, and
every error is told. What is unchanged is not written. Somebody else's write in between makes
it start over, on what is there then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tsujiban.controller.api import admission, defaulting, generated, managed, three_way
from tsujiban.controller.api.discovery import has_status
from tsujiban.controller.api.documents import for_create, for_update, without_nulls
from tsujiban.controller.api.errors import ApiError, bad_request
from tsujiban.controller.api.guard import judge, permit
from tsujiban.controller.api.managed import Writer, now
from tsujiban.controller.api.target import Target, name_problem
from tsujiban.resources import load, schema
from tsujiban.resources.findings import Finding, errors
from tsujiban.resources.load import LoadedObject
from tsujiban.resources.registry import Kind, UnknownKind, kind_for
from tsujiban.store import metadata
from tsujiban.store.protocol import (
    AlreadyExists,
    Check,
    Conflict,
    Create,
    Key,
    NotFound,
    Operation,
    Store,
    Stored,
    Update,
)

Json = dict[str, Any]

MAX_OBJECTS = 10_000
ATTEMPTS = 6
MANAGER = "tsujiban"  # of the fields, when the client does not say who applies


class ApplyRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Body of the request."""

    objects: list[Any]
    dry_run: bool = False
    manager: str = ""


class Result(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of one object."""

    api_version: str
    kind: str
    namespace: str
    name: str
    action: str  # created, configured, unchanged
    resource_version: str
    generation: int


class Applied(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Answer: a result for each object, in order, and the revision at which all of it is true."""

    results: list[Result]
    revision: int
    dry_run: bool


class _Item:
    """One object of the set, on its way."""

    def __init__(self, loaded: LoadedObject) -> None:
        self.loaded = loaded
        self.kind: Kind = loaded.kind
        self.document: Json = without_nulls(loaded.raw)
        self.document["apiVersion"] = self.kind.api_version
        head = self.document["metadata"]
        if self.kind.namespaced:
            head.setdefault("namespace", "default")
        else:
            head.pop("namespace", None)
        if has_status(self.kind):
            self.document.pop("status", None)
        for name in ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"):
            head.pop(name, None)
        self.key = Key(
            self.kind.group, self.kind.plural, head.get("namespace", ""), str(head.get("name", ""))
        )

    @property
    def target(self) -> Target:
        """As if it had been written to its own path."""
        return Target(
            kind=self.kind,
            api_version=self.kind.api_version,
            namespace=self.key.namespace,
            name=self.key.name,
        )

    def finding(self, code: str, message: str, field: str, hint: str = "") -> Finding:
        """A finding about this object, with the place in the user's file."""
        return Finding(
            code=code,
            message=message,
            hint=hint,
            file=self.loaded.file,
            line=self.loaded.line(field),
            object=self.loaded.title,
            field=field,
        )


async def apply(store: Store, request: ApplyRequest) -> Applied:
    """Do it.

    Raises:
        ApiError: 400, too many objects; 422 with every finding in `details.findings`; 409, others write
            the same objects all the time.
    """
    if len(request.objects) > MAX_OBJECTS:
        raise bad_request(f"{len(request.objects)} objects; at most {MAX_OBJECTS} can be applied together")
    items, faulty, findings = _judge(request.objects)
    if findings:
        readable = [*(item.loaded for item in items), *faulty]
        _refuse([*findings, *await admission.together(store, readable)])
    for _ in range(ATTEMPTS):
        try:
            return await _attempt(store, items, request.manager[:128] or MANAGER, dry_run=request.dry_run)
        except (Conflict, AlreadyExists, NotFound):
            continue
    raise ApiError(409, "Conflict", "others change the same objects all the time; nothing was changed")


def _judge(objects: Sequence[Any]) -> tuple[list[_Item], list[LoadedObject], list[Finding]]:
    """Each object by itself: those without an error, the others as far as they can be read (what is
    wrong with them beside the rest is told as well), and all errors."""
    findings: list[Finding] = []
    items: list[_Item] = []
    faulty: list[LoadedObject] = []
    for raw in objects:
        loaded = load.check(raw)
        findings += errors(loaded.findings)
        for one in loaded.objects:
            item = _Item(one)
            problem = name_problem(item.kind, item.key.name)
            if problem:
                findings.append(item.finding("invalid-name", problem, "metadata.name"))
            items.append(item)
        if not loaded.objects and isinstance(raw, dict):
            faulty += _readable(raw)
    return items, faulty, findings


def _readable(raw: Json) -> list[LoadedObject]:
    """An object that has the shape of its kind, whatever its values; [] when it has not."""
    try:
        kind = kind_for(str(raw.get("apiVersion")), str(raw.get("kind")))
        return [LoadedObject(kind, load.decode(raw), raw)]
    except (UnknownKind, msgspec.ValidationError):
        return []


async def _attempt(store: Store, items: Sequence[_Item], manager: str, *, dry_run: bool) -> Applied:
    present = [await admission.find(store, item.key) for item in items]
    for item, stored in zip(items, present, strict=True):
        await permit(store, item.key, there=stored is not None)
    _refuse(await admission.together(store, [item.loaded for item in items]))
    checks = await _lean(store, items)
    await _accounts(store, items, present)
    wanted = [_merged(item, stored, manager) for item, stored in zip(items, present, strict=True)]
    _refuse([found for document in wanted for found in admission.shape_findings(document)])
    operations: list[Operation] = [
        _operation(item, stored, document)
        for item, stored, document in zip(items, present, wanted, strict=True)
    ]
    if dry_run:
        for operation in operations:
            await judge(store, operation)
        written: list[Stored | None] = [
            _imagined(op, stored) for op, stored in zip(operations, present, strict=True)
        ]
        revision = await store.revision()
    else:
        written = list((await store.transaction([*operations, *checks]))[: len(items)])
        revision = max([stored.revision for stored in written if stored], default=0)
    results = [
        _result(item, before, after)
        for item, before, after in zip(items, present, written, strict=True)
        if after is not None
    ]
    return Applied(results=results, revision=revision, dry_run=dry_run)


async def _lean(store: Store, items: Sequence[_Item]) -> list[Check]:
    """Checks for the namespaces and tiers that the set needs and does not bring along."""
    own = {item.key for item in items}
    findings: list[Finding] = []
    checks: dict[Key, Check] = {}
    for item in items:
        for key in admission.leans_on(item.kind, item.document):
            if key in own or key in checks:
                continue
            checks[key] = Check(key)
            if await admission.find(store, key) is None:
                text = f"{key} does not exist"
                hint = "create it first, or in the same set"
                field = "metadata.namespace" if key.resource == "namespaces" else "spec.tier"
                findings.append(item.finding("missing-object", text, field, hint))
    _refuse(findings)
    return list(checks.values())


async def _accounts(store: Store, items: Sequence[_Item], present: Sequence[Stored | None]) -> None:
    """Refuse new pods whose service account neither is there nor comes with the set."""
    own = {item.key for item in items}
    findings = []
    for item, stored in zip(items, present, strict=True):
        key = admission.account_of(item.kind, item.document) if stored is None else None
        if key is not None and key not in own and await admission.find(store, key) is None:
            hint = "create it first, or in the same set"
            field = "spec.serviceAccountName"
            findings.append(item.finding("missing-object", f"{key} does not exist", field, hint))
    _refuse(findings)


def _merged(item: _Item, stored: Stored | None, manager: str) -> Json:
    if stored is None:
        current, given = None, None
        document = for_create(three_way.with_annotation(item.document), item.target)
    else:
        current = metadata.decode(stored.value)
        given = current["metadata"].get("managedFields")
        document = for_update(three_way.merge(item.document, current), current, item.target)
    document = defaulting.filled(document, item.kind)
    who = Writer(manager, item.kind.api_version, time=now())
    return managed.updated(current, document, given, who, schema.of(item.kind))


def _operation(item: _Item, stored: Stored | None, document: Json) -> Create | Update:
    if stored is not None:
        return Update(item.key, metadata.encode(document), stored.revision)
    document, uid = generated.identified(document, item.kind)
    return Create(item.key, metadata.encode(document), uid)


def _imagined(operation: Operation, stored: Stored | None) -> Stored:
    """What a write would give, without doing it."""
    if isinstance(operation, Create):
        return Stored(operation.key, metadata.created(operation.value, 0, operation.uid), 0)
    if not isinstance(operation, Update) or stored is None:
        raise TypeError(f"not an operation of apply: {operation}")
    value = metadata.updated(stored.value, operation.value, 0)
    return stored if value is None else Stored(operation.key, value, 0)


def _result(item: _Item, before: Stored | None, after: Stored) -> Result:
    action = "created" if before is None else "unchanged" if after == before else "configured"
    head = metadata.decode(after.value)["metadata"]
    return Result(
        api_version=item.kind.api_version,
        kind=item.kind.kind,
        namespace=item.key.namespace,
        name=item.key.name,
        action=action,
        resource_version=head["resourceVersion"],
        generation=head.get("generation", 0),
    )


def _refuse(findings: Sequence[Finding]) -> None:
    if not findings:
        return
    message = f"nothing was applied: {len(findings)} errors: " + "; ".join(str(f) for f in findings[:20])
    causes = [{"reason": "FieldValueInvalid", "message": f.message, "field": f.field} for f in findings]
    details = {"causes": causes, "findings": [msgspec.to_builtins(finding) for finding in findings]}
    raise ApiError(422, "Invalid", message, details)
