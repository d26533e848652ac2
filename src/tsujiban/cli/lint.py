"""`tsujiban lint`: what is wrong with policies that are valid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

import click

from tsujiban.cli import findings as shown
from tsujiban.cli import manifests
from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.options import files_option, form_option, recursive_option, trust_domain_option
from tsujiban.policy.lint import CODES, Level, LintFinding, lint_objects

_COLOURS = {Level.ERROR: "red", Level.WARNING: "yellow", Level.INFO: "blue"}
_NEVER = "never"


def _codes(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> frozenset[str]:
    """Codes, and beginnings of codes, separated by commas."""
    found: set[str] = set()
    for word in (word.strip() for text in given for word in text.split(",")):
        if not word:
            continue
        wanted = {code for code in CODES if code.startswith(word.upper()) or CODES[code].name == word.lower()}
        if not wanted:
            near = get_close_matches(word.upper(), CODES, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(CODES)}"
            raise click.BadParameter(f"there is no code {word!r}{hint}")
        found |= wanted
    return frozenset(found)


@click.command()
@files_option("Policies and what they are about: a file, a folder, or - for standard input.")
@recursive_option
@click.option("--select", callback=_codes, multiple=True, metavar="CODES", help="Only these codes.")
@click.option("--ignore", callback=_codes, multiple=True, metavar="CODES", help="Not these codes.")
@click.option(
    "--fail-on",
    type=click.Choice([*map(str, Level), _NEVER]),
    default=str(Level.WARNING),
    show_default=True,
    help="End with exit code 1 for findings from this severity on.",
)
@click.option("--show-silenced", is_flag=True, help="Show silenced findings too.")
@trust_domain_option
@form_option("txt", "json", "sarif", "junit")
def lint(
    files: tuple[Path, ...],
    recursive: bool,
    select: frozenset[str],
    ignore: frozenset[str],
    fail_on: str,
    show_silenced: bool,
    trust_domain: str,
    form: str,
) -> None:
    """Find rules in vain, open doors and bad habits in policies that are valid.

    For example: tsujiban lint -f policies -R --ignore TSJ108 -o sarif
    """
    found = [one for one in _found(files, recursive, trust_domain) if not select or one.code in select]
    found = [one for one in found if one.code not in ignore]
    loud = [one for one in found if one.silenced is None]
    levels = [] if fail_on == _NEVER else list(Level)[: list(Level).index(Level(fail_on)) + 1]
    click.echo(_rendered(form, found if show_silenced else loud, found, levels), nl=False)
    if any(one.severity in levels for one in loud):
        raise click.exceptions.Exit(int(Exit.NO))


def _found(files: Sequence[Path], recursive: bool, trust_domain: str) -> list[LintFinding]:
    from tsujiban.resources.crosscheck import crosscheck
    from tsujiban.resources.findings import errors
    from tsujiban.resources.load import read

    sources = manifests.contents(manifests.expand(files, recursive=recursive))
    loaded = read(sources.items(), offline=True)
    wrong = errors(loaded.findings) or errors(crosscheck(loaded.objects, warnings=False))
    if wrong:
        shown.show(wrong, sources)
        count = "1 error" if len(wrong) == 1 else f"{len(wrong)} errors"
        raise Failure(f"{count}: these are no manifests to judge yet", code=Exit.USAGE)
    return lint_objects(loaded.objects, sources=sources, findings=loaded.findings, trust_domain=trust_domain)


def _rendered(
    form: str, findings: list[LintFinding], all_of_them: list[LintFinding], levels: Sequence[Level]
) -> str:
    match form:
        case "json":
            import msgspec

            return msgspec.json.format(msgspec.json.encode(findings)).decode() + "\n"
        case "sarif":
            from importlib.metadata import version

            import msgspec

            from tsujiban.policy.lint import sarif

            log = sarif.render(all_of_them, version("tsujiban"))
            return msgspec.json.format(msgspec.json.encode(log)).decode() + "\n"
        case "junit":
            return _junit(findings, levels)
    return "".join(f"{line}\n" for line in lines(findings, len(all_of_them)))


def _junit(findings: Sequence[LintFinding], levels: Sequence[Level]) -> str:
    """One case for every code, so that a clean run shows what was looked for. What does not count, being
    silenced or below --fail-on, is skipped."""
    from tsujiban.policy.lint import junit

    cases = []
    for code in CODES.values():
        of_code = [one for one in findings if one.code == code.id]
        cases += [
            junit.Case(
                name=f"{code.id} {code.name}: {place(one)}",
                group=f"tsujiban.lint.{code.id}",
                failure=_message(one) if one.silenced is None and one.severity in levels else "",
                skipped=one.silenced or _message(one),
                kind=str(one.severity),
                detail="\n".join(part for part in (place(one), one.hint, one.page) if part),
                file=one.file,
                line=one.line,
            )
            for one in of_code
        ] or [junit.Case(name=f"{code.id} {code.name}", group=f"tsujiban.lint.{code.id}")]
    return junit.render("tsujiban lint", [("tsujiban lint", cases)])


def _message(one: LintFinding) -> str:
    what = " ".join(part for part in (one.object, one.field) if part)
    return f"{what}: {one.message}" if what else one.message


def place(one: LintFinding) -> str:
    """Where it is: file, line and column as far as they are known."""
    return ":".join(str(part) for part in (one.file, one.line, one.column) if part)


def lines(findings: Sequence[LintFinding], everything: int) -> Iterator[str]:
    """The findings for eyes, then how many there are."""
    for one in findings:
        head = click.style(f"{one.severity}:", fg=_COLOURS[one.severity], bold=True)
        code = click.style(f"[{one.code} {one.name}]", dim=True)
        where = click.style(f"{place(one)}:", bold=True) + " " if one.file else ""
        yield f"{where}{head} {_message(one)} {code}"
        if one.hint:
            yield f"    remedy: {one.hint}"
        if one.silenced is not None:
            yield f"    silenced: {one.silenced}"
    counts = Counter(one.severity for one in findings if one.silenced is None)
    told = ", ".join(
        f"{counts[level]} {level}{'' if counts[level] == 1 else 's'}" for level in Level if counts[level]
    )
    quiet = everything - sum(counts.values())
    yield (told or "nothing found") + (f"; {quiet} silenced" if quiet else "")
    if findings:
        yield f"each code has a page: {findings[0].page}"
