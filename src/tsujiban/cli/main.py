"""The `tsujiban` command: a table of subcommands, each imported only when it is used.

Start-up time is a feature of an offline tool that runs in every pull request, so this module
imports nothing heavy; a subcommand's module does.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# name -> ("module:attribute", one line of help)
COMMANDS: dict[str, tuple[str, str]] = {
    "apply": ("tsujiban.cli.apply:apply", "Create or change objects from manifests, all or none."),
    "authz-server": ("tsujiban.cli.authzserver:authz_server", "Answer other proxies' ext_authz questions."),
    "backup": ("tsujiban.cli.backup:backup", "Save the cluster's objects to a file."),
    "completion": ("tsujiban.cli.completion:completion", "Print the shell's completion script."),
    "connectivity": (
        "tsujiban.cli.connectivity:connectivity",
        "Say which connections manifests allow, exactly.",
    ),
    "controller": ("tsujiban.cli.controller:controller", "Have another machine be a controller, too."),
    "create": ("tsujiban.cli.create:create", "Create a service account's token; the rest is kubectl's."),
    "delete": ("tsujiban.cli.delete:delete", "Delete objects."),
    "demo": ("tsujiban.cli.demo:demo", "Run the bank and attack it."),
    "describe": ("tsujiban.cli.describe:describe", "Show objects in detail, with their events."),
    "diff": ("tsujiban.cli.diff:diff", "Say what new manifests allow differently, and why."),
    "down": ("tsujiban.cli.updown:down", "Stop the cluster and remove what it made."),
    "exec": ("tsujiban.cli.execute:execute", "Run a command inside a pod."),
    "explain": (
        "tsujiban.cli.explain:explain",
        "Say why a flow is allowed or denied, or what a field means.",
    ),
    "flows": ("tsujiban.cli.flows:flows", "Show what the two posts decided."),
    "get": ("tsujiban.cli.get:get", "Show objects."),
    "kubeconfig": ("tsujiban.cli.kubeconfig:kubeconfig", "Print how kubectl reaches the cluster."),
    "lint": ("tsujiban.cli.lint:lint", "Find rules in vain, open doors and bad habits in policies."),
    "logs": ("tsujiban.cli.logs:logs", "Show a container's log."),
    "man": ("tsujiban.cli.man:man", "Print or install manual pages."),
    "port-forward": ("tsujiban.cli.forward:forward", "Reach a service from this machine, through a pod."),
    "restore": ("tsujiban.cli.backup:restore", "Make a stopped cluster's objects those of a backup."),
    "revoke": ("tsujiban.cli.revoke:revoke", "Refuse certificates before they expire."),
    "status": ("tsujiban.cli.status:status", "Show every component and its health."),
    "test": ("tsujiban.cli.policytest:test", "Run policy tests, and find the rules that no test notices."),
    "up": ("tsujiban.cli.updown:up", "Start a cluster on this machine."),
    "version": ("tsujiban.cli.version:version", "Show the versions of this program and of the cluster."),
    "verdict": ("tsujiban.cli.verdict:verdict", "Judge flows against manifests, one JSON object a flow."),
}


COMPLETE = "_TSUJIBAN_COMPLETE"  # in the environment when a shell asks for words

FIRST = (
    "-n",
    "--namespace",
    "--cluster",
)  # options that kubectl takes before the command, too, and we with it


def _with_examples(name: str, command: click.Command) -> None:
    """Have `--help` end with them, also that of a command's commands."""
    from tsujiban.cli.examples import epilog

    command.epilog = epilog(name)
    if isinstance(command, click.Group):
        for inner, found in command.commands.items():
            _with_examples(f"{name} {inner}", found)


class LazyGroup(click.Group):
    """A group whose commands are looked up in `COMMANDS` and imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}:{attribute} is not a command")
        _with_examples(cmd_name, command)
        return command

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """As click; when a shell asks, by the words of `completion` too."""
        if COMPLETE in os.environ:
            importlib.import_module("tsujiban.cli.completion")
        return super().main(*args, **kwargs)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click, and `-n shop get pods` is `get pods -n shop`."""
        from tsujiban.cli.errors import usage

        with usage():
            return super().parse_args(ctx, _moved(args))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click; what is kubectl's is handed to it."""
        from tsujiban.cli import kubectl

        if ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        if args and kubectl.is_kubectls(args):
            kubectl.hand_over(args)
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            from tsujiban.cli.errors import Exit, Failure

            near = difflib.get_close_matches(args[0], [*COMMANDS, *kubectl.VERBS], n=2)
            hint = f"Did you mean {' or '.join(near)}?" if near else "`tsujiban --help` lists the commands."
            raise Failure(f"there is no command {args[0]!r}", hint=hint, code=Exit.USAGE)
        name, command, rest = super().resolve_command(ctx, args)
        return name, command, rest if command is None else flags(command, rest)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """As click, and kubectl's commands."""
        from click.shell_completion import CompletionItem

        from tsujiban.cli.kubectl import VERBS

        handed = [CompletionItem(verb) for verb in sorted(VERBS) if verb.startswith(incomplete)]
        return [*super().shell_complete(ctx, incomplete), *handed]

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; what the cluster refuses becomes one message and an exit code."""
        from tsujiban.cli.errors import explained

        with explained():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing any of them."""
        from tsujiban.cli.kubectl import VERBS

        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])
        with formatter.section("Handed to kubectl, with this cluster's kubeconfig"):
            formatter.write_text(", ".join(sorted(VERBS)))


def _moved(args: list[str]) -> list[str]:
    """What stands before the command and is the command's goes behind it."""
    kept: list[str] = []
    moved: list[str] = []
    left = list(args)
    while left and left[0].startswith("-"):
        word = left.pop(0)
        name, equals, _ = word.partition("=")
        if name in FIRST:
            moved += [word] if equals or not left else [word, left.pop(0)]
        elif name in ("--kubeconfig", "--context") and not equals and left:
            kept += [word, left.pop(0)]
        else:
            kept.append(word)
    return [*kept, *left[:1], *moved, *left[1:]]


def flags(command: click.Command, args: list[str]) -> list[str]:
    """kubectl's `--wait=false` and `--wait=true` as click has them: `--no-wait`, or nothing, and `--wait`."""
    known = {
        name: parameter.secondary_opts
        for parameter in command.params
        if isinstance(parameter, click.Option) and parameter.is_flag
        for name in parameter.opts
    }
    found: list[str] = []
    for index, word in enumerate(args):
        if word == "--":
            return [*found, *args[index:]]
        name, equals, value = word.partition("=")
        if equals and name in known and value in ("true", "false"):
            found += [name] if value == "true" else known[name][:1]
        else:
            found.append(word)
    return found


def _contexts(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """As `complete.contexts`, which is imported only when it is asked."""
    from tsujiban.cli.complete import contexts

    return contexts(context, parameter, incomplete)


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tsujiban")
@click.option(
    "--kubeconfig",
    envvar="TSUJIBAN_KUBECONFIG",
    type=click.Path(dir_okay=False),
    help="Reach the API as this file says, e.g. from another machine; not the cluster of this one.",
)
@click.option(
    "--context", help="Which context of that file; its current one by default.", shell_complete=_contexts
)
def main(kubeconfig: str | None, context: str | None) -> None:
    """One policy, one identity, enforced in the kernel and in Envoy."""
    if context and not kubeconfig:
        from tsujiban.cli.errors import Exit, Failure

        raise Failure(
            f"--context {context} is of a kubeconfig, and none is given",
            hint="Say --kubeconfig FILE, too; a cluster of this machine is chosen by --cluster NAME.",
            code=Exit.USAGE,
        )
