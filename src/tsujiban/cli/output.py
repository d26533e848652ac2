"""`-o json|yaml|name|wide`: the same object in the form that the reader wants."""

from __future__ import annotations

import json
from typing import Any

import click

from tsujiban.resources.registry import Kind

Json = dict[str, Any]


def as_json(value: Any, indent: int | None = 2) -> str:
    """Indented, in the given order, letters as letters, unless some would command a terminal."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return text if text.replace("\n", "").isprintable() else json.dumps(value, indent=indent)


def as_yaml(value: Any) -> str:
    """Block style, in the given order."""
    import yaml

    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110).rstrip("\n")


def write(value: Any, form: str) -> None:
    """Print `value` as `json` or `yaml`."""
    click.echo(as_json(value) if form == "json" else as_yaml(value))


def full_name(kind: Kind, name: str) -> str:
    """`pod/web`, `networkpolicy.projectcalico.org/web`: what kubectl prints and takes again."""
    return f"{kind.singular}.{kind.group}/{name}" if kind.group else f"{kind.singular}/{name}"
