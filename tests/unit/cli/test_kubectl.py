"""What is kubectl's goes to kubectl, with the cluster's kubeconfig, and nothing of ours does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest
from click.testing import CliRunner

from tsujiban.cli import kubectl
from tsujiban.cli.errors import Exit
from tsujiban.cli.main import COMMANDS, main
from tsujiban.local import layout


class Became(Exception):
    """The process would be kubectl now."""


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A kubectl on PATH, and a cluster `local`; becoming kubectl raises Became."""
    program = tmp_path / "kubectl"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(layout, "STATE_ROOT", tmp_path / "state")
    config = layout.Layout("local").kubeconfig
    config.parent.mkdir(parents=True)
    config.write_text("{}")

    def execv(path: str, words: list[str]) -> NoReturn:
        raise Became(path, words)

    monkeypatch.setattr(os, "execv", execv)
    return config


def run(*words: str) -> list[str]:
    found = CliRunner().invoke(main, list(words)).exception
    assert isinstance(found, Became), found
    argv: list[str] = found.args[1]
    return argv


@pytest.mark.parametrize(
    "line",
    [
        "label pod web a=b",
        "rollout status deployment/web -n shop",
        "create namespace shop",
        "create -f web.yaml",
        "get pods -o jsonpath={.items}",
        "get pods -ojsonpath={.items}",
        "get pods --output=custom-columns=A:.a",
        "get pods --sort-by={.items[?(@.a)]}",
        "get --raw /metrics",
        "logs -l app=web",
        "apply -k overlay",
        "apply --server-side -f web.yaml",
        "apply view-last-applied -f web.yaml",
        "delete pod web --dry-run=server",
        "describe -f web.yaml",
        "diff -k overlay",
        "version -o yaml",
        "get pods --as ann",
        "explain pod --api-version v1",
        "port-forward web 80 --address 0.0.0.0",
    ],
)
def test_the_same_words_go_to_kubectl(became: Path, line: str) -> None:
    assert run(*line.split()) == ["kubectl", "--kubeconfig", str(became), *line.split()]


@pytest.mark.parametrize(
    "line",
    [
        "get pods -o wide --sort-by .metadata.name",
        "get pods --sort-by={.status.containerStatuses[0].restartCount}",
        "create token robot",
        "create --help",
        "create",
        "apply -f web.yaml --wait",
        "exec web -- kubectl get pods -o jsonpath={}",
        "exec web -- get --raw /",
        "delete pod web --force --grace-period 0",
        "describe pods -l app=web",
        "version -o json",
        "explain pod.spec",
        "status -o yaml",
    ],
)
def test_what_is_ours_stays_ours(line: str) -> None:
    assert not kubectl.is_kubectls(line.split())


def test_no_verb_is_both(became: Path) -> None:
    assert not kubectl.VERBS & COMMANDS.keys()
    assert kubectl.OPTIONS.keys() <= COMMANDS.keys()


def test_our_cluster_is_not_kubectls(became: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = layout.Layout("other").kubeconfig
    other.parent.mkdir(parents=True)
    other.write_text("{}")
    wanted = ["kubectl", "--kubeconfig", str(other), "label", "pod", "a", "b=c"]
    assert run("label", "pod", "a", "b=c", "--cluster", "other") == wanted
    assert run("--cluster=other", "label", "pod", "a", "b=c") == wanted
    monkeypatch.setenv("TSUJIBAN_CLUSTER", "other")
    assert run("label", "pod", "a", "b=c") == wanted
    assert run("run", "a", "--", "x", "--cluster", "y")[-3:] == ["x", "--cluster", "y"]


def test_a_file_and_its_context_are_passed_on(became: Path, tmp_path: Path) -> None:
    given = ("--kubeconfig", str(tmp_path / "c"), "--context", "x")
    assert run(*given, "edit", "pod/a") == ["kubectl", *given, "edit", "pod/a"]


def test_what_needs_no_cluster_asks_for_none(became: Path) -> None:
    assert run("kustomize", "overlay", "--cluster", "none") == ["kubectl", "kustomize", "overlay"]


def test_a_cluster_that_is_not_there(became: Path) -> None:
    result = CliRunner().invoke(main, ["label", "pod", "a", "b=c", "--cluster", "none"])
    assert result.exit_code == Exit.UNREACHABLE
    assert "tsujiban up --cluster none" in result.output


def test_without_kubectl_it_says_what_to_install_and_what_to_write(
    became: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    result = CliRunner().invoke(main, ["label", "pod", "web", "a=b"])
    assert result.exit_code == Exit.USAGE
    assert "kubectl is not installed" in result.output
    assert f"kubectl --kubeconfig {became} label pod web a=b" in result.output


def test_that_kubectl_applies_object_by_object_is_said(became: Path) -> None:
    assert "all or none" in CliRunner().invoke(main, ["apply", "--prune", "-f", "x"]).output
