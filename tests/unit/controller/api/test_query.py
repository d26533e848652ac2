from __future__ import annotations

import pytest
from starlette.datastructures import QueryParams

from tsujiban.controller.api import query
from tsujiban.controller.api.errors import ApiError
from tsujiban.store.protocol import Key


def test_flags() -> None:
    assert query.flag({"watch": "1"}, "watch")
    assert query.flag({"watch": "True"}, "watch")
    assert not query.flag({"watch": "0"}, "watch")
    assert not query.flag({}, "watch")
    with pytest.raises(ApiError):
        query.flag({"watch": "yes please"}, "watch")


@pytest.mark.parametrize("text", ["-1", "1.0", "x", "1" * 11, "\u0661"])
def test_numbers_are_strict(text: str) -> None:
    with pytest.raises(ApiError):
        query.number({"limit": text}, "limit")
    assert query.number({}, "limit") is None
    assert query.number({"limit": "7"}, "limit") == 7


def test_dry_run() -> None:
    assert query.dry_run(QueryParams("dryRun=All"))
    assert not query.dry_run(QueryParams(""))
    for text in ("dryRun=all", "dryRun=", "dryRun=All&dryRun=None"):
        with pytest.raises(ApiError):
            query.dry_run(QueryParams(text))


def test_since() -> None:
    assert query.since({}) is None
    assert query.since({"resourceVersion": "0"}) is None
    assert query.since({"resourceVersion": "12"}) == 12


def test_continue_tokens() -> None:
    token = query.token(7, Key("", "pods", "n", "a"))
    assert query.continuation({"continue": token}) == query.Page(7, "n", "a")
    assert query.continuation({}) is None
    for broken in ("x", "00", token[:-2], b'{"revision":"x"}'.hex()):
        with pytest.raises(ApiError) as refused:
            query.continuation({"continue": broken})
        assert refused.value.code == 410
