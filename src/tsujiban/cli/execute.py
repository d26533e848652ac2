"""`tsujiban exec POD -- CMD`: run a command as the pod's container would."""

from __future__ import annotations

import os

import click

from tsujiban.cli.complete import pods
from tsujiban.cli.logs import choose_container
from tsujiban.cli.session import cluster_option, connect, find_pod, namespace_option, open_local


@click.command(
    name="exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@namespace_option
@click.option("-c", "--container", default="", help="Which container; the first when not given.")
@click.option(
    "-i", "--stdin", "_stdin", is_flag=True, help="For kubectl's sake: standard input is always passed on."
)
@click.option(
    "-t", "--tty", "_tty", is_flag=True, help="For kubectl's sake: the terminal is always passed on."
)
@cluster_option
@click.argument("pod", shell_complete=pods)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def execute(
    pod: str, command: tuple[str, ...], namespace: str, container: str, _stdin: bool, _tty: bool, cluster: str
) -> None:
    """Run a command inside a pod, e.g. `tsujiban exec deployment/summary -- cat /etc/resolv.conf`.

    The exit code is the command's.
    """
    command = command[1:] if command[0] == "--" else command
    with connect(cluster) as client:
        found = find_pod(client, namespace, pod)
    chosen = choose_container(found, container)
    run = open_local(cluster).exec_command(namespace, found["metadata"]["name"], chosen, command)
    os.execve(run.argv[0], run.argv, run.env)  # noqa: S606 - an argument list, no shell
