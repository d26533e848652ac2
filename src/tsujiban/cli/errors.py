"""How the command line fails: one message, what to do, an exit code that a script can rely on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import IO, Any

import click


class Exit(IntEnum):
    """Exit codes of every command (docs/cli.md)."""

    OK = 0
    NO = 1  # the question was answered, and the answer is no: denied, unhealthy, not found, an act failed
    USAGE = 2  # wrong use, or bad input; nothing was changed
    UNREACHABLE = 3  # no cluster, or its API does not answer
    REFUSED = 4  # the cluster refused, or did not get there in time


class Failure(click.ClickException):
    """An error that the user can understand; never shown with a traceback."""

    def __init__(self, message: str, *, hint: str = "", code: Exit = Exit.NO) -> None:
        super().__init__(message)
        self.hint = hint
        self.__dict__["exit_code"] = int(code)  # click declares it on the class, and reads it from here

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message, in which others' words may be, and, on a line of its own, the remedy."""
        from tsujiban.cli.columns import plain

        click.secho("error: ", fg="red", bold=True, nl=False, err=True)
        click.echo("\n".join(plain(line) for line in self.message.split("\n")), err=True)
        if self.hint:
            click.echo(f"  {self.hint}", err=True)


@contextmanager
def usage() -> Iterator[None]:
    """Turn click's words about a wrong command line into a failure of ours."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise  # the help itself
    except click.UsageError as error:
        said = error.format_message().strip().removesuffix(".")
        message = said[:1].lower() + said[1:]
        context = error.ctx or click.get_current_context(silent=True)
        hint = "`tsujiban --help` tells more."
        if context is not None:
            wanted = context.command.get_usage(context).removeprefix("Usage: ")
            hint = f"Write: {' '.join(wanted.split())}; `{context.command_path} --help` tells more."
        raise Failure(message, hint=hint, code=Exit.USAGE) from error


@contextmanager
def explained() -> Iterator[None]:
    """Turn the client's errors into failures. Its module is imported only when something went wrong."""
    try:
        with usage():
            yield
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except Exception as error:
        failure = _failure(error)
        if failure is None:
            raise
        raise failure from error


def _failure(error: Exception) -> Failure | None:
    from tsujiban.local.client import ApiError
    from tsujiban.local.cluster import NotRunning
    from tsujiban.local.unreachable import RENEW, Unreachable

    if isinstance(error, NotRunning):
        return Failure(str(error), code=Exit.UNREACHABLE)
    if isinstance(error, Unreachable):
        return Failure(str(error), hint=error.hint, code=Exit.UNREACHABLE)
    if isinstance(error, ApiError):
        code = Exit.NO if error.http == 404 else Exit.USAGE if error.http in (400, 422) else Exit.REFUSED
        hint = (
            f"Your certificate or token is not (or no longer) accepted. {RENEW}" if error.http == 401 else ""
        )
        return Failure(str(error), hint=hint, code=code)
    return None
