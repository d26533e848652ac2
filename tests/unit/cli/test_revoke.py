from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from click.testing import CliRunner

from tsujiban.cli.errors import Exit
from tsujiban.cli.main import main
from tsujiban.cli.revoke import asked, changed_list

PATH = "/api/v1/namespaces/kube-system/configmaps/tsujiban-revoked"
MALLORY, EVE = "spiffe://t.example/ns/a/sa/mallory", "spiffe://t.example/ns/a/sa/eve"


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["revoke", *words])
    return result.exit_code, result.output


def test_what_is_revoked_joins_the_list(serve: Callable[..., Any]) -> None:
    known = {"metadata": {"resourceVersion": "7"}, "data": {"revoked": f"{EVE}\n"}}
    server = serve("revoke", {("GET", PATH): known, ("POST", "/tsujiban/v1/apply"): {}})
    code, output = run(MALLORY, "serial:0A:FF", "--reason", "key on a stick")
    assert (code, output) == (0, f"{MALLORY} revoked\nserial:aff revoked\n")
    (config,) = json.loads(server.seen[-1].content)["objects"]
    assert config["metadata"]["resourceVersion"] == "7"
    expected = f"{EVE}\n{MALLORY}  # key on a stick\nserial:aff  # key on a stick\n"
    assert config["data"] == {"revoked": expected}


def test_the_list_is_shown(serve: Callable[..., Any]) -> None:
    serve("revoke", {("GET", PATH): {"metadata": {}, "data": {"revoked": f"{EVE}\n"}}})
    assert run() == (0, f"{EVE}\n")


def test_what_can_be_no_certificate_is_refused_before_anything_is_asked(serve: Callable[..., Any]) -> None:
    server = serve("revoke", {})
    assert run("mallory")[0] == Exit.USAGE
    assert server.seen == []


def test_lists_keep_what_they_hold_besides() -> None:
    text = f"# ours\n{EVE} # old\nserial:0aff\n"
    assert changed_list(text, ["serial:aff"], undo=True, reason="") == f"# ours\n{EVE} # old\n"
    assert changed_list(text, [EVE], undo=False, reason="") == f"# ours\nserial:0aff\n{EVE}\n"


def test_a_node_loses_what_it_was_given_until_now_and_has_one_entry() -> None:
    then = ["node/n before=2026-01-31T12:00:01Z"]
    assert asked(("node/n",), 1_769_860_800.7, undo=False) == then
    text = f"{EVE}\nnode/n before=2026-01-01T00:00:00Z # first\nnode/nn before=2026-01-01T00:00:00Z\n"
    rest = f"{EVE}\nnode/nn before=2026-01-01T00:00:00Z\n"
    assert changed_list(text, then, undo=False, reason="") == f"{rest}{then[0]}\n"
    assert changed_list(text, asked(("node/n",), 0.0, undo=True), undo=True, reason="") == rest
