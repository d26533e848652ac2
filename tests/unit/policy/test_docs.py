"""The documentation names what there is."""

from __future__ import annotations

from pathlib import Path

import click

import tsujiban.policy
from tsujiban.cli.explain import explain
from tsujiban.cli.flowline import FlowLine
from tsujiban.cli.verdict import verdict

DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_every_option_and_field_is_documented() -> None:
    text = (DOCS / "policy.md").read_text()
    for command in (verdict, explain):
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, parameter.name
    for field in FlowLine.__struct_encode_fields__:
        assert f"`{field}`" in text, field


def test_every_name_of_the_api_exists_and_the_main_ones_are_documented() -> None:
    text = (DOCS / "policy.md").read_text()
    for name in tsujiban.policy.__all__:
        assert getattr(tsujiban.policy, name).__name__ == name
    for name in ("OfflineWorld", "PolicyGraph", "explain_objects", "BulkEvaluator", "key_of"):
        assert f"`{name}" in text
