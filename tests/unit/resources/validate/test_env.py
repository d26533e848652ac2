"""Environments as the real server judges them: which field, and what was wrong, in its words."""

from __future__ import annotations

from typing import Any

import pytest

from tsujiban.resources import load

NAMES = "a valid environment variable name must consist only of printable ASCII characters other than '='"
FIELDS = (
    '"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", '
    '"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"'
)
RESOURCES = (
    '"limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage",'
    ' "requests.memory"'
)
CONVERTING = "error converting fieldPath"
KEYS = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or"
    " 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)


def told(**container: Any) -> dict[str, str]:
    """What is said of a pod with such a container, by field within it."""
    spec = {"containers": [{"name": "c", "image": "host", **container}]}
    raw = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"}, "spec": spec}
    return {
        finding.field.removeprefix("spec.containers[0]."): finding.message
        for finding in load.check(raw).findings
    }


def of_value(**value_from: Any) -> dict[str, str]:
    found = told(env=[{"name": "A", "valueFrom": value_from}])
    return {field.removeprefix("env[0].valueFrom").removeprefix("."): text for field, text in found.items()}


def test_what_is_right() -> None:
    env = [
        {"name": "A", "value": "$(B) $$(C)"},
        {"name": "with space.and-dot", "value": ""},
        {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIPs", "apiVersion": "v1"}}},
        {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['UPPER.io/b']"}}},
        {"name": "D", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
        {"name": "E", "valueFrom": {"resourceFieldRef": {"resource": "requests.memory", "divisor": "1Mi"}}},
        {"name": "F", "valueFrom": {"resourceFieldRef": {"resource": "limits.hugepages-2Mi", "divisor": 0}}},
        {"name": "G", "valueFrom": {"secretKeyRef": {"name": "s", "key": ".k", "optional": True}}},
        {"name": "H", "valueFrom": {"configMapKeyRef": {"name": "s.t", "key": "k_K"}}},
        {"name": "I", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "p", "key": "k"}}},
    ]
    env_from = [
        {"prefix": "P-", "configMapRef": {"name": "c", "optional": False}},
        {"secretRef": {"name": "s"}},
    ]
    assert told(env=env, envFrom=env_from) == {}


@pytest.mark.parametrize(
    ("container", "field", "message"),
    [
        ({"env": [{"value": "x"}]}, "env[0].name", "Required value"),
        ({"env": [{"name": "A=B"}]}, "env[0].name", f'Invalid value: "A=B": {NAMES}'),
        ({"env": [{"name": "Ä"}]}, "env[0].name", f'Invalid value: "Ä": {NAMES}'),
        ({"env": [{"name": "a\n"}]}, "env[0].name", f'Invalid value: "a\\n": {NAMES}'),
        (
            {
                "env": [
                    {
                        "name": "A",
                        "value": "x",
                        "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}},
                    }
                ]
            },
            "env[0].valueFrom",
            'Invalid value: "": may not be specified when `value` is not empty',
        ),
        ({"envFrom": [{"prefix": "="}]}, "envFrom[0].prefix", f'Invalid value: "=": {NAMES}'),
        (
            {"envFrom": [{"prefix": "x"}]},
            "envFrom",
            'Invalid value: "": must specify one of: `configMapRef` or `secretRef`',
        ),
        (
            {"envFrom": [{"configMapRef": {"name": "a"}, "secretRef": {"name": "b"}}]},
            "envFrom",
            'Invalid value: "": may not have more than one field specified at a time',
        ),
        ({"envFrom": [{"secretRef": {}}]}, "envFrom[0].secretRef.name", "Required value"),
        ({"envFrom": [{"secretRef": {"key": "x"}}]}, "envFrom[0].secretRef.key", "unknown field 'key'"),
    ],
)
def test_what_is_wrong(container: dict[str, Any], field: str, message: str) -> None:
    assert told(**container)[field] == message


@pytest.mark.parametrize(
    ("value_from", "field", "message"),
    [
        (
            {},
            "",
            'Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or'
            " `secretKeyRef`",
        ),
        (
            {"fieldRef": {"fieldPath": "metadata.name"}, "secretKeyRef": {"name": "s", "key": "k"}},
            "",
            'Invalid value: "": may not have more than one field specified at a time',
        ),
        ({"fieldRef": {}}, "fieldRef.fieldPath", "Required value"),
        (
            {"fieldRef": {"fieldPath": "spec.x"}},
            "fieldRef.fieldPath",
            f'Invalid value: "spec.x": {CONVERTING}: field label not supported: spec.x',
        ),
        (
            {"fieldRef": {"fieldPath": "metadata.labels"}},
            "fieldRef.fieldPath",
            f'Unsupported value: "metadata.labels": supported values: {FIELDS}',
        ),
        (
            {"fieldRef": {"fieldPath": "metadata.name['x']"}},
            "fieldRef.fieldPath",
            f"Invalid value: \"metadata.name['x']\": {CONVERTING}: field label does not support subscript:"
            " metadata.name['x']",
        ),
        (
            {"fieldRef": {"fieldPath": "metadata.labels['']"}},
            "fieldRef.fieldPath",
            'Invalid value: "": the name part must have 1 to 63 characters',
        ),
        (
            {"fieldRef": {"fieldPath": "metadata.name", "apiVersion": "v2"}},
            "fieldRef.fieldPath",
            f'Invalid value: "metadata.name": {CONVERTING}: unsupported pod version: v2',
        ),
        ({"resourceFieldRef": {}}, "resourceFieldRef.resource", "Required value"),
        (
            {"resourceFieldRef": {"resource": "limits.gpu"}},
            "resourceFieldRef.resource",
            f'Unsupported value: "limits.gpu": supported values: {RESOURCES}',
        ),
        (
            {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1Mi"}},
            "resourceFieldRef.divisor",
            'Invalid value: "cpu": only divisor\'s values 1m and 1 are supported with the cpu resource',
        ),
        (
            {"resourceFieldRef": {"resource": "limits.memory", "divisor": "2"}},
            "resourceFieldRef.divisor",
            'Invalid value: "memory": only divisor\'s values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti,'
            " 1Pi, 1Ei are supported with the memory resource",
        ),
        (
            {"resourceFieldRef": {"resource": "limits.memory", "divisor": "x"}},
            "resourceFieldRef.divisor",
            "'x' is not a quantity, such as 500m or 1.5Gi",
        ),
        ({"secretKeyRef": {"name": "s"}}, "secretKeyRef.key", "Required value"),
        ({"secretKeyRef": {"key": "k"}}, "secretKeyRef.name", "Required value"),
        (
            {"configMapKeyRef": {"name": "s", "key": "a/b"}},
            "configMapKeyRef.key",
            f'Invalid value: "a/b": {KEYS}',
        ),
        ({"fileKeyRef": {"volumeName": "v", "key": "k"}}, "fileKeyRef.path", "Required value"),
        ({"secretRef": {"name": "s"}}, "secretRef", "unknown field 'secretRef'"),
        ({"secretKeyRef": "s"}, "secretKeyRef", "must be a mapping, is the string 's'"),
    ],
)
def test_where_a_value_comes_from(value_from: dict[str, Any], field: str, message: str) -> None:
    assert of_value(**value_from)[field] == message


def test_an_object_has_a_name_that_it_can_have() -> None:
    assert of_value(secretKeyRef={"name": "A", "key": "k"})["secretKeyRef.name"].startswith(
        'Invalid value: "A": a lowercase RFC 1123 subdomain must consist of'
    )
