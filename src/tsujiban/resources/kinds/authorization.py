"""authorization.k8s.io/v1 and authentication.k8s.io/v1: questions about rights and identities.

They are created, answered and not kept (Kubernetes API reference, "Authorization Resources",
"Authentication Resources").
"""

from __future__ import annotations

from typing import Any

import msgspec

from tsujiban.resources.kinds.meta import Object, Shape


class FieldSelectorAttributes(Shape, frozen=True):
    """The field selector of a list that is asked about; `requirements` are as of a label selector."""

    raw_selector: str = ""
    requirements: tuple[dict[str, Any], ...] = ()


class ResourceAttributes(Shape, frozen=True):
    """A request for a resource."""

    namespace: str = ""
    verb: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    field_selector: FieldSelectorAttributes | None = None
    label_selector: FieldSelectorAttributes | None = None


class NonResourceAttributes(Shape, frozen=True):
    """A request for a plain path."""

    path: str = ""
    verb: str = ""


class AccessReviewSpec(Shape, frozen=True):
    """May `user`, as a member of `groups`, do one of the two?"""

    resource_attributes: ResourceAttributes | None = None
    non_resource_attributes: NonResourceAttributes | None = None
    user: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    uid: str = ""


class SubjectAccessReview(Object, frozen=True):
    """May somebody do it?"""

    spec: AccessReviewSpec = AccessReviewSpec()
    status: Any = None


class LocalSubjectAccessReview(Object, frozen=True):
    """May somebody do it in this namespace?"""

    spec: AccessReviewSpec = AccessReviewSpec()
    status: Any = None


class SelfAccessReviewSpec(Shape, frozen=True):
    """May I do one of the two?"""

    resource_attributes: ResourceAttributes | None = None
    non_resource_attributes: NonResourceAttributes | None = None


class SelfSubjectAccessReview(Object, frozen=True):
    """May I do it?"""

    spec: SelfAccessReviewSpec = SelfAccessReviewSpec()
    status: Any = None


class RulesReviewSpec(Shape, frozen=True):
    """In which namespace."""

    namespace: str = ""


class SelfSubjectRulesReview(Object, frozen=True):
    """What may I do?"""

    spec: RulesReviewSpec = RulesReviewSpec()
    status: Any = None


class SelfSubjectReview(Object, frozen=True):
    """Who am I?"""

    status: Any = None


class TokenReviewSpec(Shape, frozen=True):
    """A bearer token, and for whom it must be meant (nothing: for the API)."""

    token: str = ""
    audiences: tuple[str, ...] = ()


class TokenReview(Object, frozen=True):
    """Whose token is this?"""

    spec: TokenReviewSpec = TokenReviewSpec()
    status: Any = None


class BoundObjectReference(Shape, frozen=True):
    """The Pod, Secret or Node with whose end the token ends."""

    kind: str = ""
    api_version: str = ""
    name: str = ""
    uid: str = ""


class TokenRequestSpec(Shape, frozen=True):
    """For whom, for how long, bound to what."""

    audiences: tuple[str, ...] = ()
    expiration_seconds: int | None = None
    bound_object_ref: BoundObjectReference | None = None


class TokenRequest(Object, frozen=True):
    """A token for a service account, at `serviceaccounts/NAME/token`."""

    spec: TokenRequestSpec = TokenRequestSpec()
    status: Any = None
