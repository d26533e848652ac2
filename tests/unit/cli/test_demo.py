from __future__ import annotations

import json
import signal

import pytest
from click.testing import CliRunner

from tsujiban.cli import demo
from tsujiban.cli.errors import Exit
from tsujiban.cli.main import main
from tsujiban.local.demo.record import ActRecord, Check, Record


def record(*, ok: bool) -> Record:
    check = Check(what="a", expected="x", observed="x" if ok else "y", ok=ok)
    return Record(acts=[ActRecord(number=1, title="Open", checks=[check])], seconds=1.0)


class Evening:
    """In the place of cluster and acts; counts what is taken down."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, outcome: Record | BaseException) -> None:
        self.downs: list[str] = []
        self.meshes: list[str] = []
        monkeypatch.setattr("tsujiban.local.up.up", lambda name, _nodes, _progress: name)
        monkeypatch.setattr("tsujiban.local.down.down", self.downs.append)
        monkeypatch.setattr("tsujiban.local.plight.tell", lambda name: f"{name} waits for a pod")

        async def play(_cluster: object, _show: object, mesh: str) -> Record:
            self.meshes.append(mesh)
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        monkeypatch.setattr("tsujiban.local.demo.runner.play", play)


@pytest.mark.parametrize(("ok", "code"), [(True, Exit.OK), (False, Exit.NO)])
def test_the_exit_code_is_the_verdict_and_all_is_taken_down(
    ok: bool, code: Exit, monkeypatch: pytest.MonkeyPatch
) -> None:
    evening = Evening(monkeypatch, record(ok=ok))
    done = CliRunner().invoke(main, ["demo", "bank"])
    assert done.exit_code == code
    assert ("local waits for a pod" in done.output) is not ok
    assert evening.downs == ["local"]


def test_kept_means_kept_and_says_how_to_look_around(monkeypatch: pytest.MonkeyPatch) -> None:
    evening = Evening(monkeypatch, record(ok=True))
    result = CliRunner().invoke(main, ["demo", "bank", "--keep", "--cluster", "mine"])
    assert evening.downs == []
    assert "export TSUJIBAN_CLUSTER=mine" in result.output
    assert "tsujiban port-forward deployment/visitor 8080:customer:8080" in result.output


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), demo.INTERRUPTED), (ZeroDivisionError(), 1)]
)
def test_whatever_happens_it_is_taken_down_even_when_it_was_to_be_kept(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    evening = Evening(monkeypatch, error)
    assert CliRunner().invoke(main, ["demo", "bank", "--keep"]).exit_code == code
    assert evening.downs == ["local"]


def test_json_is_alone_on_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    Evening(monkeypatch, record(ok=True))
    result = CliRunner().invoke(main, ["demo", "bank", "-o", "json"])
    found = json.loads(result.stdout)
    assert found["ok"] is True
    assert found["acts"][0]["ok"] is True
    assert "1 of 1 acts" in result.stderr


@pytest.mark.parametrize(
    "ctrl_c", [signal.default_int_handler, signal.SIG_IGN]
)  # the other in the background
def test_a_polite_kill_is_an_interruption_and_handlers_are_put_back(ctrl_c: signal.Handlers) -> None:
    before = signal.getsignal(signal.SIGTERM)
    held = signal.signal(signal.SIGINT, ctrl_c)
    try:
        with demo.interruptible(), pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is before
        assert signal.getsignal(signal.SIGINT) == ctrl_c
    finally:
        signal.signal(signal.SIGINT, held)


def test_cleaning_up_is_not_interrupted() -> None:
    before = signal.getsignal(signal.SIGINT)
    with demo.undisturbed():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_the_bank_may_do_without_sidecars(monkeypatch: pytest.MonkeyPatch) -> None:
    evening = Evening(monkeypatch, record(ok=True))
    assert CliRunner().invoke(main, ["demo", "bank"]).exit_code == Exit.OK
    told = CliRunner().invoke(main, ["demo", "bank", "--mesh", "node"])
    assert "with one Envoy a node" in told.output
    assert evening.meshes == ["sidecar", "node"]
    assert CliRunner().invoke(main, ["demo", "bank", "--mesh", "none"]).exit_code == Exit.USAGE
