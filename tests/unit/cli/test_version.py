from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from click.testing import CliRunner

import tsujiban
from tsujiban.cli.main import main


def test_both_sides(serve: Callable[..., Any]) -> None:
    serve("version", {("GET", "/version"): {"gitVersion": "v1.35.0+tsujiban-9"}})
    result = CliRunner().invoke(main, ["version", "-o", "json"])
    assert json.loads(result.output) == {"client": tsujiban.__version__, "server": "v1.35.0+tsujiban-9"}


def test_this_side_alone_asks_nobody(serve: Callable[..., Any]) -> None:
    server = serve("version", {})
    result = CliRunner().invoke(main, ["version", "--client"])
    assert (result.output, server.seen) == (f"client: {tsujiban.__version__}\n", [])
