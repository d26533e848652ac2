"""Acting as somebody else: `Impersonate-*` headers, each guarded by the verb `impersonate`.

Source: Kubernetes documentation, "Authenticating", "User impersonation".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import unquote

from starlette.requests import HTTPConnection

from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.errors import bad_request
from tsujiban.controller.api.users import (
    ACCOUNT_PREFIX,
    ACCOUNTS,
    ANONYMOUS,
    AUTHENTICATED,
    UNAUTHENTICATED,
    User,
)
from tsujiban.resources.validate.names import is_label, is_subdomain

USER, GROUP, UID, EXTRA = (
    "impersonate-user",
    "impersonate-group",
    "impersonate-uid",
    "impersonate-extra-",
)
MAX_HEADERS = 128
_AUTHENTICATION = "authentication.k8s.io"

Require = Callable[[User, Attributes], Awaitable[None]]  # raises 403


async def impersonated(request: HTTPConnection, user: User, require: Require) -> User | None:
    """Who `user` wants to be; None when nobody else.

    Raises:
        ApiError: 403 for any part that `user` may not claim; 400 for headers that make no sense.
    """
    names = request.headers.getlist(USER)
    groups = request.headers.getlist(GROUP)
    uids = request.headers.getlist(UID)
    extra = [
        (unquote(key[len(EXTRA) :]).lower(), value)
        for key, value in request.headers.items()
        if key.startswith(EXTRA)
    ]
    if not (names or groups or uids or extra):
        return None
    if len(names) != 1 or not names[0] or len(uids) > 1:
        raise bad_request("impersonation needs one Impersonate-User header, whatever else is impersonated")
    if len(groups) + len(extra) > MAX_HEADERS:
        raise bad_request(f"more than {MAX_HEADERS} Impersonate-* headers")
    name = names[0]
    account = _account(name)
    if account is None:
        await require(user, Attributes(verb="impersonate", resource="users", name=name))
    else:
        namespace, short = account
        wanted = Attributes(verb="impersonate", resource="serviceaccounts", namespace=namespace, name=short)
        await require(user, wanted)
    for group in groups:
        await require(user, Attributes(verb="impersonate", resource="groups", name=group))
    for key, value in extra:
        wanted = Attributes(
            verb="impersonate", group=_AUTHENTICATION, resource="userextras", subresource=key, name=value
        )
        await require(user, wanted)
    for uid in uids:
        wanted = Attributes(verb="impersonate", group=_AUTHENTICATION, resource="uids", name=uid)
        await require(user, wanted)
    return User(name, _groups(name, groups, account), uids[0] if uids else "", _collected(extra))


def _account(name: str) -> tuple[str, str] | None:
    """Namespace and name of the service account that a user name is; None for others."""
    if not name.startswith(ACCOUNT_PREFIX):
        return None
    namespace, _, short = name.removeprefix(ACCOUNT_PREFIX).partition(":")
    if not is_label(namespace) or not is_subdomain(short):
        raise bad_request(f"{name[:200]!r} is not the name of a service account")
    return namespace, short


def _groups(name: str, asked: list[str], account: tuple[str, str] | None) -> tuple[str, ...]:
    groups = list(asked)
    if account is not None and not groups:
        groups = [ACCOUNTS, f"{ACCOUNTS}:{account[0]}"]
    if name == ANONYMOUS:
        groups += [UNAUTHENTICATED] if UNAUTHENTICATED not in groups else []
    elif AUTHENTICATED not in groups and UNAUTHENTICATED not in groups:
        groups.append(AUTHENTICATED)
    return tuple(groups)


def _collected(extra: list[tuple[str, str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found: dict[str, list[str]] = {}
    for key, value in extra:
        found.setdefault(key, []).append(value)
    return tuple((key, tuple(values)) for key, values in found.items())
