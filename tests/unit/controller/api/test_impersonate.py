"""Acting as somebody else, with and without the right to."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.support.apibed import ApiBed

pytestmark = pytest.mark.anyio

SECRETS = "/api/v1/namespaces/default/secrets"


async def acting(client: httpx.AsyncClient, *headers: tuple[str, str], path: str = SECRETS) -> httpx.Response:
    return await client.get(path, headers=list(headers))


def may(resource: str, *names: str, group: str = "") -> dict[str, Any]:
    rule: dict[str, Any] = {"apiGroups": [group], "resources": [resource], "verbs": ["impersonate"]}
    return {**rule, "resourceNames": list(names)} if names else rule


async def test_an_administrator_becomes_a_smaller_one(bed: ApiBed, admin: httpx.AsyncClient) -> None:
    await bed.grant("ann", role="view", namespace="default")
    assert (await acting(admin, ("Impersonate-User", "ann"))).status_code == 403
    pods = "/api/v1/namespaces/default/pods"
    assert (await acting(admin, ("Impersonate-User", "ann"), path=pods)).status_code == 200
    assert (await acting(admin, ("Impersonate-User", "zoe"), path=pods)).status_code == 403
    told = bed.audit[-1]
    assert told["user"]["username"] == "admin"
    assert told["impersonatedUser"] == {"username": "zoe", "groups": ["system:authenticated"]}


@pytest.mark.parametrize(
    "headers",
    [
        [("Impersonate-User", "admin")],
        [("Impersonate-User", "admin"), ("Impersonate-Group", "system:masters")],
        [("impersonate-user", "system:serviceaccount:kube-system:default")],
        [("IMPERSONATE-USER", "eve")],  # not even herself
        [("Impersonate-User", "system:node:n1"), ("Impersonate-Group", "system:nodes")],
        [("Impersonate-User", "system:anonymous")],
    ],
)
async def test_nobody_acts_as_others_without_the_right(bed: ApiBed, headers: list[tuple[str, str]]) -> None:
    async with bed.client(bed.user("eve", "guests")) as eve:
        answer = await acting(eve, *headers, path="/version")
        assert answer.status_code == 403
        assert 'User "eve" cannot impersonate resource' in answer.json()["message"]


@pytest.mark.parametrize(
    "headers",
    [
        [("Impersonate-Group", "system:masters")],
        [("Impersonate-Uid", "1")],
        [("Impersonate-Extra-x", "1")],
        [("Impersonate-User", "")],
        [("Impersonate-User", "ann"), ("Impersonate-User", "bob")],
        [("Impersonate-User", "ann"), ("Impersonate-Uid", "1"), ("Impersonate-Uid", "2")],
        [("Impersonate-User", "system:serviceaccount:x")],
        [("Impersonate-User", "system:serviceaccount:a/b:c")],
        [("Impersonate-User", "ann"), *[("Impersonate-Group", str(n)) for n in range(129)]],
    ],
)
async def test_headers_that_make_no_sense(admin: httpx.AsyncClient, headers: list[tuple[str, str]]) -> None:
    assert (await acting(admin, *headers)).status_code == 400


async def test_each_part_needs_its_own_right(bed: ApiBed) -> None:
    """Help desk may act as anybody, but brings along no group, and so does not become an administrator."""
    await bed.grant("desk", may("users"))
    async with bed.client(bed.user("desk", "staff")) as desk:
        assert (await acting(desk, ("Impersonate-User", "ann"), path="/version")).status_code == 200
        for header in (
            ("Impersonate-Group", "system:masters"),
            ("Impersonate-Uid", "1"),
            ("Impersonate-Extra-scopes", "x"),
        ):
            answer = await acting(desk, ("Impersonate-User", "ann"), header, path="/version")
            assert answer.status_code == 403, header
        account = ("Impersonate-User", "system:serviceaccount:default:web")
        assert (await acting(desk, account, path="/version")).status_code == 403
    await bed.grant(
        "desk", may("groups", "dev"), may("userextras/scopes", "x", group="authentication.k8s.io")
    )
    await bed.grant("desk", may("uids", "1", group="authentication.k8s.io"), may("serviceaccounts", "web"))
    async with bed.client(bed.user("desk", "staff")) as desk:
        good = [
            ("Impersonate-User", "ann"),
            ("Impersonate-Group", "dev"),
            ("Impersonate-Extra-Scopes", "x"),
            ("Impersonate-Uid", "1"),
        ]
        assert (await acting(desk, *good, path="/version")).status_code == 200
        assert bed.audit[-1]["impersonatedUser"] == {
            "username": "ann",
            "groups": ["dev", "system:authenticated"],
            "uid": "1",
            "extra": {"scopes": ["x"]},
        }
        masters = ("Impersonate-Group", "system:masters")
        assert (await acting(desk, good[0], masters, path="/version")).status_code == 403
        assert (await acting(desk, account, path="/version")).status_code == 200
        assert bed.audit[-1]["impersonatedUser"]["groups"] == [
            "system:serviceaccounts",
            "system:serviceaccounts:default",
            "system:authenticated",
        ]


async def test_nobody_in_particular(admin: httpx.AsyncClient) -> None:
    anonymous = ("Impersonate-User", "system:anonymous")
    assert (await acting(admin, anonymous, path="/version")).status_code == 200
    assert (await acting(admin, anonymous, path="/api")).status_code == 403
