"""Collects problems of one object, and the checks that every kind needs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

import msgspec

from tsujiban.resources import nets, selectors
from tsujiban.resources.positions import Path
from tsujiban.resources.shape import MAX_PROBLEMS, Problem

_PERCENT = re.compile(r"[0-9]{1,9}%", re.ASCII)


class Report:
    """Problems in the order in which they were found."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def error(self, path: Path, code: str, message: str, hint: str = "") -> None:
        """Tell of something that refuses the object."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(path=path, code=code, message=message, hint=hint))

    def warning(self, path: Path, code: str, message: str, hint: str = "") -> None:
        """Tell of something that is probably not meant."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(path=path, code=code, message=message, hint=hint, warning=True))

    def within(self, path: Path, problems: Sequence[Problem]) -> None:
        """Tell of problems that were found in a part, which is at `path`."""
        room = max(0, MAX_PROBLEMS - len(self.problems))
        self.problems += [
            msgspec.structs.replace(problem, path=(*path, *problem.path)) for problem in problems[:room]
        ]

    def required(self, path: Path, value: object) -> bool:
        """Whether a field has a value; tells when it has none."""
        if value is None or value == "":
            self.error(path, "missing-field", f"{path[-1]} is required")
            return False
        return True

    def one_of(self, path: Path, value: str, allowed: Sequence[str], *, empty: bool = False) -> bool:
        """Whether a word is an allowed one; tells which are."""
        if value in allowed or (empty and value == ""):
            return True
        if value == "":
            self.error(path, "missing-field", f"{path[-1]} is required", f"one of {', '.join(allowed)}")
            return False
        lower = {word.lower(): word for word in allowed}
        near = lower.get(value.lower()) or next(
            iter(get_close_matches(value, allowed, n=1, cutoff=0.6)), None
        )
        hint = f"did you mean {near}?" if near else f"one of {', '.join(allowed)}"
        self.error(path, "bad-value", f"{value[:64]!r} is not allowed here", hint)
        return False

    def between(self, path: Path, value: int, low: int, high: int, code: str = "out-of-range") -> bool:
        """Whether a number is in a range."""
        if low <= value <= high:
            return True
        self.error(path, code, f"{value} is not from {low} to {high}")
        return False

    def share(self, path: Path, value: int | str, *, most: int | None = 100) -> bool:
        """Whether a value is a number of things, or a percentage up to `most` (None: any)."""
        if isinstance(value, int):
            return self.between(path, value, 0, 2**31 - 1)
        if not _PERCENT.fullmatch(value):
            self.error(path, "bad-value", f"{value[:64]!r} is no number and no percentage")
            return False
        return most is None or self.between(path, int(value[:-1]), 0, most)

    def exactly_one_of(self, path: Path, choice: msgspec.Struct) -> bool:
        """Whether exactly one field of a struct of alternatives is set."""
        names = choice.__struct_encode_fields__
        values = msgspec.structs.astuple(choice)
        found = [name for name, value in zip(names, values, strict=True) if value is not None]
        if len(found) == 1:
            return True
        hint = f"set exactly one of {', '.join(names)}"
        if found:
            self.error(path, "conflict", f"{' and '.join(found)} exclude each other", hint)
        else:
            self.error(path, "missing-field", "nothing is set", hint)
        return False

    def distinct(self, path: Path, values: Sequence[object]) -> None:
        """Tell of every value that stands twice in a list."""
        seen = set()
        for index, value in enumerate(values):
            if value in seen:
                self.error((*path, index), "duplicate", f"{value!r} stands twice")
            seen.add(value)

    def at_most(self, path: Path, values: Sequence[object], most: int) -> None:
        """Tell of a list that is too long."""
        if len(values) > most:
            self.error(path, "too-many", f"{len(values)} items; at most {most} are allowed")

    def selector(self, path: Path, text: str) -> selectors.Selector | None:
        """A selector in Calico's grammar; tells when it is none."""
        try:
            return selectors.parse(text)
        except selectors.SelectorError as error:
            self.error(path, "bad-selector", str(error))
            return None

    def network(self, path: Path, text: str, *, prefix: bool = False) -> nets.Network | None:
        """A CIDR, or an address unless `prefix`; tells when it is none, warns of host bits."""
        try:
            found = nets.cidr(text) if prefix else nets.network(text)
        except ValueError as error:
            self.error(path, "bad-cidr", str(error))
            return None
        host = text.partition("/")[0]
        if nets.address(host) != found.network_address:
            self.warning(
                path,
                "host-bits",
                f"{text} has bits beyond its prefix length; they are ignored",
                f"write {found}",
            )
        return found

    def address(self, path: Path, text: str) -> nets.Address | None:
        """An address; tells when it is none."""
        try:
            return nets.address(text)
        except ValueError as error:
            self.error(path, "bad-address", str(error))
            return None

    def port(self, path: Path, value: int) -> bool:
        """Whether a port number is from 1 to 65535."""
        return self.between(path, value, 1, 65535, "bad-port")
