"""Talking to a running BIRD over its control socket, as `birdc` does.

The protocol: numbered lines, `1002-text` with more to come and `0013 text` last; a space
instead of a number continues the line before. Codes from 8000 are errors, from 9000 errors of
syntax (BIRD's `doc/reply_codes`).
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path

TIMEOUT = 5.0  # seconds
LINE = re.compile(r"(\d{4})([ -])(.*)")
PROTOCOLS_CODE = 1002


class BirdcError(RuntimeError):
    """BIRD cannot be reached, or said no; the text is BIRD's."""


@dataclass(frozen=True, slots=True)
class Reply:
    """All lines of one answer, with their codes."""

    lines: tuple[tuple[int, str], ...]

    @property
    def text(self) -> str:
        """The answer as `birdc` shows it."""
        return "\n".join(text for _, text in self.lines)


@dataclass(frozen=True, slots=True)
class ProtocolState:
    """One line of `show protocols`."""

    name: str
    kind: str  # BGP, Kernel, ...
    state: str  # up, start, down
    info: str  # of BGP: Established, Connect, Active, ... and the last error

    @property
    def established(self) -> bool:
        """True for a BGP session that is up."""
        return self.state == "up" and self.info.startswith("Established")


def parse(lines: list[str]) -> Reply:
    """Lines of one answer, as received. Raises BirdcError for an error of BIRD's."""
    found: list[tuple[int, str]] = []
    for line in lines:
        match = LINE.fullmatch(line)
        if match:
            found.append((int(match.group(1)), match.group(3)))
        elif line.startswith((" ", "+")) and found:
            found.append((found[-1][0], line[1:]))
    for code, text in found:
        if code >= 8000:
            raise BirdcError(text)
    return Reply(tuple(found))


def finished(line: str) -> bool:
    """True for the last line of an answer."""
    match = LINE.fullmatch(line)
    return match is not None and match.group(2) == " "


def protocols(reply: Reply) -> list[ProtocolState]:
    """Parse the answer to `show protocols`."""
    found = []
    for code, text in reply.lines:
        fields = text.split(None, 5)
        if code == PROTOCOLS_CODE and len(fields) >= 5:
            found.append(ProtocolState(fields[0], fields[1], fields[3], fields[5] if len(fields) > 5 else ""))
    return found


async def command(control: Path | str, text: str) -> Reply:
    """Send one command. Raises BirdcError."""
    try:
        async with asyncio.timeout(TIMEOUT):
            reader, writer = await asyncio.open_unix_connection(str(control))
            try:
                await _read(reader)  # the greeting
                writer.write(text.encode() + b"\n")
                return parse(await _read(reader))
            finally:
                writer.close()
    except TimeoutError:
        raise BirdcError(f"BIRD at {control} does not answer") from None
    except OSError as error:
        raise BirdcError(f"BIRD at {control} cannot be reached: {error}") from None


async def _read(reader: asyncio.StreamReader) -> list[str]:
    lines: list[str] = []
    while True:
        raw = await reader.readline()
        if not raw:
            raise BirdcError("BIRD hung up: " + " ".join(lines))
        line = raw.decode(errors="replace").rstrip("\r\n")
        lines.append(line)
        if finished(line):
            return lines


async def show_protocols(control: Path | str) -> list[ProtocolState]:
    """State of every protocol. Raises BirdcError."""
    return protocols(await command(control, "show protocols"))


async def configure(control: Path | str) -> None:
    """Have BIRD read its configuration again; unchanged sessions stay up. Raises BirdcError."""
    await command(control, "configure")
