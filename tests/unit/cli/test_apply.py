from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from tsujiban.cli.errors import Exit
from tsujiban.cli.main import main

APPLY = ("POST", "/tsujiban/v1/apply")
POLICY_PATH = ("GET", "/apis/projectcalico.org/v3/globalnetworkpolicies/all")
POLICY = (
    "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: all}\nspec:\n  tier: x\n"
)
RESULT = {
    "apiVersion": "projectcalico.org/v3",
    "kind": "GlobalNetworkPolicy",
    "name": "all",
    "action": "created",
}


@pytest.fixture
def manifest(tmp_path: Path) -> str:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return str(path)


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["apply", *words])
    return result.exit_code, result.output


def test_what_became_of_each_object(serve: Callable[..., Any], manifest: str) -> None:
    server = serve("apply", {APPLY: {"results": [RESULT]}})
    assert run("-f", manifest) == (0, "globalnetworkpolicy.projectcalico.org/all created\n")
    sent = json.loads(server.seen[0].content)
    assert sent["dryRun"] is False
    assert [obj["metadata"]["name"] for obj in sent["objects"]] == ["all"]


def test_a_dry_run_says_so(serve: Callable[..., Any], manifest: str) -> None:
    server = serve("apply", {APPLY: {"results": [RESULT]}})
    assert run("-f", manifest, "--dry-run", "server", "--wait") == (
        0,
        "globalnetworkpolicy.projectcalico.org/all created (dry run)\n",
    )
    assert json.loads(server.seen[0].content)["dryRun"] is True


def test_what_became_of_them_in_other_forms(serve: Callable[..., Any], manifest: str) -> None:
    serve("apply", {APPLY: {"results": [RESULT]}})
    assert run("-f", manifest, "-o", "name") == (0, "globalnetworkpolicy.projectcalico.org/all\n")
    assert run("-f", manifest, "-o", "yaml")[1].startswith("results:\n")


def test_a_check_here_asks_nobody(serve: Callable[..., Any], manifest: str) -> None:
    server = serve("apply", {})
    code, text = run("-f", manifest, "--dry-run", "client")
    assert (code, server.seen) == (0, [])
    assert "1 objects are well formed" in text


def test_waiting_says_how_long_it_took(serve: Callable[..., Any], manifest: str) -> None:
    condition = {"type": "Enforced", "status": "True", "observedGeneration": 1, "message": "2/2 nodes"}
    policy = {"metadata": {"name": "all", "generation": 1}, "status": {"conditions": [condition]}}
    serve("apply", {APPLY: {"results": [RESULT]}, POLICY_PATH: policy})
    code, text = run("-f", manifest, "--wait")
    assert code == 0
    assert "enforced on 2/2 nodes in " in text


def test_waiting_has_an_end(serve: Callable[..., Any], manifest: str) -> None:
    serve("apply", {APPLY: {"results": [RESULT]}, POLICY_PATH: {"metadata": {"name": "all"}}})
    code, text = run("-f", manifest, "--wait", "--timeout", "0.05")
    assert code == Exit.REFUSED
    assert "no status yet" in text


def test_a_refusal_shows_every_finding_at_its_place(serve: Callable[..., Any], manifest: str) -> None:
    finding = {
        "code": "no-such-tier",
        "message": "there is no tier 'x'",
        "object": "GlobalNetworkPolicy all",
        "field": "spec.tier",
    }
    refusal = {"message": "nothing was applied", "details": {"findings": [finding]}}
    serve("apply", {APPLY: httpx.Response(422, json=refusal)})
    code, text = run("-f", manifest)
    assert code == Exit.USAGE
    assert f"{manifest}:5:3: error: GlobalNetworkPolicy all spec.tier: there is no tier 'x'" in text
    assert "1 error; nothing was changed" in text


def test_a_refusal_without_findings_is_told(serve: Callable[..., Any], manifest: str) -> None:
    serve("apply", {APPLY: httpx.Response(409, json={"message": "others write"})})
    assert run("-f", manifest) == (Exit.REFUSED, "error: others write\n  Nothing was changed.\n")
