"""Manifests to typed objects: the one door through which a user's files come in.

Everything that is wrong is found in one pass, with file, line and column. Reading is pure: the
caller opens the files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
from msgspec import structs

from tsujiban.resources import json_reader, positions
from tsujiban.resources.findings import Finding, Severity, errors
from tsujiban.resources.kinds.meta import Object
from tsujiban.resources.positions import NOWHERE, Path, Position
from tsujiban.resources.registry import IDLE, Kind, UnknownKind, is_bystander, kind_for
from tsujiban.resources.shape import MAX_DEPTH, Problem, TooDeep, convert, describe, holds_null
from tsujiban.resources.validate import validate

MAX_BYTES = 64 * 1024 * 1024
"""Largest source."""

MAX_FINDINGS = 100
"""Most findings about one source; reading it ends there."""

EVALUATED_ONLY = frozenset(
    (
        "http-not-in-allow",
        "selector-omitted",
        "empty-list",
        "no-named-ports",
        "odd-name",
        "odd-port-name",
        "same-port-name",
        "mixed-versions",
        "global-joined",
        "domain-names",
    )
)
"""Codes of what `policy.evaluate` understands and we do not enforce: HTTP clauses that the
kernel cannot be told, for it would see the rule without them; required selectors left out, which
select all; empty lists of Istio's, which restrict nothing; named ports of networks, which are none;
names that only the API would not store, and ports of one container that share one; IPv4 and IPv6
networks in one rule, of which either matches; `global()` joined with other clauses; domain names in a
rule that allows, which no address is."""

ORIGIN = "tsujiban.io/origin"
"""Annotation of a stored object: the file and lines that it came from, in JSON."""

_CUSTOM = ("istio", "cnp")  # kinds.* modules of custom resources, whose fields cannot be null

_RUNNING = ("core", "apps", "batch")  # kinds.* modules of what runs, and of services
_UNASKED = ("containers", "initContainers", "ephemeralContainers", "ports")  # whose names no policy asks

_RULE_LISTS = ("ingress", "egress", "rules", "jwtRules", "mtls", "portLevelMtls")


class _Origin(msgspec.Struct, frozen=True):
    file: str = ""
    lines: dict[str, int] = {}


class _Head(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""


class _TooMany(Exception):
    """Enough findings about this source."""


class LoadedObject:
    """One object of a source: typed and as it was written, and where."""

    __slots__ = ("_find", "_origin", "_source", "kind", "object", "raw")

    def __init__(
        self,
        kind: Kind,
        obj: Object,
        raw: dict[str, Any],
        source: str = "",
        find: Callable[[], Position] = lambda: NOWHERE,
    ) -> None:
        self.kind = kind
        self.object = obj
        self.raw = raw
        self._source = source
        self._find = find
        self._origin = _origin_of(obj)

    @property
    def file(self) -> str:
        """The file that the user wrote it in."""
        return self._origin.file if self._origin else self._source

    @property
    def name(self) -> str:
        """`namespace/name`, or the name of what has no namespace."""
        meta = self.object.metadata
        return f"{meta.namespace or 'default'}/{meta.name}" if self.kind.namespaced else meta.name

    @property
    def title(self) -> str:
        """Kind and name, for messages."""
        return f"{self.object.kind} {self.name}"

    def line(self, path: str | Path = ()) -> int:
        """Line (from 1) of a field, or of the nearest thing around it; 0 is not known."""
        steps = positions.parse(path) if isinstance(path, str) else path
        if self._origin is None:
            return self.position(steps).line
        for length in range(len(steps), -1, -1):
            line = self._origin.lines.get(positions.render(steps[:length]))
            if line is not None:
                return line
        return 0

    def position(self, path: Path) -> Position:
        """Line and column in the source that was read."""
        return self._find().find(path)


class Loaded:
    """What a set of sources holds, and what is wrong with it.

    `broken` are objects with errors, as far as they could be read: good for finding more errors
    (`crosscheck(..., warnings=False)`), and for nothing else.
    """

    def __init__(self) -> None:
        self.objects: list[LoadedObject] = []
        self.broken: list[LoadedObject] = []
        self.findings: list[Finding] = []

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings may be."""
        return not errors(self.findings)


def read(sources: Iterable[tuple[str, bytes]], *, offline: bool = False) -> Loaded:
    """The objects of all sources, given as (name, content): YAML or JSON, several documents, lists.

    An object with an error is left out of `objects` and told of in `findings`. With `offline`,
    what can be evaluated but not enforced (EVALUATED_ONLY) is a warning: for commands that
    answer questions about files. Objects that are neither policies nor what policies are about
    are passed over then.
    """
    loaded = Loaded()
    for name, data in sources:
        try:
            _Source(name, loaded, offline=offline).read(data)
        except _TooMany:
            loaded.findings.append(
                Finding(
                    code="too-many-findings",
                    file=name,
                    message=f"more than {MAX_FINDINGS} findings; the rest of the file was not read",
                )
            )
    return loaded


def decode(raw: Mapping[str, Any] | bytes) -> Object:
    """The struct of an object that was validated before, for instance when it was stored.

    Raises UnknownKind, and ValueError (msgspec.ValidationError) when it is not of its kind's shape.
    """
    if isinstance(raw, bytes):
        head = msgspec.json.decode(raw, type=_Head)
        return msgspec.json.decode(raw, type=kind_for(head.api_version, head.kind).type)
    return msgspec.convert(raw, kind_for(raw.get("apiVersion", ""), raw.get("kind", "")).type)


def check(raw: Any, source: str = "", find: Callable[[], Position] = lambda: NOWHERE) -> Loaded:
    """Judge one object that is already plain data, as the API server does with a request's body."""
    loaded = Loaded()
    with suppress(_TooMany):
        _Source(source, loaded).object(raw, find)
    return loaded


def origin_annotation(loaded: LoadedObject) -> str:
    """Value of the annotation `tsujiban.io/origin`: the file, and the line of every rule."""
    paths: list[Path] = [()]
    spec = loaded.raw.get("spec")
    if isinstance(spec, dict):
        for key in _RULE_LISTS:
            value = spec.get(key)
            if value is None:
                continue
            paths.append(("spec", key))
            if isinstance(value, list):
                paths.extend(("spec", key, index) for index in range(len(value)))
    lines = {positions.render(path): line for path in paths if (line := loaded.line(path))}
    return msgspec.json.encode(_Origin(file=loaded.file, lines=lines)).decode()


def _origin_of(obj: Object) -> _Origin | None:
    text = obj.metadata.annotations.get(ORIGIN)
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=_Origin)
    except msgspec.DecodeError:
        return None  # it serves people only: a broken one is as good as none


class _Source:
    """Reads one source into a Loaded."""

    def __init__(self, name: str, loaded: Loaded, *, offline: bool = False) -> None:
        self.name = name
        self.loaded = loaded
        self.offline = offline
        self.told = 0

    def _tell(self, code: str, message: str, line: int = 0, column: int = 0, hint: str = "") -> None:
        self._add(Finding(code=code, message=message, hint=hint, file=self.name, line=line, column=column))

    def _add(self, finding: Finding) -> None:
        if self.told >= MAX_FINDINGS:
            raise _TooMany
        self.told += 1
        self.loaded.findings.append(finding)

    def read(self, data: bytes) -> None:
        if len(data) > MAX_BYTES:
            self._tell("too-large", f"larger than {MAX_BYTES >> 20} MiB")
            return
        data = data.removeprefix(b"\xef\xbb\xbf")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            column = error.start - data.rfind(b"\n", 0, error.start)
            self._tell("not-utf8", "not UTF-8 text", line, column, "save the file as UTF-8")
            return
        if text[:64].lstrip()[:1] == "{" and self._json(text, data):
            return
        self._yaml(data)

    def _json(self, text: str, data: bytes) -> bool:
        """Whether it was JSON. What only looks like it is read as YAML, which may start so too."""
        try:
            values = json_reader.documents(text)
        except json_reader.NotJSON as error:
            if error.code == "json-syntax":
                return False
            place = json_reader.locate(error.code, data)
            self._tell(error.code, str(error), place.line, place.column)
            return True
        found: list[Position] = []

        def find(index: int) -> Position:
            if not found:
                found.extend(json_reader.positions(data))
            return found[index] if index < len(found) else NOWHERE

        for index, value in enumerate(values):
            self.object(value, partial(find, index))
        return True

    def _yaml(self, data: bytes) -> None:
        from tsujiban.resources import yaml_reader

        for document in yaml_reader.documents(data, self._tell):
            self.object(document.value, partial(_same, document.position))

    def object(self, raw: Any, find: Callable[[], Position]) -> None:
        """Judge one document."""
        try:
            nulls = holds_null(raw)
        except TooDeep:
            self._tell("too-deep", f"nested deeper than {MAX_DEPTH}", find().line, find().column)
            return
        self._object(raw, find, (), nulls=nulls)

    def _object(self, raw: Any, find: Callable[[], Position], path: Path, *, nulls: bool) -> None:
        if not isinstance(raw, dict):
            place = find().find(path)
            self._tell("not-an-object", f"not an object but {describe(raw)}", place.line, place.column)
            return
        api_version, kind_name = raw.get("apiVersion"), raw.get("kind")
        if isinstance(kind_name, str) and kind_name.endswith("List") and isinstance(raw.get("items"), list):
            for index, item in enumerate(raw["items"]):
                self._object(_item_of(raw, item), find, (*path, "items", index), nulls=nulls)
            return
        kind = self._kind(api_version, kind_name, find, path)
        if kind is None:
            return
        data = _without_nulls(raw, spare_spec=kind.module in _CUSTOM) if nulls else raw
        obj, problems = convert(data, kind.type, nulls=nulls)
        if obj is not None:
            problems += _beside(problems, validate(kind, obj, raw))
        if self.offline:
            problems = [
                structs.replace(problem, warning=True) if _is_clear(problem, kind) else problem
                for problem in problems
            ]
        where = partial(_inside, find, path) if path else find
        title = _title(raw, kind_name)
        for problem in problems:
            self._add(_finding(problem, title, self.name, where()))
        if obj is not None:
            good = all(problem.warning for problem in problems)
            into = self.loaded.objects if good else self.loaded.broken
            into.append(LoadedObject(kind, obj, raw, self.name, where))

    def _kind(self, api_version: Any, kind: Any, find: Callable[[], Position], path: Path) -> Kind | None:
        for field, value in (("apiVersion", api_version), ("kind", kind)):
            if not isinstance(value, str) or not value:
                place = find().find((*path, field))
                self._tell("missing-kind", f"{field} is missing or not a string", place.line, place.column)
                return None
        try:
            found = kind_for(api_version, kind)
            return None if self.offline and found.module in IDLE else found
        except UnknownKind as error:
            if self.offline and is_bystander(api_version, kind):
                return None
            place = find().find((*path, "kind"))
            hint = "did you mean " + " or ".join(error.suggestions) + "?" if error.suggestions else ""
            self._tell("unknown-kind", str(error), place.line, place.column, hint)
            return None


def _item_of(around: dict[str, Any], item: Any) -> Any:
    """An item of a list of one kind, as the API returns it, need not say which; a `List`'s must."""
    kind = around["kind"].removesuffix("List")
    if not kind or not isinstance(item, dict) or "kind" in item or "apiVersion" in item:
        return item
    return {"apiVersion": around.get("apiVersion"), "kind": kind, **item}


def _is_clear(problem: Problem, kind: Kind) -> bool:
    """Whether what is refused can be evaluated all the same. A profile has both directions, whatever
    `types` it gives itself; a label that the API could not store is a label nevertheless; what
    containers and a service's ports are called is nothing that policies ask; a workload's pods have
    the labels of its template."""
    path = problem.path
    match problem.code:
        case "missing-field" | "duplicate":
            named = len(path) > 3 and path[-1] == "name" and path[-3] in _UNASKED
            return named and kind.module in _RUNNING
        case "conflict":
            return kind.module in _RUNNING and path[-3:] == ("template", "metadata", "labels")
        case "unknown-field":
            return kind.kind == "Profile" and path == ("spec", "types")
        case "bad-label":
            return path[:2] == ("metadata", "labels")
        case code:
            return code in EVALUATED_ONLY


def _same(position: Position) -> Position:
    return position


def _inside(find: Callable[[], Position], path: Path) -> Position:
    return find().find(path)


def _without_nulls(raw: dict[str, Any], *, spare_spec: bool) -> dict[str, Any]:
    """A null field is an absent field, as in Kubernetes. In a custom kind's spec (`spare_spec`) and as
    an item of a list it is an error there, and stays to be told of."""
    return {
        key: value if spare_spec and key == "spec" else _pruned(value)
        for key, value in raw.items()
        if value is not None
    }


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _pruned(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_pruned(item) for item in value]
    return value


def _beside(shape: list[Problem], values: list[Problem]) -> list[Problem]:
    """Problems of values that do not follow from a problem of shape at the same place."""
    broken = [problem.path for problem in shape]
    return [
        problem for problem in values if not any(path[: len(problem.path)] == problem.path for path in broken)
    ]


def _title(raw: Mapping[str, Any], kind: Any) -> str:
    meta = raw.get("metadata")
    meta = meta if isinstance(meta, dict) else {}
    name = "/".join(str(meta[key])[:253] for key in ("namespace", "name") if meta.get(key))
    return f"{kind} {name}".strip()


def _finding(problem: Problem, title: str, file: str, root: Position) -> Finding:
    place = root.find(problem.path)
    return Finding(
        severity=Severity.WARNING if problem.warning else Severity.ERROR,
        code=problem.code,
        message=problem.message,
        hint=problem.hint,
        file=file,
        line=place.line,
        column=place.column,
        object=title,
        field=positions.render(problem.path),
    )
