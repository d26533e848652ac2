"""libnftables through ctypes: the only door of this room to nftables.

A process of its own (`nft -f`) costs tens of milliseconds and knows nothing of the last
transaction; the library changes a chain in one. Whatever is handed to `run` is one atomic
transaction: all of it comes into force, or nothing.

A context belongs to the network namespace of the thread that made it, for as long as it lives.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import json
import os
import re
from types import TracebackType
from typing import Any, NamedTuple

LIBRARY = "libnftables.so.1"

_JSON = 1 << 4
_NUMERIC = 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10  # protocols, priorities, symbols, times
_TERSE = 1 << 11  # sets without their elements

_POSITION = re.compile(
    r"^(?P<file>[^:\n]*):(?P<line>\d+):(?P<first>\d+)-(?P<last>\d+): Error: (?P<message>.*)$"
)
_DENIED = "Operation not permitted"


class NftError(Exception):
    """nftables is missing, or this process may not use it."""


class Problem(NamedTuple):
    """One complaint of nftables. Line and columns count from 1 in `text`'s transaction."""

    line: int
    first: int
    last: int
    message: str
    text: str

    def __str__(self) -> str:
        return f"line {self.line}, columns {self.first}-{self.last}: {self.message}: {self.text}"


class TransactionError(NftError):
    """nftables refused a transaction; nothing of it is in force."""

    def __init__(self, problems: tuple[Problem, ...], output: str) -> None:
        self.problems = problems
        self.output = output
        super().__init__("; ".join(map(str, problems)) or output.strip() or "refused without a reason")


def problems_of(output: str, transaction: str) -> tuple[Problem, ...]:
    """The complaints in libnftables' error text, with the line of `transaction` that each is about."""
    lines = transaction.splitlines()
    found = []
    for match in map(_POSITION.match, output.splitlines()):
        if match:
            line = int(match["line"])
            text = lines[line - 1].strip() if 0 < line <= len(lines) else ""
            found.append(Problem(line, int(match["first"]), int(match["last"]), match["message"], text))
    return tuple(found)


@functools.cache
def _library(name: str = LIBRARY) -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(name)
    except OSError as error:
        raise NftError(
            f"{name} cannot be loaded ({error}): install it with `apt install nftables`"
        ) from error
    context = ctypes.c_void_p
    library.nft_ctx_new.argtypes = [ctypes.c_uint32]
    library.nft_ctx_new.restype = context
    library.nft_ctx_free.argtypes = [context]
    library.nft_ctx_free.restype = None
    for function in ("nft_ctx_buffer_output", "nft_ctx_buffer_error"):
        getattr(library, function).argtypes = [context]
    for function in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(library, function).argtypes = [context]
        getattr(library, function).restype = ctypes.c_char_p
    library.nft_ctx_set_dry_run.argtypes = [context, ctypes.c_bool]
    library.nft_ctx_set_dry_run.restype = None
    library.nft_ctx_output_set_flags.argtypes = [context, ctypes.c_uint]
    library.nft_ctx_output_set_flags.restype = None
    library.nft_run_cmd_from_buffer.argtypes = [context, ctypes.c_char_p]
    library.nft_run_cmd_from_filename.argtypes = [context, ctypes.c_char_p]
    return library


class Nft:
    """A libnftables context in the network namespace of the thread that makes it. Not thread-safe."""

    def __init__(self, library: str = LIBRARY) -> None:
        self._lib = _library(library)
        self._context = self._lib.nft_ctx_new(0)
        if not self._context:
            raise NftError("libnftables gives no context: out of memory, or no netlink socket")
        if self._lib.nft_ctx_buffer_output(self._context) or self._lib.nft_ctx_buffer_error(self._context):
            self.close()
            raise NftError("libnftables cannot buffer its output: out of memory")

    def __enter__(self) -> Nft:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the context and its netlink socket. A second call does nothing."""
        context, self._context = self._context, None
        if context:
            self._lib.nft_ctx_free(context)

    def run(self, transaction: str) -> str:
        """Put `transaction` (nft syntax) into force, whole, and return what nft prints.

        Raises TransactionError when nftables refuses it, NftError when this process may not.
        """
        return self._run(transaction, 0)

    def check(self, transaction: str) -> None:
        """Let the kernel judge `transaction` without committing it. Raises as `run` does."""
        self._lib.nft_ctx_set_dry_run(self._context, True)
        try:
            self._run(transaction, 0)
        finally:
            self._lib.nft_ctx_set_dry_run(self._context, False)

    def listing(self, command: str, *, elements: bool = True) -> list[dict[str, Any]]:
        """The objects that a `list` command prints, as nft's JSON, numbers instead of names.

        Without `elements`, sets come without what is in them (much cheaper). A table that
        does not exist raises TransactionError.
        """
        output = self._run(command, _JSON | _NUMERIC | (0 if elements else _TERSE))
        return list(json.loads(output)["nftables"]) if output else []

    def _run(self, command: str, flags: int) -> str:
        if self._context is None:
            raise NftError("this libnftables context is closed")
        self._lib.nft_ctx_output_set_flags(self._context, flags)
        failed = self._lib.nft_run_cmd_from_buffer(self._context, command.encode())
        output = (self._lib.nft_ctx_get_output_buffer(self._context) or b"").decode(errors="replace")
        errors = (self._lib.nft_ctx_get_error_buffer(self._context) or b"").decode(errors="replace")
        if failed:
            if _DENIED in errors:
                raise NftError("nftables: operation not permitted: run as root, or with CAP_NET_ADMIN")
            raise TransactionError(self._problems(command), errors)
        return output

    def _problems(self, command: str) -> tuple[Problem, ...]:
        """What is wrong with `command`, with positions: nft gives them for files only."""
        descriptor = os.memfd_create("transaction")
        try:
            with os.fdopen(os.dup(descriptor), "w") as file:
                file.write(command)
            self._lib.nft_ctx_set_dry_run(self._context, True)
            self._lib.nft_run_cmd_from_filename(self._context, f"/proc/self/fd/{descriptor}".encode())
            errors = self._lib.nft_ctx_get_error_buffer(self._context) or b""
        finally:
            self._lib.nft_ctx_set_dry_run(self._context, False)
            os.close(descriptor)
        return problems_of(errors.decode(errors="replace"), command)
