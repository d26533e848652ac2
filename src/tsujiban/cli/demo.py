"""`tsujiban demo bank`: start a cluster, play the ten acts, clean up, whatever happens."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.session import DEFAULT_CLUSTER, cluster_option

if TYPE_CHECKING:
    from tsujiban.local.demo.record import Record
    from tsujiban.local.demo.show import Show

NODES = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells say it


@click.group()
def demo() -> None:
    """Run a demonstration on real parts."""


@demo.command()
@click.option("--keep", is_flag=True, help="Leave it running afterwards, and say how to look around.")
@click.option(
    "-o", "--output", "form", type=click.Choice(["json"]), help="A record of every act, on standard output."
)
@click.option(
    "--mesh",
    type=click.Choice(["sidecar", "node"]),
    default="sidecar",
    show_default=True,
    help="An Envoy for each pod, or one for all pods of a node.",
)
@cluster_option
def bank(keep: bool, form: str | None, mesh: str, cluster: str) -> None:
    """A bank in ten acts: open, wire-tapped, hacked, defended, robbed, killed, still open.

    Exits 0 only if everything came out as it must, and leaves nothing behind.
    """
    from rich.console import Console

    from tsujiban.local.demo.show import Show

    console = Console(stderr=form == "json", soft_wrap=True)
    with Show(console) as show, interruptible():
        try:
            record = _evening(cluster, keep, show, mesh)
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None
    if form == "json":
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(_with_verdicts(record))).decode())
    if not record.ok:
        raise click.exceptions.Exit(int(Exit.NO))


def _evening(cluster: str, keep: bool, show: Show, mesh: str) -> Record:
    from tsujiban.local import plight
    from tsujiban.local.demo.runner import play
    from tsujiban.local.down import down
    from tsujiban.local.preflight import PreflightError
    from tsujiban.local.up import UpError, up

    show.say("Tsujiban: the bank" + ("" if mesh == "sidecar" else ", with one Envoy a node"))
    try:
        running = up(cluster, NODES, show.step)
    except (PreflightError, ValueError) as error:
        raise Failure(str(error), code=Exit.USAGE) from error
    except UpError as error:
        raise Failure(str(error), hint="Nothing of it was left behind.", code=Exit.REFUSED) from error
    kept = False
    try:
        record = asyncio.run(play(running, show, mesh))
        show.epilogue(record)
        kept = keep
        if not (record.ok or kept):
            show.say(f"What the cluster says before it is taken down:\n{plight.tell(running)}")
    finally:
        if not kept:
            with undisturbed():
                show.step("taking everything down")
                down(cluster)
    if kept:
        show.say(_around(cluster))
    return record


def _with_verdicts(record: Record) -> dict[str, object]:
    import msgspec

    acts = [{**msgspec.to_builtins(act), "ok": act.ok} for act in record.acts]
    return {"ok": record.ok, "seconds": round(record.seconds, 1), "acts": acts}


def _around(cluster: str) -> str:
    """What to try in a cluster that was kept."""
    lines = [
        (
            "port-forward deployment/visitor 8080:customer:8080",
            "look at the bank: http://127.0.0.1:8080",
        ),
        ("status", "who is well"),
        ("get pods -A -o wide", "what runs where"),
        ("flows -f", "what the posts decide, live"),
        ("explain customer database --port 2379 --method POST --path /v3/kv/put", "why a flow is denied"),
        ("exec deployment/customer -- python3", "be the attacker"),
        ("down", "end it"),
    ]
    width = max(len(command) for command, _ in lines)
    rows = [f"  tsujiban {command:<{width}}  # {text}" for command, text in lines]
    if cluster != DEFAULT_CLUSTER:
        rows.insert(0, f"  export TSUJIBAN_CLUSTER={cluster}")
    return "\n".join(["", "The bank is still open. Look around:", *rows])


@contextmanager
def interruptible() -> Iterator[None]:
    """A terminal that closes and a polite `kill` end the evening as Ctrl-C does."""
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: object) -> None:
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in what a script runs in the background
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)


@contextmanager
def undisturbed() -> Iterator[None]:
    """No signal interrupts the cleaning up."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
