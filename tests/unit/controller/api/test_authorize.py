from __future__ import annotations

import pytest

from tsujiban.controller.api.authorize import Attributes, BuiltIn
from tsujiban.controller.api.users import User

pytestmark = pytest.mark.anyio

ADMIN = User("root", ("system:masters",))
NODE = User("system:node:n1", ("system:nodes",))
GUEST = User("eve", ("guests",))
LIAR = User("system:node:n1", ("guests",))


@pytest.mark.parametrize(
    ("user", "wanted", "allowed"),
    [
        (ADMIN, Attributes(verb="delete", resource="secrets", namespace="n", name="x"), True),
        (ADMIN, Attributes(verb="apply", path="/tsujiban/v1/apply"), True),
        (NODE, Attributes(verb="get", resource="nodes", name="n1"), True),
        (NODE, Attributes(verb="get", resource="nodes", name="n2"), False),
        (NODE, Attributes(verb="list", resource="nodes"), False),
        (NODE, Attributes(verb="get", resource="nodes", subresource="status", name="n1"), False),
        (NODE, Attributes(verb="update", resource="nodes", name="n1"), False),
        (NODE, Attributes(verb="get", group="other", resource="nodes", name="n1"), False),
        (LIAR, Attributes(verb="get", resource="nodes", name="n1"), False),
        (GUEST, Attributes(verb="get", resource="pods", namespace="n", name="x"), False),
        (GUEST, Attributes(verb="get", path="/apis/apps/v1"), True),
        (GUEST, Attributes(verb="get", path="/version"), True),
        (GUEST, Attributes(verb="post", path="/version"), False),
        (GUEST, Attributes(verb="get", path="/tsujiban/v1/flows"), False),
        (User("", ()), Attributes(verb="get", resource="nodes", name=""), False),
    ],
)
async def test_built_in(user: User, wanted: Attributes, allowed: bool) -> None:
    assert await BuiltIn().allowed(user, wanted) is allowed


def test_attributes_read_as_a_sentence() -> None:
    wanted = Attributes(verb="get", group="apps", resource="deployments", subresource="status", namespace="n")
    assert str(wanted) == "get resource 'deployments.apps/status' in namespace 'n'"
