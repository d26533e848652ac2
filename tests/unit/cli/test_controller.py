"""A token for another controller goes into a private file, and over nothing that others can see."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from click.testing import CliRunner

from tsujiban.cli.errors import Exit
from tsujiban.cli.main import main
from tsujiban.controller import enrol as module
from tsujiban.controller.config import ControllerConfig
from tsujiban.controller.enrolment import TOKENS_PATH, Ticket
from tsujiban.identity.files import write_private
from tsujiban.wire.pinned import ControllerUnreachable, JoinError

SECRET = "0123456789abcdef." + "a" * 64
MADE = {"token": SECRET, "ca_sha256": "d" * 64, "expires": 1e9}
TICKET = Ticket(server="https://one:6443", controller_token=SECRET, ca_sha256="d" * 64, expires=1e9)


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["controller", *words])
    return result.exit_code, result.output


def test_a_token_is_written_for_its_owner_alone(serve: Callable[..., Any], tmp_path: Path) -> None:
    server = serve("controller", {("POST", TOKENS_PATH): MADE})
    path = tmp_path / "token.json"
    code, output = run("token", "-o", str(path), "--server", "https://one:6443", "--expires", "1h")
    assert code == 0
    assert SECRET.partition(".")[2] not in output
    assert json.loads(server.seen[-1].content) == {"seconds": 3600}
    assert msgspec.json.decode(path.read_bytes(), type=Ticket) == TICKET
    assert path.stat().st_mode & 0o777 == 0o600
    run("token", "-o", str(path))
    assert msgspec.json.decode(path.read_bytes(), type=Ticket).server == "https://127.0.0.1:1"


def test_tokens_are_withdrawn_or_made_and_not_both(serve: Callable[..., Any], tmp_path: Path) -> None:
    serve("controller", {("DELETE", TOKENS_PATH): {"withdrawn": 3}})
    assert run("token", "--withdraw-all") == (0, "3 tokens withdrawn\n")
    assert run("token")[0] == run("token", "--withdraw-all", "-o", str(tmp_path / "x"))[0] == Exit.USAGE


def test_what_the_server_refuses_is_told(serve: Callable[..., Any], tmp_path: Path) -> None:
    refusal = httpx.Response(403, json={"message": 'User "eve" cannot enrol'})
    serve("controller", {("POST", TOKENS_PATH): refusal})
    code, output = run("token", "-o", str(tmp_path / "token.json"))
    assert (code, 'User "eve" cannot enrol' in output) == (Exit.REFUSED, True)
    assert list(tmp_path.iterdir()) == []
    code, _ = run("token", "-o", str(tmp_path / "token.json"), "--server", "http://one")
    assert code == Exit.USAGE


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token.json"
    write_private(path, msgspec.json.encode(TICKET))
    return path


def test_a_machine_joins_as_it_is_told_and_the_file_is_spent(
    token_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    async def enrol(*wanted: Any) -> ControllerConfig:
        asked.extend(wanted)
        return ControllerConfig(cluster="bank", state_dir=str(wanted[1]))

    monkeypatch.setattr(module, "enrol", enrol)
    state = tmp_path / "state"
    code, output = run(
        "join", "--token-file", str(token_file), "--state-dir", str(state), "--server", "https://two:6443",
        "--api-name", "10.0.0.2", "--node-endpoint", "10.0.0.2:7443", "--etcd-certfile", str(token_file),
        "--etcd-servers", "https://a:2379, https://b:2379",
    )  # fmt: skip
    assert code == 0
    assert f"--config {state}/config.json" in output
    assert asked == [
        msgspec.structs.replace(TICKET, server="https://two:6443"),
        state,
        {"node_endpoints": ["10.0.0.2:7443"], "api_names": ["10.0.0.2"]},
        {"cert_file": str(token_file), "endpoints": ["https://a:2379", "https://b:2379"]},
    ]
    assert not token_file.exists()


def test_an_address_for_nodes_that_is_none_costs_no_token(token_file: Path, tmp_path: Path) -> None:
    words = ("join", "--token-file", str(token_file), "--state-dir", str(tmp_path / "s"), "--node-endpoint")
    for text in ("10.0.0.2", "localhost:7443", "127.0.0.1:7443"):
        code, output = run(*words, text)
        assert (code, text in output) == (Exit.USAGE, True)
    assert token_file.exists()


@pytest.mark.parametrize(
    ("error", "code"),
    [(JoinError("it is another cluster"), Exit.REFUSED), (ControllerUnreachable("no way"), Exit.UNREACHABLE)],
)
def test_a_machine_that_cannot_join_keeps_the_file(
    token_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: Exit
) -> None:
    async def enrol(*_wanted: Any) -> ControllerConfig:
        raise error

    monkeypatch.setattr(module, "enrol", enrol)
    found, output = run("join", "--token-file", str(token_file), "--state-dir", str(tmp_path / "state"))
    assert (found, str(error) in output, SECRET in output) == (code, True, False)
    assert token_file.exists()


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    path = tmp_path / "token.json"
    path.write_text(SECRET)
    path.chmod(0o644)
    code, output = run("join", "--token-file", str(path), "--state-dir", str(tmp_path / "state"))
    assert (code, "can be used by others" in output, SECRET in output) == (Exit.REFUSED, True, False)
