from __future__ import annotations

from tsujiban.controller.api.attributes import Attributes


def test_they_read_as_a_sentence() -> None:
    wanted = Attributes(verb="get", group="apps", resource="deployments", subresource="status", namespace="n")
    assert str(wanted) == 'get resource "deployments/status" in API group "apps" in the namespace "n"'
    assert wanted.title == "deployments.apps"
    assert str(Attributes(verb="list", resource="pods")) == (
        'list resource "pods" in API group "" at the cluster scope'
    )
    assert str(Attributes(verb="get", path="/x")) == 'get path "/x"'
