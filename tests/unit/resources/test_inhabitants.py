"""What there is to select in a set of manifests."""

from __future__ import annotations

from typing import Any

import pytest

from tsujiban.resources import load, selectors
from tsujiban.resources.inhabitants import Inhabitants, Labelled, under
from tsujiban.resources.load import LoadedObject


def loaded(api_version: str, kind: str, name: str, **fields: Any) -> LoadedObject:
    meta = {"name": name, **fields.pop("metadata", {})}
    (found,) = load.check({"apiVersion": api_version, "kind": kind, "metadata": meta, **fields}).objects
    return found


POD = {"containers": [{"name": "a", "image": "host"}], "serviceAccountName": "web"}
TEMPLATE = {"metadata": {"labels": {"app": "job"}}, "spec": {**POD, "restartPolicy": "Never"}}
WORLD = Inhabitants(
    [
        loaded("v1", "Namespace", "bank", metadata={"labels": {"env": "prod"}}),
        loaded("v1", "ServiceAccount", "web", metadata={"namespace": "bank", "labels": {"role": "front"}}),
        loaded("v1", "Pod", "p", metadata={"namespace": "bank", "labels": {"app": "web"}}, spec=POD),
        loaded(
            "batch/v1",
            "CronJob",
            "j",
            spec={"schedule": "0 * * * *", "jobTemplate": {"spec": {"template": TEMPLATE}}},
        ),
        loaded(
            "projectcalico.org/v3",
            "NetworkSet",
            "n",
            metadata={"namespace": "bank", "labels": {"kind": "set"}},
        ),
        loaded(
            "projectcalico.org/v3",
            "HostEndpoint",
            "h",
            metadata={"labels": {"host": "a"}},
            spec={"node": "n", "interfaceName": "*"},
        ),
    ]
)


@pytest.mark.parametrize(
    ("selector", "endpoint", "peer"),
    [
        ("app == 'web'", True, True),
        ("app == 'web' && pcns.env == 'prod'", True, True),
        ("app == 'web' && pcns.env == 'dev'", False, False),
        ("pcsa.role == 'front' && projectcalico.org/serviceaccount == 'web'", True, True),
        ("app == 'job' && projectcalico.org/namespace == 'default'", True, True),
        ("pcns.kubernetes.io/metadata.name in {'default', 'other'}", True, True),
        ("kind == 'set'", False, True),
        ("host == 'a' && !has(projectcalico.org/namespace)", True, True),
        ("host == 'b'", False, False),
        ("app contains 'eb'", True, True),
    ],
)
def test_who_is_selected(selector: str, endpoint: bool, peer: bool) -> None:
    parsed = selectors.parse(selector)
    assert WORLD.endpoints.any(parsed) is endpoint
    assert WORLD.peers.any(parsed) is peer


def test_accounts_in_use() -> None:
    assert WORLD.has_workloads
    assert WORLD.used_accounts == {"bank/web", "default/web"}


def test_nobody_is_selected_where_nobody_is() -> None:
    assert not Labelled([]).any(selectors.EVERYTHING)


def test_a_selector_on_namespaces_as_one_on_what_they_hold() -> None:
    text = "(has(a) && b == 'c' || !d in {'e'}) && f contains 'g' && all()"
    shifted = under(selectors.parse(text).node, "pcns.")
    assert str(shifted) == (
        '(((has(pcns.a) && pcns.b == "c") || !pcns.d in {"e"}) && pcns.f contains "g" && all())'
    )
