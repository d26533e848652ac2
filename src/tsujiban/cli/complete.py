"""Words for the shell's completion. It must never fail, print or wait: no answer is an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from tsujiban.resources.registry import Kind


def kinds(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of kinds; a kind that shares its name gets its group."""
    from tsujiban.resources.registry import KINDS, resolve

    words = [k.plural if resolve(k.plural) is k else f"{k.plural}.{k.group}" for k in KINDS]
    return [CompletionItem(word) for word in sorted(words) if word.startswith(incomplete)]


def targets(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """A kind first, then names of its objects; or `kind/name` in one word."""
    given = context.params.get(parameter.name or "") or ()
    if given:
        return [
            CompletionItem(name) for name in _names(context, str(given[0])) if name.startswith(incomplete)
        ]
    if "/" in incomplete:
        kind, _, start = incomplete.partition("/")
        return [CompletionItem(f"{kind}/{name}") for name in _names(context, kind) if name.startswith(start)]
    return kinds(context, parameter, incomplete)


def pods(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of pods."""
    return [CompletionItem(name) for name in _names(context, "pods") if name.startswith(incomplete)]


def namespaces(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of namespaces."""
    return [CompletionItem(name) for name in _names(context, "namespaces") if name.startswith(incomplete)]


def _names(context: click.Context, word: str) -> list[str]:
    from tsujiban.cli.session import DEFAULT_CLUSTER, connect
    from tsujiban.resources.registry import UnknownKind, resolve

    try:
        kind: Kind = resolve(word)
        with connect(str(context.params.get("cluster") or DEFAULT_CLUSTER)) as client:
            namespace = context.params.get("namespace") if kind.namespaced else None
            items = client.list(kind, namespace).get("items", [])
    except (UnknownKind, click.ClickException):
        return []
    return sorted({item["metadata"]["name"] for item in items})
