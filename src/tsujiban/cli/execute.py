"""`tsujiban exec POD -- CMD`: run a command as the pod's container would, through the API."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import click

from tsujiban.cli.complete import containers, pods
from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.logs import choose_container
from tsujiban.cli.session import cluster_option, connect, find_pod, namespace_option

if TYPE_CHECKING:
    from tsujiban.local.kubeconfig import Access


class Exec(click.Command):
    """Options may also follow the pod, as kubectl's, when `--` says where the command begins."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See click."""
        if "--" in args or ctx.resilient_parsing:
            ctx.allow_interspersed_args, ctx.ignore_unknown_options = True, False
        return super().parse_args(ctx, args)


@click.command(
    name="exec", cls=Exec, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@namespace_option
@click.option(
    "-c",
    "--container",
    default="",
    help="Which container; the first when not given.",
    shell_complete=containers,
)
@click.option("-i", "--stdin", is_flag=True, help="Pass standard input on.")
@click.option("-t", "--tty", is_flag=True, help="Give the command a terminal; with -i, of this terminal.")
@cluster_option
@click.argument("pod", shell_complete=pods)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def execute(
    pod: str, command: tuple[str, ...], namespace: str, container: str, stdin: bool, tty: bool, cluster: str
) -> None:
    """Run a command inside a pod, e.g. `tsujiban exec deployment/summary -- cat /etc/resolv.conf`,
    `tsujiban exec -it web-1 -- bash`.

    The exit code is the command's.
    """
    command = command[1:] if command[0] == "--" else command
    if not command:
        raise Failure("no command is given", hint="Write for example `exec web-1 -- id`.", code=Exit.USAGE)
    with connect(cluster) as client:
        found = find_pod(client, namespace, pod)
        access = client.access
    name, chosen = found["metadata"]["name"], choose_container(found, container)
    flags = {"stdin": stdin, "stdout": True, "stderr": not tty, "tty": tty}
    parameters = [("command", word) for word in command] + [("container", chosen)]
    parameters += [(flag, "true") for flag, given in flags.items() if given]
    path = f"/api/v1/namespaces/{namespace}/pods/{name}/exec"
    code, problem = run(access, path, parameters, stdin=stdin, tty=tty)
    if problem:
        raise Failure(problem, code=Exit.REFUSED)
    sys.exit(code)


def run(
    access: Access, path: str, parameters: list[tuple[str, str]], *, stdin: bool, tty: bool
) -> tuple[int, str]:
    """The command's exit status, or what went wrong. Raises ApiError, Unreachable."""
    from tsujiban.cli.terminal import Input, raw
    from tsujiban.local.streams import STDERR, V5, execute, websocket
    from tsujiban.wire.websocket import WebSocketError

    def write(channel: int, data: bytes) -> None:
        output = sys.stderr if channel == STDERR else sys.stdout
        output.buffer.write(data)
        output.buffer.flush()

    async def go() -> tuple[int, str]:
        async with websocket(access, path, parameters, V5) as socket:
            given = Input(sys.stdin.fileno() if stdin else -1, tty=tty)
            with raw(sys.stdin.fileno() if stdin and tty else -1):
                return await execute(socket, given.messages() if stdin or tty else None, write)

    try:
        return asyncio.run(go())
    except (ConnectionError, WebSocketError) as error:
        return 1, f"the connection was lost: {error}"
    except BrokenPipeError:
        os.close(sys.stdout.fileno())
        return 1, ""
