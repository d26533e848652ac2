"""Words for the shell's completion. It must never fail, print or wait: no answer is an answer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from tsujiban.local.client import Client
    from tsujiban.resources.registry import Kind


ANSWER_SECONDS = 2.0  # nobody waits longer for a word
_WITH_PODS = ("daemonset/", "deployment/", "job/", "replicaset/", "service/", "statefulset/")


def kinds(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of kinds; a kind that shares its name gets its group."""
    from tsujiban.resources.registry import KINDS, resolve

    words = [k.plural if resolve(k.plural) is k else f"{k.plural}.{k.group}" for k in KINDS]
    return _beginning(incomplete, words)


def targets(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """A kind first, then names of its objects; or `kind/name` in one word."""
    given = context.params.get(parameter.name or "") or ()
    if given:
        return _beginning(incomplete, set(_names(context, str(given[0]))) - set(given[1:]))
    if "/" in incomplete:
        kind = incomplete.partition("/")[0]
        return _beginning(incomplete, (f"{kind}/{name}" for name in _names(context, kind)))
    return kinds(context, parameter, incomplete)


def pods(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of pods, and `deployment/NAME`."""
    kind, slash, _ = incomplete.partition("/")
    if slash:
        return _beginning(incomplete, (f"{kind}/{name}" for name in _names(context, kind)))
    return _beginning(incomplete, (*_names(context, "pods"), *_WITH_PODS))


def containers(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Containers of the pod that the command line names, and its sidecar where that has a log."""
    from tsujiban.cli.session import DEFAULT_NAMESPACE, find_pod
    from tsujiban.wire.sessions import SIDECAR

    # click gives up placing words when the last option lacks its value, and leaves them in `args`
    target = str(context.params.get("pod") or next(iter(context.args), ""))
    namespace = str(context.params.get("namespace") or DEFAULT_NAMESPACE)
    found = _asked(context, lambda client: find_pod(client, namespace, target)) if target else None
    names = [str(one["name"]) for one in (found or {"spec": {}})["spec"].get("containers", ())]
    return _beginning(incomplete, (*names, *([SIDECAR] if found and context.command.name == "logs" else ())))


def accounts(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of service accounts."""
    return _beginning(incomplete, _names(context, "serviceaccounts"))


def endpoints(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """NAMESPACE/NAME of every pod."""
    return _beginning(
        incomplete, (f"{space}/{name}" for space, name in _objects(context, "pods", everywhere=True))
    )


def clusters(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Clusters of this machine, running or kept."""
    from tsujiban.local.layout import RUN_ROOT, STATE_ROOT

    found: set[str] = set()
    for root in (RUN_ROOT, STATE_ROOT):
        with contextlib.suppress(OSError):
            found |= {path.name for path in root.iterdir()}
    return _beginning(incomplete, found)


def contexts(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Contexts of the file given with `--kubeconfig`."""
    from tsujiban.local.kubeconfig import KubeconfigError, contexts_of

    file = context.params.get("kubeconfig")
    try:
        return _beginning(incomplete, contexts_of(Path(file)) if file else ())
    except KubeconfigError:
        return []


def namespaces(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of namespaces."""
    return _beginning(incomplete, _names(context, "namespaces"))


def _beginning(incomplete: str, words: Iterable[str]) -> list[CompletionItem]:
    return [CompletionItem(word) for word in sorted(words) if word.startswith(incomplete)]


def _names(context: click.Context, word: str) -> list[str]:
    return sorted({name for _, name in _objects(context, word)})


def _objects(context: click.Context, word: str, *, everywhere: bool = False) -> list[tuple[str, str]]:
    """(namespace, name) of the objects of a kind."""
    from tsujiban.resources.registry import UnknownKind, resolve

    try:
        kind: Kind = resolve(word)
    except UnknownKind:
        return []
    everywhere = everywhere or bool(context.params.get("all_namespaces")) or not kind.namespaced
    namespace = None if everywhere else context.params.get("namespace")
    found = _asked(context, lambda client: client.list(kind, namespace))
    items = (found or {}).get("items") or ()
    return [(str(i["metadata"].get("namespace", "")), str(i["metadata"]["name"])) for i in items]


def _asked(context: click.Context, question: Callable[[Client], dict[str, Any]]) -> dict[str, Any] | None:
    """The cluster's answer; None when there is none at once."""
    from tsujiban.cli.session import DEFAULT_CLUSTER, connect
    from tsujiban.local.client import ApiError
    from tsujiban.local.unreachable import Unreachable

    try:
        with (
            context.scope(cleanup=False),  # where `--kubeconfig` and `--context` are looked up
            connect(str(context.params.get("cluster") or DEFAULT_CLUSTER)) as client,
        ):
            client.hurry(ANSWER_SECONDS)
            return question(client)
    except (ApiError, Unreachable, click.ClickException):
        return None
