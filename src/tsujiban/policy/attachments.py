"""Istio policies that are attached to a Service: its pods, kept current with the Service.

A `targetRef` names an object where a selector would name labels. In a mesh without waypoints the
place to judge what a Service is sent is the pods behind it, so the Service's own selector is put
where the policy's would be. A Service that is not there, or has no selector, has no pods.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from msgspec import structs

from tsujiban.policy import predicates
from tsujiban.policy.compile import Form
from tsujiban.policy.definitions import AuthorizationForm, RequestAuthenticationForm
from tsujiban.policy.population import Key
from tsujiban.resources import selectors
from tsujiban.resources.kinds import core
from tsujiban.resources.kinds.meta import Object
from tsujiban.resources.selector_nodes import And, Equals, Node, Or

Attached = AuthorizationForm | RequestAuthenticationForm


class Attachments:
    """Which policies are attached to which Services, and what those select."""

    def __init__(self) -> None:
        self._selected: dict[str, Node] = {}  # by service
        self._forms: dict[Key, Attached] = {}  # as they were compiled
        self._users: dict[str, set[Key]] = defaultdict(set)

    def resolved(self, key: Key, form: Form | None) -> Form | None:
        """A policy's form, selecting what its Services select; None forgets it."""
        old = self._forms.pop(key, None)
        for name in old.services if old is not None else ():
            self._users[name].discard(key)
        if not isinstance(form, Attached) or not form.services:
            return form
        self._forms[key] = form
        for name in form.services:
            self._users[name].add(key)
        return self._resolve(form)

    def change(self, name: str, service: Object | None) -> Iterator[tuple[Key, Attached]]:
        """Take in a changed Service: the policies attached to it, as they now are."""
        selected = _selected(service) if isinstance(service, core.Service) else None
        if selected == self._selected.get(name):
            return
        if selected is None:
            del self._selected[name]
        else:
            self._selected[name] = selected
        for key in sorted(self._users.get(name, ())):
            yield key, self._resolve(self._forms[key])

    def _resolve(self, form: Attached) -> Attached:
        found = (self._selected.get(name) for name in form.services)
        nodes = tuple(dict.fromkeys(node for node in (form.selector.node, *found) if node is not None))
        nodes = tuple(node for node in nodes if node != selectors.NOTHING.node) or (selectors.NOTHING.node,)
        return structs.replace(form, selector=selectors.of(nodes[0] if len(nodes) == 1 else Or(nodes)))


def _selected(service: core.Service) -> Node | None:
    if not service.spec.selector:
        return None
    namespace = Equals(predicates.NAMESPACE, service.metadata.namespace or "default")
    wanted = (Equals(key, value) for key, value in sorted(service.spec.selector.items()))
    return And((*wanted, namespace))
