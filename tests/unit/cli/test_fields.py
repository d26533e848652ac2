from __future__ import annotations

import pytest

from tsujiban.cli import fields
from tsujiban.cli.errors import Exit, Failure
from tsujiban.resources.registry import KINDS


def test_a_kind() -> None:
    lines = list(fields.told("deploy"))
    assert lines[:2] == ["KIND:     Deployment", "VERSION:  apps/v1"]
    assert "  spec  <DeploymentSpec>" in lines
    assert "FIELD:" not in "".join(lines)


@pytest.mark.parametrize(
    ("word", "version", "field"),
    [
        ("networkpolicy.spec.ingress", "networking.k8s.io/v1", "ingress <[]NetworkPolicyIngressRule>"),
        ("networkpolicy.projectcalico.org.spec.order", "projectcalico.org/v3", "order <number>"),
        ("pod.spec.containers.resources.limits", "v1", "limits <map[string]Object>"),
        ("svc.spec.ports.targetPort", "v1", "targetPort <IntOrString>"),
        ("pod.metadata.labels", "v1", "labels <map[string]string>"),
    ],
)
def test_a_field(word: str, version: str, field: str) -> None:
    lines = list(fields.told(word))
    assert f"VERSION:  {version}" in lines
    assert f"FIELD: {field}" in lines


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_kind_can_be_told_to_its_last_field(kind: object) -> None:
    word = f"{kind.plural}.{kind.group}" if kind.group else kind.plural  # type: ignore[attr-defined]
    lines = list(fields.told(word, recursive=True))
    assert any(line.startswith("    ") and "<" in line for line in lines)


def test_what_is_not_there() -> None:
    with pytest.raises(Failure, match=r"pod\.spec has no field 'contaners'") as caught:
        list(fields.told("pod.spec.contaners"))
    assert "containers" in caught.value.hint
    assert caught.value.exit_code == Exit.USAGE
    with pytest.raises(Failure, match="a flow has two ends") as caught:
        list(fields.told("customer"))
    assert "SOURCE DESTINATION" in caught.value.hint
    with pytest.raises(Failure) as caught:
        list(fields.told("deploymnt"))
    assert "Did you mean deployment" in caught.value.hint
