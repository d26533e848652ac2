import pytest

from tsujiban.agent import podenv
from tsujiban.resources.kinds.core import Container, EnvVar, EnvVarSource, Pod, PodSpec
from tsujiban.resources.kinds.meta import ObjectMeta

POD = Pod(
    metadata=ObjectMeta(
        name="web-1", namespace="shop", uid="u-1", labels={"app": "web"}, annotations={"a/b": "c"}
    ),
    spec=PodSpec(node_name="node-1"),
)


def _from(path: str) -> EnvVarSource:
    return EnvVarSource(field_ref={"fieldPath": path})


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
    container = Container(
        env=(EnvVar(name="B", value="$(A)"), EnvVar(name="A", value="1"), EnvVar(name="C", value="$(A)"))
    )
    assert podenv.environment(POD, container, {}) == {"B": "$(A)", "A": "1", "C": "1"}


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
    container = Container(env=(EnvVar(name="X", value_from=_from(path)),))
    assert podenv.environment(POD, container, {"status.podIP": "10.0.0.1"}) == {"X": expected}


@pytest.mark.parametrize(
    ("container", "word"),
    [
        (Container(env=(EnvVar(name="X", value_from=_from("spec.secret")),)), "spec.secret"),
        (Container(env=(EnvVar(name="X", value_from=EnvVarSource(secret_key_ref={"name": "s"})),)), "X"),
        (Container(env_from=({"configMapRef": {"name": "x"}},)), "envFrom"),
    ],
)
def test_what_is_not_supported_is_said(container: Container, word: str) -> None:
    with pytest.raises(podenv.ConfigError, match=word):
        podenv.environment(POD, container, {})


def test_command_and_arguments() -> None:
    container = Container(command=("sh", "-c"), args=("echo $(A)", "$$(A)"))
    assert podenv.command(container, {"A": "1"}) == ("sh", "-c", "echo 1", "$(A)")
    assert podenv.command(Container(args=("x", "$(A)")), {"A": "1"}) == ("x", "1")
    with pytest.raises(podenv.ConfigError, match="command"):
        podenv.command(Container(), {})


def test_a_container_is_told_where_the_api_is_unless_it_says_so_itself() -> None:
    given = podenv.of_api("10.96.0.1")
    assert given["KUBERNETES_SERVICE_HOST"] == "10.96.0.1"
    assert given["KUBERNETES_SERVICE_PORT"] == given["KUBERNETES_SERVICE_PORT_HTTPS"] == "443"
    assert given["KUBERNETES_PORT"] == "tcp://10.96.0.1:443"
    assert podenv.of_api("") == {}
    own = Container(
        env=(
            EnvVar(name="URL", value="https://$(KUBERNETES_SERVICE_HOST)"),
            EnvVar(name="KUBERNETES_SERVICE_HOST", value="elsewhere"),
        )
    )
    made = podenv.environment(POD, own, {}, given)
    assert made["URL"] == "https://10.96.0.1"
    assert made["KUBERNETES_SERVICE_HOST"] == "elsewhere"
