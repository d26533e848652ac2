"""Volumes as the real server judges them: which field, and what was wrong, in its words."""

from __future__ import annotations

from typing import Any

import pytest

from tsujiban.resources import load

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and"
    " end with an alphanumeric character"
)


def told(
    volumes: list[Any], mounts: list[Any] | None = None, *, kind: str = "Pod", **more: Any
) -> dict[str, str]:
    """What is said of a pod with these volumes, by field."""
    container = {"name": "c", "image": "host", "volumeMounts": mounts or []}
    spec: dict[str, Any] = {"containers": [container], "volumes": volumes}
    version = "v1"
    if kind != "Pod":
        labels = {"app": "x"}
        template = {"metadata": {"labels": labels}, "spec": spec}
        spec = {"selector": {"matchLabels": labels}, "template": template, **more}
        version = "apps/v1"
    raw = {
        "apiVersion": version, "kind": kind, "metadata": {"name": "p", "namespace": "default"}, "spec": spec,
    }  # fmt: skip
    return {finding.field: finding.message for finding in load.check(raw).findings}


def projected(*sources: Any) -> dict[str, Any]:
    return {"name": "v", "projected": {"sources": list(sources)}}


def token(**fields: Any) -> dict[str, Any]:
    return {"serviceAccountToken": {"path": "token", **fields}}


def test_what_is_right() -> None:
    volumes = [
        {"name": "a", "emptyDir": {}},
        {"name": "b", "secret": {"secretName": "s", "defaultMode": 0o400, "optional": True}},
        {"name": "c", "configMap": {"name": "c", "items": [{"key": "k", "path": "d/..k", "mode": 0}]}},
        {
            "name": "d",
            "downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]},
        },
        {
            **projected(
                token(expirationSeconds=600, audience="vault"),
                {"secret": {"name": "s"}},
                {"configMap": {"name": "c", "optional": True}},
                {
                    "downwardAPI": {
                        "items": [{"path": "x", "fieldRef": {"fieldPath": "metadata.labels['a/b']"}}]
                    }
                },
            ),
            "name": "e",
        },
        {"name": "f", "hostPath": {"path": "/", "type": ""}},  # a node's to refuse
        {"name": "g", "persistentVolumeClaim": {"claimName": "x"}},
    ]
    mounts = [{"name": volume["name"], "mountPath": f"/{volume['name']}"} for volume in volumes]
    assert told(volumes, mounts) == {}


@pytest.mark.parametrize(
    ("volume", "field", "message"),
    [
        ({"emptyDir": {}}, ".name", "name is required"),
        ({"name": "A", "emptyDir": {}}, ".name", f'Invalid value: "A": {LABEL}'),
        ({"name": "v"}, "", "Required value: must specify a volume type"),
        (
            {"name": "v", "emptyDir": {}, "secret": {"secretName": "s"}},
            ".secret",
            "Forbidden: may not specify more than 1 volume type",
        ),
        ({"name": "v", "secret": {}}, ".secret.secretName", "secretName is required"),
        ({"name": "v", "secret": {"secretName": "s", "name": "s"}}, ".secret.name", "unknown field 'name'"),
        (
            {"name": "v", "secret": {"secretName": "s", "defaultMode": 512}},
            ".secret.defaultMode",
            "Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
        ),
        ({"name": "v", "configMap": {"name": ""}}, ".configMap.name", "name is required"),
        (
            {"name": "v", "configMap": {"name": "c", "items": [{"key": "k", "path": "/k"}]}},
            ".configMap.items[0].path",
            'Invalid value: "/k": must be a relative path',
        ),
        (
            {"name": "v", "configMap": {"name": "c", "items": [{"key": "k", "path": "a/../k"}]}},
            ".configMap.items[0].path",
            "Invalid value: \"a/../k\": must not contain '..'",
        ),
        (
            {"name": "v", "configMap": {"name": "c", "items": [{"key": "k", "path": "..k"}]}},
            ".configMap.items[0].path",
            "Invalid value: \"..k\": must not start with '..'",
        ),
        (
            {"name": "v", "configMap": {"name": "c", "items": [{"path": "k"}]}},
            ".configMap.items[0].key",
            "key is required",
        ),
        ({"name": "v", "emptyDir": {"size": 1}}, ".emptyDir.size", "unknown field 'size'"),
        ({"name": "v", "emptyDir": {"medium": 1}}, ".emptyDir.medium", "must be a string, is the number 1"),
        (
            {"name": "v", "downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "spec.x"}}]}},
            ".downwardAPI.items[0].fieldRef.fieldPath",
            'Invalid value: "spec.x": error converting fieldPath: field label not supported: spec.x',
        ),
        (
            {"name": "v", "downwardAPI": {"items": [{"path": "a", "resourceFieldRef": {"resource": "x"}}]}},
            ".downwardAPI.items[0].resourceFieldRef.containerName",
            "Required value",
        ),
        (
            {
                "name": "v",
                "downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "status.podIP"}}]},
            },
            ".downwardAPI.items[0].fieldRef.fieldPath",
            'Unsupported value: "status.podIP": supported values: "metadata.annotations", "metadata.labels",'
            ' "metadata.name", "metadata.namespace", "metadata.uid"',
        ),
        (
            {"name": "v", "downwardAPI": {"items": [{"path": "a"}]}},
            ".downwardAPI.items[0]",
            "Required value: one of fieldRef and resourceFieldRef is required",
        ),
        (
            projected(token(expirationSeconds=300)),
            ".projected.sources[0].serviceAccountToken.expirationSeconds",
            "Invalid value: 300: may not specify a duration less than 10 minutes",
        ),
        (
            projected(token(expirationSeconds=2**32 + 1)),
            ".projected.sources[0].serviceAccountToken.expirationSeconds",
            "Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds",
        ),
        (
            projected({"serviceAccountToken": {}}),
            ".projected.sources[0].serviceAccountToken.path",
            "path is required",
        ),
        (
            projected({"secret": {"name": "s"}, "configMap": {"name": "c"}}),
            ".projected.sources[0]",
            "Forbidden: may not specify more than 1 volume type",
        ),
        (
            projected(token(), {"secret": {"name": "s", "items": [{"key": "k", "path": "token"}]}}),
            ".projected",
            'Invalid value: "token": conflicting duplicate paths',
        ),
    ],
)
def test_a_volume(volume: dict[str, Any], field: str, message: str) -> None:
    assert told([volume]) == {f"spec.volumes[0]{field}": message}


@pytest.mark.parametrize(
    ("mount", "field", "message"),
    [
        ({"name": "x", "mountPath": "/x"}, ".name", 'Not found: "x"'),
        ({"mountPath": "/x"}, ".name", "name is required"),
        ({"name": "v"}, ".mountPath", "mountPath is required"),
        ({"name": "v", "mountPath": "/taken"}, ".mountPath", 'Invalid value: "/taken": must be unique'),
        (
            {"name": "v", "mountPath": "/x", "subPath": "../x"},
            ".subPath",
            "Invalid value: \"../x\": must not contain '..'",
        ),
        ({"name": "v", "mountPath": "/x", "readonly": True}, ".readonly", "unknown field 'readonly'"),
        (
            {"name": "v", "mountPath": "/x", "subPath": "a", "subPathExpr": "b"},
            ".subPathExpr",
            'Invalid value: "b": subPathExpr and subPath are mutually exclusive',
        ),
    ],
)
def test_a_mount(mount: dict[str, Any], field: str, message: str) -> None:
    mounts = [{"name": "v", "mountPath": "/taken"}, mount]
    found = told([{"name": "v", "emptyDir": {}}], mounts)
    assert found == {f"spec.containers[0].volumeMounts[1]{field}": message}


def test_two_of_one_name() -> None:
    one = {"name": "v", "emptyDir": {}}
    assert told([one, one]) == {"spec.volumes[1].name": 'Duplicate value: "v"'}


def test_templates_too_and_those_of_stateful_sets_have_more_volumes_than_they_say() -> None:
    mounts = [{"name": "data", "mountPath": "/data"}]
    path = "spec.template.spec.containers[0].volumeMounts[0].name"
    assert told([], mounts, kind="Deployment") == {path: 'Not found: "data"'}
    assert told([], mounts, kind="StatefulSet", serviceName="x") == {}
