from __future__ import annotations

import json

from tsujiban.cli import output
from tsujiban.resources.registry import resolve


def test_letters_stay_letters_and_order_stays() -> None:
    value = {"name": "辻番", "a": [1]}
    assert output.as_json(value) == '{\n  "name": "辻番",\n  "a": [\n    1\n  ]\n}'
    assert output.as_yaml(value) == "name: 辻番\na:\n- 1"


def test_what_would_command_a_terminal_is_escaped() -> None:
    assert output.as_json({"path": "/\x9b2J"}, indent=None) == r'{"path": "/\u009b2J"}'
    assert json.loads(output.as_json(["\u202e\x1b辻"])) == ["\u202e\x1b辻"]


def test_names_can_be_typed_in_again() -> None:
    assert output.full_name(resolve("pods"), "web") == "pod/web"
    kind = resolve("networkpolicies.projectcalico.org")
    text = output.full_name(kind, "web")
    assert text == "networkpolicy.projectcalico.org/web"
    assert resolve(text.partition("/")[0]) is kind
