"""From the mesh policies that select one endpoint to what is in force there."""

from __future__ import annotations

from collections.abc import Iterable

from tsujiban.policy.definitions import AuthorizationForm, PeerAuthenticationForm, RequestAuthenticationForm
from tsujiban.policy.program import Authentication, AuthzAction, JwtRule, MtlsMode

_ACTIONS = list(AuthzAction)


def authorization_order(forms: Iterable[AuthorizationForm]) -> tuple[str, ...]:
    """Ids in the order in which they are taken: by action, then by id."""
    programs = sorted((_ACTIONS.index(form.program.action), form.program.id) for form in forms)
    return tuple(name for _, name in programs)


def effective_authentication(
    forms: Iterable[PeerAuthenticationForm], default: Authentication
) -> Authentication:
    """The narrowest PeerAuthentication wins: workload, namespace, mesh; of two of one scope the
    older. An unset mode is inherited (Istio's API reference, PeerAuthentication)."""
    mode, name = default.mode, default.id
    ports: dict[int, MtlsMode] = {}
    port_ids: dict[int, str] = {}
    for form in _narrowing(forms):
        if form.mode is not None:
            mode, name = form.mode, form.id
        for port, port_mode in form.ports.items():
            if port_mode is not None:
                ports[port], port_ids[port] = port_mode, form.id
    return Authentication(mode=mode, ports=ports, id=name, port_ids=port_ids)


def _narrowing(forms: Iterable[PeerAuthenticationForm]) -> list[PeerAuthenticationForm]:
    """The one that counts of each scope, widest first."""
    best: dict[int, PeerAuthenticationForm] = {}
    for form in sorted(forms, key=lambda form: form.age):
        best.setdefault(form.scope, form)
    return [best[scope] for scope in sorted(best)]


def token_rules(forms: Iterable[RequestAuthenticationForm]) -> tuple[JwtRule, ...]:
    """The rules of all RequestAuthentications together, in the order of their ids."""
    return tuple(rule for form in sorted(forms, key=lambda form: form.id) for rule in form.rules)
