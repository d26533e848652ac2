from __future__ import annotations

from typing import Any

import pytest

from tsujiban.controller import podrefs

TOKENS: list[Any] = [{"serviceAccountToken": {"audience": "vault"}}, {"serviceAccountToken": {"path": "x"}}]
SPEC: dict[str, Any] = {
    "serviceAccountName": "web",
    "imagePullSecrets": [{"name": "pull"}],
    "containers": [
        {
            "env": [{"valueFrom": {"secretKeyRef": {"name": "one"}}}, {"value": "x"}],
            "envFrom": [{"configMapRef": {"name": "from"}}],
        }
    ],
    "initContainers": [{"env": [{"valueFrom": {"configMapKeyRef": {"name": "two"}}}]}],
    "volumes": [
        {"secret": {"secretName": "mounted"}},
        {"configMap": {"name": "config"}},
        {"projected": {"sources": [{"secret": {"name": "in"}}, {"configMap": {"name": "more"}}, *TOKENS]}},
        {"emptyDir": {}},
    ],
}


def test_all_that_is_named() -> None:
    assert set(podrefs.references(SPEC)) == {
        *(("secrets", name) for name in ("pull", "one", "mounted", "in")),
        *(("configmaps", name) for name in ("from", "two", "config", "more")),
    }
    assert set(podrefs.references(SPEC)) - set(podrefs.told(SPEC)) == {("secrets", "pull")}
    assert podrefs.audiences(SPEC) == {"vault", ""}
    assert podrefs.account(SPEC) == "web"
    assert podrefs.account({}) == "default"


@pytest.mark.parametrize("odd", ["x", 1, [], {}, ["x"], [1], {"a": 1}, [["x"]], [None], True])
@pytest.mark.parametrize(
    "spec",
    [
        lambda odd: {"volumes": odd},
        lambda odd: {"imagePullSecrets": odd},
        lambda odd: {"containers": odd},
        lambda odd: {"serviceAccountName": odd if odd != "x" else ""},
        lambda odd: {"volumes": [{"secret": odd, "configMap": odd, "projected": odd}]},
        lambda odd: {"volumes": [{"secret": {"secretName": [odd]}, "configMap": {"name": [odd]}}]},
        lambda odd: {"volumes": [{"projected": {"sources": odd}}]},
        lambda odd: {"volumes": [{"projected": {"sources": [{"secret": odd}]}}]},
        lambda odd: {"volumes": [{"projected": {"sources": [{"configMap": {"name": "", "items": odd}}]}}]},
        lambda odd: {"containers": [{"env": odd, "envFrom": odd}]},
        lambda odd: {"containers": [{"env": [{"valueFrom": odd}], "envFrom": [{"secretRef": odd}]}]},
        lambda odd: {"containers": [{"env": [{"valueFrom": {"secretKeyRef": odd}}]}]},
    ],
)
def test_what_is_of_another_shape_refers_to_nothing(spec: Any, odd: Any) -> None:
    assert list(podrefs.references(spec(odd))) == []
    assert podrefs.account(spec(odd)) == "default"
    assert podrefs.audiences(spec(odd)) == set()
