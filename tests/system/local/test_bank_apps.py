"""The bank's programs by themselves, without Tsujiban: real etcd, the system's own Python."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import HTTPError

import pytest
from tests.support.wait import PATIENCE

from tsujiban.local.demo import manifests
from tsujiban.local.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@contextmanager
def program(*argv: str, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    full = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **(env or {})}
    process = subprocess.Popen(argv, env=full, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def get(port: int, path: str) -> tuple[int, str, dict[str, str]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode(), dict(answer.headers)
    except HTTPError as error:
        with error:
            return error.code, error.read().decode(), dict(error.headers)


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int, int]]:
    """(customer, summary, a customer whose summary is gone)."""
    apps = manifests.folder() / "apps"
    data: Path = tmp_path_factory.mktemp("etcd")
    customer, summary, lonely = free_port(), free_port(), free_port()
    etcd, peers = free_port(), free_port()
    database = {"DATABASE_URL": f"http://127.0.0.1:{etcd}"}
    with ExitStack() as stack:
        stack.enter_context(
            program(
                "etcd",
                f"--data-dir={data}",
                f"--listen-client-urls=http://127.0.0.1:{etcd}",
                f"--advertise-client-urls=http://127.0.0.1:{etcd}",
                f"--listen-peer-urls=http://127.0.0.1:{peers}",
            )
        )
        stack.enter_context(program("/usr/bin/python3", str(apps / "teller.py"), env=database))
        for port, script, env in (
            (summary, "summary.py", database),
            (customer, "customer.py", {"SUMMARY_URL": f"http://127.0.0.1:{summary}"}),
            (lonely, "customer.py", {"SUMMARY_URL": f"http://127.0.0.1:{free_port()}"}),
        ):
            stack.enter_context(
                program("/usr/bin/python3", str(apps / script), env={**env, "PORT": str(port)})
            )
        assert until(lambda: answers(customer, "/"), PATIENCE), "the bank does not open"
        assert until(lambda: answers(lonely, "/healthz"), PATIENCE)
        yield customer, summary, lonely


def test_the_page_shows_the_account_and_needs_nothing_from_elsewhere(ports: tuple[int, int, int]) -> None:
    status, page, headers = get(ports[0], "/")
    assert status == 200
    assert "Aoi Tanaka" in page
    assert 'data-minor="1284756"' in page
    assert page.count("<tr>") == 15  # the head and 14 entries
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "<script" not in page
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_the_page_is_made_for_everyone(ports: tuple[int, int, int]) -> None:
    _, page, _ = get(ports[0], "/")
    for needed in ('lang="en"', "width=device-width", "<main", "<caption", 'scope="row"', "Skip to"):
        assert needed in page


def test_the_balance_is_the_sum_of_the_statement(ports: tuple[int, int, int]) -> None:
    _, account, _ = get(ports[1], "/accounts/1042")
    _, statement, _ = get(ports[1], "/accounts/1042/statement")
    entries = json.loads(statement)["entries"]
    assert sum(entry["amount"] for entry in entries) == json.loads(account)["balance"]
    assert [entry["date"] for entry in entries] == sorted((e["date"] for e in entries), reverse=True)


@pytest.mark.parametrize("path", ["/", "/accounts/9", "/accounts/1042/", "/accounts/../x", "/accounts/x"])
def test_what_is_not_there_is_404(ports: tuple[int, int, int], path: str) -> None:
    assert get(ports[1], path)[0] == 404


def test_a_page_that_does_not_exist_says_so(ports: tuple[int, int, int]) -> None:
    status, page, _ = get(ports[0], "/nothing")
    assert status == 404
    assert "There is no such page" in page


def test_without_summary_the_page_apologises_and_tells_no_secret(ports: tuple[int, int, int]) -> None:
    status, page, _ = get(ports[2], "/")
    assert status == 503
    assert "cannot be shown right now" in page
    assert "Reference" in page
    assert "127.0.0.1" not in page
    assert "refused" not in page


def test_the_api_says_when_the_database_is_gone() -> None:
    apps = manifests.folder() / "apps"
    port = free_port()
    env = {"DATABASE_URL": f"http://127.0.0.1:{free_port()}", "PORT": str(port)}
    with program("/usr/bin/python3", str(apps / "summary.py"), env=env):
        assert until(lambda: answers(port, "/healthz"), PATIENCE)
        status, body, _ = get(port, "/accounts/1042")
    assert status == 503
    assert set(json.loads(body)) == {"error", "reference"}
