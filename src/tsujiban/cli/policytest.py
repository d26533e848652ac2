"""`tsujiban test`: policy tests, run on files alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tsujiban.cli import findings as shown
from tsujiban.cli import manifests, offline
from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.options import form_option
from tsujiban.policy.testing.naming import PATTERNS, is_test

if TYPE_CHECKING:
    from tsujiban.policy.flow import Flow
    from tsujiban.policy.testing.mutate import Mutant
    from tsujiban.policy.testing.run import Report, Result
    from tsujiban.policy.testing.suite import Suite

    Group = tuple[tuple[Path, ...], tuple[Path, ...], str, bool]


@click.command()
@click.argument("places", nargs=-1, required=True, metavar="DIR...", type=click.Path(path_type=Path))
@click.option("--filter", "wanted", metavar="TEXT", help="Only cases whose name, file or ends hold TEXT.")
@click.option("--mutate", is_flag=True, help="Change each rule in turn, and name those that no test notices.")
@click.option(
    "--min-score",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="With --mutate: end with exit code 1 when a smaller part of the changes is noticed.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show the cases that pass, too.")
@form_option("txt", "json", "junit")
def test(
    places: tuple[Path, ...],
    wanted: str | None,
    mutate: bool,
    min_score: float | None,
    verbose: bool,
    form: str,
) -> None:
    """Run the policy tests in folders (`*_test.yaml`, `*.test.yaml`) or files; no cluster is needed.

    For example: tsujiban test policies --mutate --min-score 90
    """
    from tsujiban.policy.testing.run import Report

    if min_score is not None and not mutate:
        raise Failure("--min-score is about --mutate", code=Exit.USAGE)
    sources = manifests.contents(_files(places))
    suites = [_filtered(suite, wanted) for suite in _read(sources)]
    suites = [suite for suite in suites if suite.cases]
    if not suites:
        raise Failure(f"no case matches --filter {wanted!r}", code=Exit.USAGE)
    reports = list(_run(suites, sources, mutate))
    report = Report(
        results=tuple(result for one in reports for result in one.results),
        mutants=tuple(mutant for one in reports for mutant in one.mutants),
    )
    click.echo(_rendered(form, report, mutate=mutate, verbose=verbose), nl=False)
    if not report.passed or (min_score is not None and report.score * 100 < min_score):
        raise click.exceptions.Exit(int(Exit.NO))


# ---------------------------------------------------------------------- files


def _files(places: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            inside = sorted(path for path in place.rglob("*") if is_test(path.name) and path.is_file())
            if not inside:
                raise Failure(f"{place}: no policy tests ({', '.join(PATTERNS)}) here", code=Exit.USAGE)
            found += inside
        else:
            found.append(place)
    return list(dict.fromkeys(found))


def _read(sources: dict[str, bytes]) -> list[Suite]:
    from tsujiban.policy.testing.suite import read_suites

    suites, wrong = read_suites(sources)
    if wrong:
        shown.show(wrong, sources)
        raise _refusal(len(wrong))
    return suites


def _refusal(count: int) -> Failure:
    things = "1 error" if count == 1 else f"{count} errors"
    return Failure(f"{things}; no test was run", code=Exit.USAGE)


def _filtered(suite: Suite, wanted: str | None) -> Suite:
    import msgspec

    if wanted is None:
        return suite
    cases = tuple(
        case
        for case in suite.cases
        if wanted in f"{case.file}:{case.line} {suite.name} {case.name} {case.source} -> {case.destination}"
    )
    return msgspec.structs.replace(suite, cases=cases)


def _run(suites: Iterable[Suite], sources: dict[str, bytes], mutate: bool) -> Iterator[Report]:
    """A report for each set of files that suites name: they share one world."""
    from tsujiban.policy.testing.run import BadTests, run

    groups: dict[Group, list[Suite]] = {}
    for suite in suites:
        folder = Path(suite.file).parent
        policies = tuple(dict.fromkeys(_named(suite.policies or (".",), folder, suite.file)))
        endpoints = tuple(dict.fromkeys(_named(suite.endpoints, folder, suite.file)))
        groups.setdefault((policies, endpoints, suite.trust_domain, suite.strict), []).append(suite)
    for (policies, endpoints, _, _), members in groups.items():
        objects = offline.load(policies, endpoints)
        try:
            yield run(members, objects, mutate=mutate)
        except BadTests as error:
            shown.show(error.findings, sources)
            raise _refusal(len(error.findings)) from error


def _named(texts: Iterable[str], folder: Path, file: str) -> Iterator[Path]:
    """The manifests that paths, folders and globs of a test file name."""
    for text in dict.fromkeys(texts):
        path = folder / text
        if path.is_dir():
            matching = sorted(path.iterdir())
        elif path.is_file():
            yield path
            continue
        elif Path(text).is_absolute():
            matching = []
        else:
            matching = sorted(folder.glob(text))
        matching = [p for p in matching if manifests.is_manifest(p)]
        if not matching:
            raise Failure(f"{file}: {text!r} names no manifest in {folder}", code=Exit.USAGE)
        yield from matching


# ---------------------------------------------------------------------- output


def _rendered(form: str, report: Report, *, mutate: bool, verbose: bool) -> str:
    if form == "json":
        return _json(report, mutate=mutate)
    if form == "junit":
        return _junit(report)
    return "".join(f"{line}\n" for line in lines(report, mutate=mutate, verbose=verbose))


def lines(report: Report, *, mutate: bool, verbose: bool) -> Iterator[str]:
    """The report for eyes."""
    for result in report.results:
        if result.passed and verbose:
            yield f"{click.style('pass', fg='green')}  {result.case.name}  {_dim(_place(result))}"
        elif not result.passed:
            yield f"{click.style('FAIL', fg='red', bold=True)}  {result.case.name}  {_dim(_place(result))}"
            yield from (f"      {line}" for line in result.why)
    failed = sum(not result.passed for result in report.results)
    passed = len(report.results) - failed
    yield f"{passed} passed" + (click.style(f", {failed} failed", fg="red", bold=True) if failed else "")
    if mutate:
        yield ""
        yield from _mutants(report)


def _mutants(report: Report) -> Iterator[str]:
    survivors = [m for m in report.mutants if not m.killed and not m.equivalent]
    silent = [m for m in report.mutants if m.equivalent]
    if survivors:
        yield click.style("no test notices:", bold=True)
        for mutant in survivors:
            yield f"  {mutant.rule}: {mutant.change}{_dim(_at(mutant))}"
            if mutant.witness is not None:
                yield f"      {told(mutant.witness)}: {mutant.before} would become {mutant.after}"
    if silent:
        yield click.style("no test could notice (no flow can tell):", bold=True)
        for mutant in silent:
            yield f"  {mutant.rule}: {mutant.change}{_dim(_at(mutant))}"
    killed = sum(mutant.killed for mutant in report.mutants)
    counted = killed + len(survivors)
    yield f"mutation score {report.score * 100:.0f}%: {killed} of {counted} changes noticed" + (
        f"; {len(silent)} more change nothing" if silent else ""
    )


def told(flow: Flow) -> str:
    """A flow in words."""
    from tsujiban.resources import protocols

    source, destination = (
        name or address.removeprefix("@")
        for name, address in (
            (flow.source_endpoint, flow.source),
            (flow.destination_endpoint, flow.destination),
        )
    )
    parts = [f"{source} -> {destination}", protocols.name(flow.protocol)]
    if flow.protocol in protocols.WITH_PORTS:
        parts.append(str(flow.port))
    if flow.http is not None:
        parts.append(f"{flow.http.method} {flow.http.path}")
    if flow.sni:
        parts.append(f"TLS to {flow.sni}")
    if flow.peer is not None:
        parts.append(f"as {flow.peer}" if flow.peer else "in plaintext")
    return " ".join(parts)


def _place(result: Result) -> str:
    return f"{result.case.file}:{result.case.line}" if result.case.line else result.case.file


def _at(mutant: Mutant) -> str:
    return f"  {mutant.file}:{mutant.line}" if mutant.file else ""


def _dim(text: str) -> str:
    return click.style(text, dim=True)


def _json(report: Report, *, mutate: bool) -> str:
    import msgspec

    answer: dict[str, object] = {
        "passed": report.passed,
        "results": [
            {
                "name": result.case.name,
                "suite": result.suite,
                "file": result.case.file,
                "line": result.case.line,
                "passed": result.passed,
                "expected": result.case.expect,
                "verdict": result.verdict,
                "decidedBy": result.decided_by,
                "why": result.why,
            }
            for result in report.results
        ],
    }
    if mutate:
        answer |= {
            "score": round(report.score, 4),
            "mutants": [
                {
                    "rule": mutant.rule,
                    "change": mutant.change,
                    "file": mutant.file,
                    "line": mutant.line,
                    "killed": mutant.killed,
                    "killer": mutant.killer,
                    "equivalent": mutant.equivalent,
                    "witness": told(mutant.witness) if mutant.witness is not None else "",
                    "before": mutant.before,
                    "after": mutant.after,
                }
                for mutant in report.mutants
            ],
        }
    return msgspec.json.format(msgspec.json.encode(answer)).decode() + "\n"


def _junit(report: Report) -> str:
    from tsujiban.policy.lint import junit

    suites: dict[str, list[junit.Case]] = {}
    for result in report.results:
        suites.setdefault(result.suite, []).append(
            junit.Case(
                name=result.case.name,
                group=result.suite,
                failure="" if result.passed else result.why[0],
                detail="\n".join(result.why),
                file=result.case.file,
                line=result.case.line,
            )
        )
    changes = [
        junit.Case(
            name=f"{mutant.rule}: {mutant.change}",
            group="mutation",
            failure="" if mutant.killed or mutant.equivalent else "no test notices",
            detail="" if mutant.witness is None else told(mutant.witness),
            skipped="no flow can tell" if mutant.equivalent else "",
            file=mutant.file,
            line=mutant.line,
        )
        for mutant in report.mutants
    ]
    return junit.render("tsujiban test", [*suites.items(), *([("mutation", changes)] if changes else [])])
