"""Findings silenced in place, with a reason, and silences that have become untrue.

On an object: the annotation `tsujiban.io/lint-ignore: "TSJ101,TSJ105 reason"` (several, one a line).
On a line: the comment `# tsujiban:ignore TSJ101 reason`, behind the line or on its own above it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

import msgspec

from tsujiban.policy.lint.codes import BAD_SILENCE, CODES, UNUSED_SILENCE, Code, LintFinding
from tsujiban.policy.lint.subject import finding
from tsujiban.resources.load import LoadedObject

ANNOTATION = "tsujiban.io/lint-ignore"
_COMMENT = re.compile(r"(?:^|\s)#\s*tsujiban:ignore\b(?P<rest>.*)$")
_OWN_LINE = re.compile(r"\s*(?:#.*)?$")


class Silence:
    """One code silenced in one place."""

    def __init__(
        self, code: str, reason: str, file: str, line: int, about: LoadedObject | None, at: int
    ) -> None:
        self.code = code
        self.reason = reason
        self.file = file
        self.line = line  # of the findings that it silences; 0: of any of the object's
        self.about = about
        self.at = at  # where it stands itself
        self.used = False

    def covers(self, one: LintFinding) -> bool:
        """Whether it is about a finding."""
        if one.code != self.code or one.file != self.file:
            return False
        return one.object == self.about.title if self.about is not None else one.line == self.line


def apply(
    findings: Iterable[LintFinding], objects: Iterable[LoadedObject], sources: Mapping[str, bytes]
) -> list[LintFinding]:
    """The findings, those silenced marked with the reason, and findings about the silences."""
    silences: list[Silence] = []
    wrong: list[LintFinding] = []
    for one in objects:
        text = one.object.metadata.annotations.get(ANNOTATION)
        if text is not None:
            at = one.line(("metadata", "annotations", ANNOTATION))
            _read_all(text.splitlines() or [""], one.file, at, one, silences, wrong)
    for file, data in sources.items():
        for at, line, rest in comments(data.decode("utf-8", "replace")):
            _read(rest, file, at, line, None, silences, wrong)
    told = []
    for found in findings:
        covering = [silence for silence in silences if silence.covers(found)]
        for silence in covering:
            silence.used = True
        told.append(msgspec.structs.replace(found, silenced=covering[0].reason) if covering else found)
    unused = [
        _about(UNUSED_SILENCE, s, f"{s.code} is not found here", "remove it") for s in silences if not s.used
    ]
    return [*told, *wrong, *unused]


def comments(text: str) -> Iterator[tuple[int, int, str]]:
    """Comments that silence: their line, the line that they are about, and what they say."""
    if "tsujiban:ignore" not in text:
        return
    lines = text.split("\n")
    for index, line in enumerate(lines):
        match = _COMMENT.search(line.rstrip("\r"))
        if match is None:
            continue
        about = index
        if not line[: match.start()].strip():
            about += 1
            while about < len(lines) and _OWN_LINE.match(lines[about].rstrip("\r")):
                about += 1
        yield index + 1, about + 1, match["rest"]


def _read_all(
    texts: Iterable[str],
    file: str,
    at: int,
    about: LoadedObject,
    into: list[Silence],
    wrong: list[LintFinding],
) -> None:
    for text in texts:
        if text.strip():
            _read(text, file, at, 0, about, into, wrong)


def _read(
    text: str,
    file: str,
    at: int,
    line: int,
    about: LoadedObject | None,
    into: list[Silence],
    wrong: list[LintFinding],
) -> None:
    words, _, reason = re.sub(r"\s*,\s*", ",", text.strip()).partition(" ")
    for word in filter(None, words.split(",")) if words else ("",):
        silence = Silence(word.upper(), reason.strip(), file, line, about, at)
        if silence.code not in CODES:
            near = get_close_matches(silence.code, CODES, n=1)
            what = f"there is no code {word!r}" if word else "it names no code"
            hint = f"did you mean {near[0]}?" if near else "write: TSJ101,TSJ105 reason"
            wrong.append(_about(BAD_SILENCE, silence, what, hint))
        elif not silence.reason:
            wrong.append(_about(BAD_SILENCE, silence, "it gives no reason", f"write: {word} reason"))
            into.append(silence)
            silence.used = True
        else:
            into.append(silence)


def _about(code: Code, silence: Silence, message: str, hint: str) -> LintFinding:
    if silence.about is not None:
        return finding(code, silence.about, ("metadata", "annotations", ANNOTATION), message, hint)
    return LintFinding(
        code=code.id,
        name=code.name,
        severity=code.level,
        message=message,
        hint=hint,
        file=silence.file,
        line=silence.at,
        page=code.page,
    )
