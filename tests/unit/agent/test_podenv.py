import os
from typing import Any

import msgspec
import pytest

from tsujiban.agent import podenv
from tsujiban.agent.objects import ConfigError, NotKnown, Objects
from tsujiban.resources.kinds.core import ConfigMap, Container, Pod, PodSpec
from tsujiban.resources.kinds.meta import ObjectMeta

POD = Pod(
    metadata=ObjectMeta(
        name="web-1", namespace="shop", uid="u-1", labels={"app": "web"}, annotations={"a/b": "c"}
    ),
    spec=PodSpec(node_name="node-1"),
)
OBJECTS = Objects(
    config_maps={"settings": ConfigMap(data={"colour": "blue", "x.y": "dotted"}, binary_data={"b": "AA=="})},
    secrets={"keys": {"word": b"hush", "colour": b"red"}, "gone": None, "raw": {"a": b"\xff\xc3\xa9"}},
)


def _container(**fields: Any) -> Container:
    return msgspec.convert({"name": "c", **fields}, Container)


def made(
    *env: dict[str, Any], env_from: tuple[dict[str, Any], ...] = (), given: dict[str, str] | None = None
) -> dict[str, str]:
    container = _container(env=env, envFrom=env_from)
    return podenv.environment(POD, container, {"status.podIP": "10.0.0.1"}, given, OBJECTS)


def of(**value_from: Any) -> dict[str, Any]:
    return {"name": "X", "valueFrom": value_from}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(A)", "x1y1"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(MISSING)", "$(MISSING)"),
        ("$A ${A} $( $() $", "$A ${A} $( $() $"),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    assert podenv.expand(text, {"A": "1"}) == expected


def test_variables_see_those_before_them_only() -> None:
    env = ({"name": "B", "value": "$(A)"}, {"name": "A", "value": "1"}, {"name": "C", "value": "$(A)"})
    assert made(*env) == {"B": "$(A)", "A": "1", "C": "1"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("metadata.name", "web-1"),
        ("metadata.namespace", "shop"),
        ("metadata.uid", "u-1"),
        ("metadata.labels['app']", "web"),
        ("metadata.annotations['a/b']", "c"),
        ("metadata.labels['none']", ""),
        ("spec.nodeName", "node-1"),
        ("spec.serviceAccountName", "default"),
        ("status.podIP", "10.0.0.1"),
    ],
)
def test_downward_api(path: str, expected: str) -> None:
    assert made(of(fieldRef={"fieldPath": path})) == {"X": expected}


def test_values_of_secrets_and_config_maps() -> None:
    assert made(of(secretKeyRef={"name": "keys", "key": "word"})) == {"X": "hush"}
    assert made(of(configMapKeyRef={"name": "settings", "key": "x.y"})) == {"X": "dotted"}
    assert made(of(resourceFieldRef={"resource": "requests.cpu"})) == {"X": "0"}


def test_what_is_given_then_env_from_then_env_and_later_over_earlier() -> None:
    sources = ({"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "keys"}})
    assert made(env_from=sources, given={"colour": "given", "other": "1"}) == {
        "colour": "red", "x.y": "dotted", "word": "hush", "other": "1",
    }  # fmt: skip
    assert made(env_from=sources[::-1])["colour"] == "blue"
    both = made({"name": "colour", "value": "not $(colour)"}, env_from=sources)
    assert both["colour"] == "not red"


def test_a_prefix_is_put_before_each_name() -> None:
    found = made(env_from=({"prefix": "P_", "secretRef": {"name": "keys"}},))
    assert found == {"P_word": "hush", "P_colour": "red"}


def test_bytes_that_are_no_text_arrive_as_they_are() -> None:
    found = made(of(secretKeyRef={"name": "raw", "key": "a"}))
    assert os.fsencode(found["X"]) == b"\xff\xc3\xa9"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (of(secretKeyRef={"name": "gone", "key": "k"}), 'secret "gone" not found'),
        (of(configMapKeyRef={"name": "none", "key": "k"}), 'configmap "none" not found'),
        (of(secretKeyRef={"name": "keys", "key": "k"}), "couldn't find key k in Secret shop/keys"),
        (
            of(configMapKeyRef={"name": "settings", "key": "b"}),
            "couldn't find key b in ConfigMap shop/settings",
        ),
    ],
)
def test_what_is_missing_is_said_in_the_kubelets_words_unless_it_is_optional(
    entry: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        made(entry)
    assert (str(caught.value), caught.value.reason) == (said, "CreateContainerConfigError")
    ((source, reference),) = entry["valueFrom"].items()
    assert made(of(**{source: {**reference, "optional": True}})) == {}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"secretRef": {"name": "gone"}}, 'secret "gone" not found'),
        ({"configMapRef": {"name": "none"}}, 'configmap "none" not found'),
    ],
)
def test_a_whole_object_that_is_missing(source: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        made(env_from=(source,))
    ((field, reference),) = source.items()
    assert made(env_from=({field: {**reference, "optional": True}},)) == {}


def test_a_secret_that_nobody_has_told_of_is_not_taken_for_missing() -> None:
    for optional in (False, True):
        with pytest.raises(NotKnown):
            made(of(secretKeyRef={"name": "unheard", "key": "k", "optional": optional}))


@pytest.mark.parametrize(
    ("container", "said"),
    [
        (
            _container(env=[of(fieldRef={"fieldPath": "spec.secret"})]),
            "env X: unknown fieldPath 'spec.secret'",
        ),
        (
            _container(env=[of(fileKeyRef={"volumeName": "v", "path": "p", "key": "k"})]),
            "env X: valueFrom must be",
        ),
        (_container(envFrom=[{"prefix": "x"}]), "envFrom: must be of"),
        (_container(env=[{"name": "A=B", "value": "1"}]), "'A=B' is not a variable's name"),
        (_container(env=[{"name": "A", "value": "a\0b"}]), "env A: a variable cannot hold a NUL byte"),
    ],
)
def test_what_cannot_be_is_said(container: Container, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        podenv.environment(POD, container, {})


def test_what_a_container_needs_is_named() -> None:
    container = _container(
        env=[
            of(secretKeyRef={"name": "a", "key": "k"}),
            of(configMapKeyRef={"name": "b", "key": "k", "optional": True}),
            {"name": "Y", "value": "1"},
        ],
        envFrom=[{"secretRef": {"name": "c"}}, {"configMapRef": {"name": "d"}}],
    )
    assert set(podenv.named(container)) == {
        ("secrets", "a"), ("configmaps", "b"), ("secrets", "c"), ("configmaps", "d"),
    }  # fmt: skip


def test_command_and_arguments() -> None:
    container = _container(command=["sh", "-c"], args=["echo $(A)", "$$(A)"])
    assert podenv.command(container, {"A": "1"}) == ("sh", "-c", "echo 1", "$(A)")
    assert podenv.command(_container(args=["x", "$(A)"]), {"A": "1"}) == ("x", "1")


def test_a_container_says_otherwise_itself() -> None:
    given = {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}
    found = made(
        {"name": "URL", "value": "https://$(KUBERNETES_SERVICE_HOST)"},
        {"name": "KUBERNETES_SERVICE_HOST", "value": "elsewhere"},
        given=given,
    )
    assert found == {"URL": "https://10.96.0.1", "KUBERNETES_SERVICE_HOST": "elsewhere"}
