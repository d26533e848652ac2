from __future__ import annotations

from typing import Any

import httpx
import pytest

from tsujiban.controller.api import validation
from tsujiban.resources import schema
from tsujiban.resources.registry import kind_for

pytestmark = pytest.mark.anyio

MAPS = "/api/v1/namespaces/default/configmaps"
POLICIES = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies"
WRONG: dict[str, Any] = {"metadata": {"name": "a"}, "data": {"k": "v"}, "dta": {}, "metdata": {"x": 1}}


async def test_strict_refuses_as_kubernetes_does(admin: httpx.AsyncClient) -> None:
    answer = await admin.post(MAPS, json=WRONG, params={"fieldValidation": "Strict"})
    assert answer.status_code == 400
    assert 'strict decoding error: unknown field "dta"' in answer.json()["message"]
    assert (await admin.get(f"{MAPS}/a")).status_code == 404


@pytest.mark.parametrize(("mode", "warnings"), [("Warn", 2), ("Ignore", 0), (None, 2)])
async def test_otherwise_they_are_dropped(admin: httpx.AsyncClient, mode: str | None, warnings: int) -> None:
    answer = await admin.post(MAPS, json=WRONG, params={"fieldValidation": mode} if mode else {})
    assert answer.status_code == 201
    assert answer.json()["data"] == {"k": "v"}
    assert "dta" not in answer.json()
    told = answer.headers.get_list("warning")
    assert len(told) == warnings
    assert all(text.startswith('299 - "unknown field ') for text in told)


async def test_nothing_is_dropped_from_a_policy_by_default(admin: httpx.AsyncClient) -> None:
    policy = {"metadata": {"name": "p"}, "spec": {"podSelectr": {"matchLabels": {"a": "b"}}}}
    assert (await admin.post(POLICIES, json=policy)).status_code == 422
    assert (
        await admin.post(POLICIES, json=policy, params={"fieldValidation": "Nonsense"})
    ).status_code == 422
    assert (await admin.post(POLICIES, json=policy, params={"fieldValidation": "Warn"})).status_code == 201


def test_a_header_holds_one_line_only() -> None:
    assert validation.header('a "b"\r\nX: y') == '299 - "a \\"b\\"  X: y"'


async def test_a_warning_in_any_script(admin: httpx.AsyncClient) -> None:
    """The object was stored, and its writer told of an internal error: headers are bytes, not text."""
    answer = await admin.post(MAPS, json={"metadata": {"name": "a"}, "日本": 1})
    assert answer.status_code == 201
    (told,) = [value for name, value in answer.headers.raw if name == b"warning"]
    assert "日本" in told.decode()


def test_which_kinds_are_built_in() -> None:
    assert schema.built_in(kind_for("v1", "Pod"))
    assert not schema.built_in(kind_for("projectcalico.org/v3", "NetworkPolicy"))
