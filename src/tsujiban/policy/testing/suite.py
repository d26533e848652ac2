"""A file of policy tests: read with every error, its line and what was probably meant.

Cases may be written one by one (`cases`), as a text table (`table`) or as a matrix of sources and
destinations (`matrix`); all become the same `Case`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

import msgspec

from tsujiban.policy.flow import Request, out_of_range, request_of
from tsujiban.policy.program import Frozen
from tsujiban.policy.testing import table
from tsujiban.resources import positions, protocols, yaml_reader
from tsujiban.resources.findings import Finding
from tsujiban.resources.kinds.meta import Object, Shape
from tsujiban.resources.positions import Path, Position
from tsujiban.resources.shape import TooDeep, convert, describe, holds_null

API_VERSION = "tsujiban.io/v1"
KIND = "PolicyTest"
EXPECTED = ("allow", "deny")


class Traffic(Shape, frozen=True):
    """What a flow is, beside its ends."""

    protocol: int | str = "TCP"
    port: int = 0
    source_port: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    method: str | None = None
    path: str | None = None
    host: str | None = None
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    claims: dict[str, Any] | None = None
    principal: str | None = None  # SPIFFE ID that the source proves; "" is plaintext
    sni: str = ""  # server name of the application's own TLS


class CaseText(Traffic, frozen=True):
    """One case as it is written."""

    name: str = ""
    from_: str = msgspec.field(default="", name="from")
    to: str = ""
    expect: str = ""
    rule: str = ""


class Matrix(Traffic, frozen=True):
    """Every source against every destination; a destination may carry its port,
    `database:2379`, and a verdict may be left out, `-`."""

    name: str = ""
    to: tuple[str, ...] = ()
    from_: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict, name="from")


class PolicyTest(Object, frozen=True):
    """One document of a test file."""

    policies: tuple[str, ...] = ()  # files, folders and globs; none: the folder that the test lies in
    endpoints: tuple[str, ...] = ()  # when given, what there is comes from these alone
    namespace: str = "default"  # of names without one
    trust_domain: str = "cluster.local"
    strict: bool = True  # refuse plaintext where no PeerAuthentication accepts it, as the running mesh does
    cases: tuple[CaseText, ...] = ()
    table: str = ""
    matrix: tuple[Matrix, ...] = ()


class Case(Frozen, frozen=True):
    """One flow, and what is expected of it."""

    name: str
    source: str
    destination: str
    expect: str
    protocol: int = protocols.TCP
    port: int = 0
    source_port: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    http: Request | None = None
    principal: str | None = None
    sni: str = ""
    rule: str = ""
    file: str = ""
    line: int = 0

    @property
    def clauses(self) -> dict[str, object]:
        """What `explain` asks for, beside ends and port."""
        return {
            "protocol": self.protocol,
            "source_port": self.source_port,
            "icmp_type": self.icmp_type,
            "icmp_code": self.icmp_code,
            "http": self.http,
            "peer": self.principal,
            "sni": self.sni,
        }


class Suite(Frozen, frozen=True):
    """The tests of one document."""

    name: str
    file: str
    policies: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    namespace: str = "default"
    trust_domain: str = "cluster.local"
    strict: bool = True
    cases: tuple[Case, ...] = ()


def read_suites(sources: Mapping[str, bytes]) -> tuple[list[Suite], list[Finding]]:
    """The suites of test files, given by name, and everything that is wrong with them. A suite with an
    error is left out."""
    suites: list[Suite] = []
    findings: list[Finding] = []
    for file, data in sources.items():
        before = len(findings)
        reader = _Reader(file, findings)
        documents = list(yaml_reader.documents(data, reader.syntax))
        if not documents and len(findings) == before:
            reader.tell("empty", "the file holds no tests", Position(1, 1))
        for document in documents:
            suite = reader.suite(document.value, document.position)
            if suite is not None:
                suites.append(suite)
    return suites, findings


class _Reader:
    """Reads the documents of one file."""

    def __init__(self, file: str, findings: list[Finding]) -> None:
        self.file = file
        self.findings = findings

    def syntax(self, code: str, message: str, line: int, column: int, hint: str = "") -> None:
        self.findings.append(
            Finding(code=code, message=message, hint=hint, file=self.file, line=line, column=column)
        )

    def tell(self, code: str, message: str, at: Position, path: Path = (), hint: str = "") -> None:
        self.findings.append(
            Finding(
                code=code,
                message=message,
                hint=hint,
                file=self.file,
                line=at.line,
                column=at.column,
                field=positions.render(path),
            )
        )

    def suite(self, raw: Any, root: Position) -> Suite | None:
        before = len(self.findings)
        if not isinstance(raw, dict):
            self.tell("not-an-object", f"not an object but {describe(raw)}", root)
            return None
        if (raw.get("apiVersion"), raw.get("kind")) != (API_VERSION, KIND):
            message = f"not a {KIND} of {API_VERSION}: {raw.get('kind')} of {raw.get('apiVersion')}"
            self.tell("unknown-kind", message, root.find(("kind",)), ("kind",))
            return None
        try:
            nulls = holds_null(raw)
        except TooDeep:
            self.tell("too-deep", "nested too deep", root)
            return None
        found, problems = convert(raw, PolicyTest, nulls=nulls)
        for problem in problems:
            self.tell(problem.code, problem.message, root.find(problem.path), problem.path, problem.hint)
        if found is None:
            return None
        cases = tuple(sorted(self._cases(found, root), key=lambda case: case.line))
        if len(self.findings) == before and not cases:
            self.tell("empty", "no cases, no table and no matrix", root)
        if len(self.findings) > before:
            return None
        return Suite(
            name=found.metadata.name or self.file,
            file=self.file,
            policies=found.policies,
            endpoints=found.endpoints,
            namespace=found.namespace,
            trust_domain=found.trust_domain,
            strict=found.strict,
            cases=cases,
        )

    # ------------------------------------------------------------------ cases

    def _cases(self, test: PolicyTest, root: Position) -> Iterator[Case]:
        for index, text in enumerate(test.cases):
            path: Path = ("cases", index)
            yield from self._case(text, root, path)
        if test.table:
            at = root.find(("table",))
            rows, wrong = table.read(test.table)
            for line, message, hint in wrong:
                place = Position(at.line + line, at.column)
                self.tell("bad-table", message, place, ("table",), hint)
            for line, cells in rows:
                yield from self._row(cells, Position(at.line + line, at.column))
        for index, matrix in enumerate(test.matrix):
            yield from self._matrix(matrix, root, ("matrix", index))

    def _row(self, cells: Mapping[str, Any], at: Position) -> Iterator[Case]:
        text, problems = convert(cells, CaseText, nulls=False)
        for problem in problems:
            self.tell(problem.code, problem.message, at, ("table",), problem.hint)
        if text is not None and not problems:
            yield from self._case(text, at, ("table",))

    def _matrix(self, matrix: Matrix, root: Position, path: Path) -> Iterator[Case]:
        if not matrix.to or not matrix.from_:
            message = (
                "a matrix needs its destinations in `to`, and a row of verdicts in `from` for each source"
            )
            self.tell("missing-field", message, root.find(path), path)
        for source, row in matrix.from_.items():
            here = (*path, "from", source)
            if len(row) != len(matrix.to):
                message = f"{len(row)} verdicts for {len(matrix.to)} destinations"
                self.tell("bad-table", message, root.find(here), here)
                continue
            for index, (target, expect) in enumerate(zip(matrix.to, row, strict=True)):
                if expect == table.NONE:
                    continue
                name, port = _port_of(target, matrix.port)
                shared = {field: getattr(matrix, field) for field in Traffic.__struct_fields__}
                text = CaseText(**(shared | {"port": port}), from_=source, to=name, expect=expect)
                if matrix.name:
                    text = msgspec.structs.replace(text, name=f"{matrix.name}: {_title(text)}")
                yield from self._case(text, root, (*here, index))

    def _case(self, text: CaseText, root: Position, path: Path) -> Iterator[Case]:
        before = len(self.findings)
        at = root.find(path)
        for field, value in (("from", text.from_), ("to", text.to), ("expect", text.expect)):
            if not value:
                self.tell("missing-field", f"`{field}` is missing", at, path)
        if text.expect and text.expect not in EXPECTED:
            near = get_close_matches(text.expect.lower(), EXPECTED, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "write allow or deny"
            where = root.find((*path, "expect"))
            self.tell("bad-value", f"`expect` is {text.expect!r}", where, (*path, "expect"), hint)
        number = protocols.number(text.protocol)
        if number is None:
            near = get_close_matches(str(text.protocol).upper(), list(protocols.NUMBERS), n=1)
            hint = f"did you mean {near[0]!r}?" if near else ""
            where = root.find((*path, "protocol"))
            message = f"unknown protocol {text.protocol!r}"
            self.tell("bad-value", message, where, (*path, "protocol"), hint)
        for field, given, most in out_of_range(text.port, text.source_port, text.icmp_type, text.icmp_code):
            where = root.find((*path, field))
            self.tell("out-of-range", f"{field} {given} is not from 0 to {most}", where, (*path, field))
        if len(self.findings) > before or number is None:
            return
        yield Case(
            name=text.name or _title(text),
            source=text.from_,
            destination=text.to,
            expect=text.expect,
            protocol=number,
            port=text.port,
            source_port=text.source_port,
            icmp_type=text.icmp_type,
            icmp_code=text.icmp_code,
            http=request_of(text.method, text.path, text.host, text.headers, text.claims),
            principal=text.principal,
            sni=text.sni,
            rule=text.rule,
            file=self.file,
            line=at.line,
        )


def _port_of(target: str, port: int) -> tuple[str, int]:
    name, colon, number = target.rpartition(":")
    if colon and number.isdecimal() and ":" not in name:
        return name, int(number)
    return target, port


def _title(text: CaseText) -> str:
    parts = [f"{text.from_} -> {text.to}"]
    if text.port or str(text.protocol) != "TCP":
        parts.append(f"{text.protocol} {text.port}" if text.port else str(text.protocol))
    if text.method or text.path:
        parts.append(" ".join(part for part in (text.method, text.path) if part))
    return ", ".join(parts)
