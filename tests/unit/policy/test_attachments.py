from __future__ import annotations

from tests.support.manifests import objects

from tsujiban.policy.attachments import Attachments
from tsujiban.policy.definitions import AuthorizationForm
from tsujiban.policy.graph import PolicyGraph, key_of
from tsujiban.policy.program import AuthzAction, AuthzProgram
from tsujiban.resources import selectors
from tsujiban.resources.kinds.meta import Object

KEY = ("AuthorizationPolicy.security.istio.io", "x", "p")
FORM = AuthorizationForm(
    program=AuthzProgram(id="x/authz:p", action=AuthzAction.DENY),
    selector=selectors.NOTHING,
    services=("x/s",),
)
SERVICE = """
apiVersion: v1
kind: Service
metadata: {{name: s, namespace: x}}
spec: {{selector: {selector}, ports: [{{port: 80}}]}}
"""


def service(selector: str) -> Object:
    return objects(SERVICE.format(selector=selector))[0].object


def test_a_service_that_is_not_there_has_no_pods() -> None:
    found = Attachments().resolved(KEY, FORM)
    assert isinstance(found, AuthorizationForm)
    assert found.selector is selectors.NOTHING


def test_the_selector_follows_the_service() -> None:
    attached = Attachments()
    attached.resolved(KEY, FORM)
    labels = {"app": "a", "projectcalico.org/namespace": "x"}
    ((key, found),) = attached.change("x/s", service("{app: a}"))
    assert key == KEY
    assert found.selector.matches(labels)
    assert not found.selector.matches({**labels, "projectcalico.org/namespace": "y"})
    assert list(attached.change("x/s", service("{app: a}"))) == []
    ((_, found),) = attached.change("x/s", None)
    assert not found.selector.matches(labels)


def test_a_policy_that_went_is_not_told_of() -> None:
    attached = Attachments()
    attached.resolved(KEY, FORM)
    attached.resolved(KEY, None)
    assert list(attached.change("x/s", service("{app: a}"))) == []


PARTS = """
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: x, labels: {app: a}, uid: u}
spec: {nodeName: n, containers: [{name: c, image: i}]}
status: {phase: Running, podIP: 10.0.0.1}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: p, namespace: x}
spec: {targetRefs: [{kind: Service, name: s}], jwtRules: [{issuer: i}]}
"""


def test_any_order_of_changes_ends_in_the_same_programs() -> None:
    found = [*objects(PARTS), *objects(SERVICE.format(selector="{app: a}"))]
    ends = []
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)):
        graph = PolicyGraph()
        for at in order:
            graph.apply([(key_of(found[at].object), found[at])])
        ends.append(graph.endpoints["x/a"].jwt)
    assert ends[0]
    assert all(end == ends[0] for end in ends)
    graph.apply([(key_of(found[2].object), None)])
    assert graph.endpoints["x/a"].jwt == ()
