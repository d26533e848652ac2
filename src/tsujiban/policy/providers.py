"""Who is asked for action CUSTOM: the providers that the mesh's configuration names.

They are declared where Istio has them: `extensionProviders` in the key `mesh` of the ConfigMap `istio` in the
root namespace. A provider that cannot be read, or is of another kind, is none: what its policies
match is denied then. Source: Istio's API reference, MeshConfig.ExtensionProvider.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tsujiban.policy.compile import Form
from tsujiban.policy.definitions import AuthorizationForm
from tsujiban.policy.population import Key
from tsujiban.policy.program import AuthzAction, ExternalAuthorizer
from tsujiban.resources.kinds import core
from tsujiban.resources.kinds.istio import ROOT_NAMESPACE
from tsujiban.resources.kinds.meta import Object, Shape
from tsujiban.resources.yaml_reader import documents

CONFIG_KEY: Key = ("ConfigMap", ROOT_NAMESPACE, "istio")
_MESH = "mesh"
_DURATION = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)(ms|s|m|h)")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'+.^_`|~-]+")
_VALUE = re.compile(r"[\x20-\x7e]*")
_PATH = re.compile(r"/[A-Za-z0-9/._~-]*")
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_SERVICE = re.compile(
    r"(?:([a-z0-9-]{1,63})/)?([a-z0-9-]{1,63})(?:\.([a-z0-9-]{1,63})(?:\.svc(?:\.[a-z0-9.-]{1,253})?)?)?"
)


class _Body(Shape, frozen=True):
    max_request_bytes: int = 0
    allow_partial_message: bool = False
    pack_as_bytes: bool = False


class _Grpc(Shape, frozen=True):
    service: str = ""
    port: int = 0
    timeout: str = "600s"
    fail_open: bool = False
    status_on_error: str | int = 403
    clear_route_cache: bool = False
    include_request_body_in_check: _Body = _Body()


class _Http(_Grpc, frozen=True):
    path_prefix: str = ""
    include_headers_in_check: tuple[str, ...] = ()
    include_request_headers_in_check: tuple[str, ...] = ()
    include_additional_headers_in_check: dict[str, str] = msgspec.field(default_factory=dict)
    headers_to_upstream_on_allow: tuple[str, ...] = ()
    headers_to_downstream_on_deny: tuple[str, ...] = ()
    headers_to_downstream_on_allow: tuple[str, ...] = ()


class _Provider(Shape, frozen=True):
    name: str = ""
    envoy_ext_authz_grpc: _Grpc | None = None
    envoy_ext_authz_http: _Http | None = None


class Providers:
    """The mesh's providers, and the policies that name one."""

    def __init__(self) -> None:
        self._known: Mapping[str, ExternalAuthorizer] = {}
        self._forms: dict[Key, AuthorizationForm] = {}  # as they were compiled

    def resolved(self, key: Key, form: Form | None) -> Form | None:
        """A policy's form, with its provider; None forgets it."""
        self._forms.pop(key, None)
        if not isinstance(form, AuthorizationForm) or form.program.action is not AuthzAction.CUSTOM:
            return form
        self._forms[key] = form
        return self._resolve(form)

    def change(self, config: Object | None) -> Iterator[tuple[Key, AuthorizationForm]]:
        """Take in the mesh's changed configuration: the policies that ask somebody, as they now are."""
        self._known = read(config.data.get(_MESH, "")) if isinstance(config, core.ConfigMap) else {}
        for key in sorted(self._forms):
            yield key, self._resolve(self._forms[key])

    def _resolve(self, form: AuthorizationForm) -> AuthorizationForm:
        program = msgspec.structs.replace(form.program, external=self._known.get(form.program.provider))
        return msgspec.structs.replace(form, program=program)


def read(text: str) -> dict[str, ExternalAuthorizer]:
    """The external authorizers that a mesh configuration names, by name."""
    problems: list[str] = []

    def problem(_code: str, message: str, _line: int, _column: int, _hint: str) -> None:
        problems.append(message)

    found = [one.value for one in documents(text.encode(), problem)]
    config = found[0] if len(found) == 1 and not problems else None
    listed = config.get("extensionProviders") if isinstance(config, dict) else None
    known: dict[str, ExternalAuthorizer] = {}
    for one in listed if isinstance(listed, list) else ():
        try:
            provider = msgspec.convert(one, _Provider)
            authorizer = _authorizer(provider)
        except (msgspec.ValidationError, ValueError):
            continue
        if authorizer is not None and provider.name and provider.name not in known:
            known[provider.name] = authorizer
    return known


def _authorizer(provider: _Provider) -> ExternalAuthorizer | None:
    kinds = [one for one in (provider.envoy_ext_authz_grpc, provider.envoy_ext_authz_http) if one]
    if len(kinds) != 1:
        return None
    given = kinds[0]
    if not 0 < given.port < 65536:
        raise ValueError(f"port {given.port} is none")
    common: dict[str, Any] = {
        "service": _service(given.service),
        "port": given.port,
        "timeout_ms": _milliseconds(given.timeout),
        "fail_open": given.fail_open,
        "status_on_error": _status(given.status_on_error),
        "body_bytes": max(given.include_request_body_in_check.max_request_bytes, 0),
        "partial_body": given.include_request_body_in_check.allow_partial_message,
        "body_as_bytes": given.include_request_body_in_check.pack_as_bytes,
        "clear_route_cache": given.clear_route_cache,
    }
    if not isinstance(given, _Http):
        return ExternalAuthorizer(**common)
    prefix = given.path_prefix
    if prefix and not _PATH.fullmatch(prefix):
        raise ValueError(f"{prefix!r} is no beginning of a path")
    for name, value in given.include_additional_headers_in_check.items():
        if not _HEADER.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError(f"{name!r} is no header")
    return ExternalAuthorizer(
        **common,
        grpc=False,
        path_prefix=prefix,
        request_headers=_lower((*given.include_headers_in_check, *given.include_request_headers_in_check)),
        added_headers=tuple(sorted(given.include_additional_headers_in_check.items())),
        headers_upstream=_lower(given.headers_to_upstream_on_allow),
        headers_on_deny=_lower(given.headers_to_downstream_on_deny),
        headers_on_allow=_lower(given.headers_to_downstream_on_allow),
    )


def _service(text: str) -> str:
    """`namespace/name` of `[namespace/]name.namespace.svc.DOMAIN`."""
    parts = _SERVICE.fullmatch(text)
    if parts is None or not (parts[1] or parts[3]):
        raise ValueError(f"{text!r} names no service of the cluster")
    return f"{parts[3] or parts[1]}/{parts[2]}"


def _milliseconds(text: str) -> int:
    parts = _DURATION.fullmatch(text)
    if parts is None:
        raise ValueError(f"{text!r} is no time")
    return max(int(float(parts[1]) * _UNITS[parts[2]]), 1)


def _status(given: str | int) -> int:
    number = int(given)
    if not 400 <= number <= 599:
        raise ValueError(f"{number} is no status of an error")
    return number


def _lower(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name != "*" and not _HEADER.fullmatch(name.removeprefix("*").removesuffix("*")):
            raise ValueError(f"{name!r} is no header")
    return tuple(sorted({name.lower() for name in names}))
