"""Questions about rights: SubjectAccessReview and its kin, as `kubectl auth can-i` and `whoami` ask them.

The same authorizer answers that decides about requests, so that an answer is never a guess.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from starlette.responses import Response

from tsujiban.controller.api import bodies
from tsujiban.controller.api.access import Access
from tsujiban.controller.api.attributes import Attributes
from tsujiban.controller.api.authorize import Authorizer
from tsujiban.controller.api.dispatch import Call, Virtual
from tsujiban.controller.api.documents import without_nulls
from tsujiban.controller.api.errors import bad_request, invalid
from tsujiban.controller.api.responses import json_response
from tsujiban.controller.api.selection import demanded
from tsujiban.controller.api.users import MASTERS, User
from tsujiban.resources.findings import Finding
from tsujiban.resources.kinds.authorization import (
    AccessReviewSpec,
    LocalSubjectAccessReview,
    ResourceAttributes,
    SelfAccessReviewSpec,
    SelfSubjectAccessReview,
    SelfSubjectReview,
    SelfSubjectRulesReview,
    SubjectAccessReview,
)
from tsujiban.resources.kinds.meta import Object
from tsujiban.resources.registry import Kind

Json = dict[str, Any]
T = TypeVar("T", bound=Object)

AUTHORIZATION, AUTHENTICATION = "authorization.k8s.io", "authentication.k8s.io"


def kind(group: str, name: str, *, namespaced: bool = False) -> Kind:
    """A virtual kind of the module `authorization`."""
    return Kind("authorization", name, f"{name.lower()}s", (f"{group}/v1",), namespaced=namespaced)


async def read(call: Call, type_: type[T]) -> T:
    """The body of a request as an object of a virtual kind.

    Raises:
        ApiError: 400, it is none.
    """
    body = without_nulls(await bodies.read_object(call.request, type_))
    expected = call.target.kind.kind if not call.target.subresource else type_.__name__
    if not isinstance(body, dict) or body.get("kind", expected) != expected:
        raise bad_request(f"the body is not a {expected}")
    try:
        return msgspec.convert(body, type_)
    except msgspec.ValidationError as error:
        raise bad_request(f"{expected}: {error}") from None


def answer(call: Call, asked: Object, status: Any, *, spec: bool = True) -> Response:
    """What was asked, with its status."""
    group_version = f"{AUTHENTICATION}/v1" if call.target.subresource else call.target.api_version
    found: Json = {
        "kind": type(asked).__name__,
        "apiVersion": group_version,
        "metadata": msgspec.to_builtins(asked.metadata),
    }
    if spec:
        found["spec"] = msgspec.to_builtins(getattr(asked, "spec", None))
    return json_response({**found, "status": status}, 201)


def entries(access: Access) -> list[Virtual]:
    """What to register in the table."""
    reviews = Reviews(access)
    return [
        Virtual(kind=kind(AUTHORIZATION, "SubjectAccessReview"), handler=reviews.subject),
        Virtual(kind=kind(AUTHORIZATION, "LocalSubjectAccessReview", namespaced=True), handler=reviews.local),
        Virtual(kind=kind(AUTHORIZATION, "SelfSubjectAccessReview"), handler=reviews.own),
        Virtual(kind=kind(AUTHORIZATION, "SelfSubjectRulesReview"), handler=reviews.rules),
        Virtual(kind=kind(AUTHENTICATION, "SelfSubjectReview"), handler=reviews.who),
    ]


class Reviews:
    """The answers."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def subject(self, call: Call) -> Response:
        """POST of a SubjectAccessReview."""
        asked = await read(call, SubjectAccessReview)
        user = _subject(asked.spec, asked.kind or "SubjectAccessReview")
        return answer(call, asked, await decided(self._access, user, _wanted(asked.spec)))

    async def local(self, call: Call) -> Response:
        """POST of a LocalSubjectAccessReview."""
        asked = await read(call, LocalSubjectAccessReview)
        name = "LocalSubjectAccessReview"
        user = _subject(asked.spec, name)
        about = asked.spec.resource_attributes
        if about is None or about.namespace != call.target.namespace:
            message = f"must be the namespace of the request, {call.target.namespace!r}"
            raise _invalid(name, "spec.resourceAttributes.namespace", message)
        return answer(call, asked, await decided(self._access, user, _wanted(asked.spec)))

    async def own(self, call: Call) -> Response:
        """POST of a SelfSubjectAccessReview."""
        asked = await read(call, SelfSubjectAccessReview)
        return answer(call, asked, await decided(self._access, call.user, _wanted(asked.spec)))

    async def rules(self, call: Call) -> Response:
        """POST of a SelfSubjectRulesReview: what RBAC gives; of a node it is not all."""
        asked = await read(call, SelfSubjectRulesReview)
        if not asked.spec.namespace:
            raise bad_request("no namespace on request")
        await self._access.loaded()
        resources: list[Json] = []
        paths: list[Json] = []
        if MASTERS in call.user.groups:
            resources.append({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})
            paths.append({"verbs": ["*"], "nonResourceURLs": ["*"]})
        for rule in self._access.grants.rules(call.user, asked.spec.namespace):
            found = msgspec.to_builtins(rule)
            listed = paths if rule.non_resource_urls else resources
            if found not in listed:
                listed.append(found)
        status: Json = {
            "resourceRules": resources,
            "nonResourceRules": paths,
            "incomplete": bool(call.user.node),
        }
        if call.user.node:
            status["evaluationError"] = "node authorizer does not support user rule resolution"
        return answer(call, asked, status)

    async def who(self, call: Call) -> Response:
        """POST of a SelfSubjectReview."""
        asked = await read(call, SelfSubjectReview)
        return answer(call, asked, {"userInfo": user_info(call.user)}, spec=False)


def user_info(user: User) -> Json:
    """A user as authentication.k8s.io shows it."""
    found: Json = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        found["uid"] = user.uid
    if user.extra:
        found["extra"] = {key: list(values) for key, values in user.extra}
    return found


async def decided(authorizer: Authorizer, user: User, wanted: Attributes) -> Json:
    """The status of an access review."""
    decision = await authorizer.decide(user, wanted)
    status: Json = {"allowed": decision.allowed}
    return {**status, "reason": decision.reason} if decision.reason else status


def _subject(spec: AccessReviewSpec, title: str) -> User:
    if not spec.user and not spec.groups:
        raise _invalid(title, "spec.user", "at least one of user or group must be specified")
    return User(spec.user, spec.groups, spec.uid, tuple(spec.extra.items()))


def _wanted(spec: AccessReviewSpec | SelfAccessReviewSpec) -> Attributes:
    about, path = spec.resource_attributes, spec.non_resource_attributes
    if (about is None) == (path is None):
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        raise _invalid("SubjectAccessReview", "spec.resourceAttributes", text)
    if path is not None:
        return Attributes(verb=path.verb, path=path.path or "/")
    if about is None:
        raise TypeError("one of the two is given")
    return Attributes(
        verb=about.verb,
        group=about.group,
        version=about.version,
        resource=about.resource,
        subresource=about.subresource,
        namespace=about.namespace,
        name=about.name,
        node=_node(about),
    )


def _node(about: ResourceAttributes) -> str:
    """The node that the field selector asked about demands."""
    selector = about.field_selector
    if selector is None:
        return ""
    for requirement in selector.requirements:
        values = requirement.get("values") or []
        if (requirement.get("key"), requirement.get("operator")) == ("spec.nodeName", "In"):
            return str(values[0]) if len(values) == 1 else ""
    return demanded(selector.raw_selector, "spec.nodeName")


def _invalid(kind_name: str, field: str, message: str) -> Exception:
    finding = Finding(code="invalid", message=message, field=field)
    return invalid(kind_name, AUTHORIZATION, "", [finding])
