"""What is kubectl's of the words that people type here, handed to kubectl, which works with the cluster.

Whoever knows kubectl types `tsujiban rollout status deployment/web` sooner or later. To do each of its
commands again would be a worse kubectl; to refuse them is no help. So commands, options and forms that are
not ours become kubectl's own, with the cluster's kubeconfig, and with its output and exit code.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import NoReturn

import click

from tsujiban.cli.errors import Exit, Failure
from tsujiban.cli.session import DEFAULT_CLUSTER, kubeconfig_of, shown_kubeconfig

VERBS = frozenset(
    {
        *("annotate", "api-resources", "api-versions", "attach", "auth", "autoscale", "certificate"),
        *(
            "cluster-info",
            "config",
            "cordon",
            "cp",
            "debug",
            "drain",
            "edit",
            "events",
            "expose",
            "kustomize",
        ),
        *("label", "options", "patch", "plugin", "proxy", "replace", "rollout", "run", "scale", "set"),
        *("taint", "top", "uncordon", "wait"),
    }
)
"""Commands that kubectl has and we have not."""

_WITHOUT_CLUSTER = frozenset({"kustomize", "options", "plugin"})
_MANIFESTS = ("-k", "--kustomize")
_EVERYWHERE = (
    *(
        "--as",
        "--as-group",
        "--as-uid",
        "--as-user-extra",
        "--token",
        "--user",
        "--username",
        "-s",
        "--server",
    ),
    *("--request-timeout", "-v", "--v", "--vmodule", "--insecure-skip-tls-verify", "--certificate-authority"),
    *("--client-certificate", "--client-key", "--tls-server-name", "--cache-dir", "--warnings-as-errors"),
    *("--profile", "--kuberc", "--show-managed-fields", "--template", "--allow-missing-template-keys"),
)
OPTIONS: dict[str, frozenset[str]] = {
    "apply": frozenset(
        {
            *("--server-side", "--force-conflicts", "--field-manager", "--prune", "--prune-allowlist"),
            *("--applyset", "--all", "-l", "--selector", "--force", "--cascade", "--grace-period"),
            *("--validate", "--overwrite", "--openapi-patch", *_MANIFESTS),
        }
    ),
    "delete": frozenset({"--dry-run", "-i", "--interactive", "--raw", "-o", "--output", *_MANIFESTS}),
    "describe": frozenset(
        {"-f", "--filename", "-R", "--recursive", "--chunk-size", "--show-events", *_MANIFESTS}
    ),
    "diff": frozenset(
        {
            *("--server-side", "--force-conflicts", "--field-manager", "--prune", "--prune-allowlist"),
            *("-l", "--selector", "--concurrency", *_MANIFESTS),
        }
    ),
    "exec": frozenset({"-f", "--filename", "-q", "--quiet", "--pod-running-timeout"}),
    "explain": frozenset({"--api-version"}),
    "get": frozenset({"--raw", "--server-print", "--subresource", *_MANIFESTS}),
    "logs": frozenset(
        {
            *("-l", "--selector", "--all-containers", "--all-pods", "--prefix", "--since-time"),
            *("--limit-bytes", "--max-log-requests", "--pod-running-timeout", "--ignore-errors"),
            "--insecure-skip-tls-verify-backend",
        }
    ),
    "port-forward": frozenset({"--address", "--pod-running-timeout"}),
    "version": frozenset(),
}
"""Options of kubectl's, of commands that both have: with one of these the command is kubectl's."""

_TEMPLATES = ("jsonpath", "go-template", "template", "custom-columns", "kyaml")
_SIMPLE_PATH = re.compile(r"\{?\.?[\w-]+(\.[\w-]+|\[\d+\])*\}?")
_INSTALL = (
    "Install it (on Debian: `apt-get install kubernetes-client`), or take it from https://kubernetes.io."
)


def is_kubectls(words: Sequence[str]) -> bool:
    """Whether a command line, from the command on, is kubectl's."""
    verb, rest = words[0], words[1:]
    if verb in VERBS:
        return True
    if verb == "create":
        named = [word for word in rest if not word.startswith("-")]
        return bool(rest) and named[:1] != ["token"] and not {"-h", "--help"} & set(rest)
    known = OPTIONS.get(verb)
    if known is None:
        return False
    if verb == "apply" and rest[:1] and rest[0].endswith("-last-applied"):
        return True
    given = list(_options(rest))
    if any(name in known or name in _EVERYWHERE for name, _ in given):
        return True
    if verb == "version":
        return any(name in ("-o", "--output") and value == "yaml" for name, value in given)
    return verb == "get" and any(_beyond(name, value) for name, value in given)


def _beyond(name: str, value: str) -> bool:
    """Whether an option of `get` asks for a form that only kubectl makes."""
    if name in ("-o", "--output"):
        return value.startswith(_TEMPLATES)
    return name == "--sort-by" and not _SIMPLE_PATH.fullmatch(value)


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each option before `--`, and what may be its value."""
    for index, word in enumerate(words):
        if word == "--":
            return
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            yield name, value if equals else "".join(words[index + 1 : index + 2])
        elif word.startswith("-") and len(word) > 1:
            inline = word[2:].removeprefix("=")
            yield word[:2], inline or "".join(words[index + 1 : index + 2])


def hand_over(words: Sequence[str]) -> NoReturn:
    """Become kubectl. Raises Failure: it is not there, or no cluster runs."""
    cluster, rest = without_cluster(words)
    access = [] if words[0] in _WITHOUT_CLUSTER else _access(cluster)
    program = shutil.which("kubectl")
    if program is None:
        shown = " ".join(["kubectl", *(["--kubeconfig", shown_kubeconfig(cluster)] if access else []), *rest])
        raise Failure(
            f"`{words[0]}`, as it is written here, is kubectl's, and kubectl is not installed",
            hint=f"{_INSTALL} Then the same words work, and so do: {shown}",
            code=Exit.USAGE,
        )
    if words[0] == "apply":
        click.echo(
            "note: kubectl applies this, object by object; `tsujiban apply` takes all or none", err=True
        )
    sys.stdout.flush()
    os.execv(program, ["kubectl", *access, *rest])  # noqa: S606 - kubectl, by its path, without a shell


def _access(cluster: str) -> list[str]:
    file, context = kubeconfig_of(cluster)
    return ["--kubeconfig", file, *(["--context", context] if context else [])]


def without_cluster(words: Sequence[str]) -> tuple[str, list[str]]:
    """Our `--cluster NAME`, which means something else to kubectl, and the other words."""
    cluster = os.environ.get("TSUJIBAN_CLUSTER") or DEFAULT_CLUSTER
    rest: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            return cluster, [*rest, word, *left]
        if word == "--cluster" and left:
            cluster = left.pop(0)
        elif word.startswith("--cluster="):
            cluster = word.partition("=")[2]
        else:
            rest.append(word)
    return cluster, rest
