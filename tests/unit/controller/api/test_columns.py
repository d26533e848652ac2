from __future__ import annotations

from typing import Any

import pytest

from tsujiban.controller.api import columns
from tsujiban.controller.distribution import POLICY_KINDS
from tsujiban.resources.registry import KINDS, resolve


def cells(word: str, document: dict[str, Any]) -> dict[str, Any]:
    kind = resolve(word)
    return {column.title: column.cell(document) for column in columns.of(kind.group, kind.plural)}


def test_every_kind_has_rows_whatever_an_object_holds() -> None:
    odd: list[Any] = [
        {},
        {"spec": None},
        {"spec": [], "status": 1},
        {"spec": {"ports": [1], "selector": "x"}},
    ]
    for kind in KINDS:
        for fields in odd:
            for column in columns.of(kind.group, kind.plural):
                column.cell({"metadata": {"name": "a"}, **fields})


def test_columns_belong_to_kinds_that_exist() -> None:
    known = {(kind.group, kind.plural) for kind in KINDS}
    assert {*columns.COLUMNS, *columns.WHOLE} <= known
    assert not columns.COLUMNS.keys() & columns.WHOLE.keys()


# as the real server has them, those of `-o wide` behind the bar
@pytest.mark.parametrize(
    ("word", "titles"),
    [
        ("pods", "Name Ready Status Restarts Age | IP Node Nominated_Node Readiness_Gates"),
        ("deployments", "Name Ready Up-to-date Available Age | Containers Images Selector"),
        ("replicasets", "Name Desired Current Ready Age | Containers Images Selector"),
        ("statefulsets", "Name Ready Age | Containers Images"),
        ("controllerrevisions", "Name Controller Revision Age |"),
        ("jobs", "Name Status Completions Duration Age | Containers Images Selector"),
        ("services", "Name Type Cluster-IP External-IP Port(s) Age | Selector"),
        (
            "nodes",
            "Name Status Roles Age Version"
            " | Internal-IP External-IP OS-Image Kernel-Version Container-Runtime",
        ),
        ("serviceaccounts", "Name Secrets Age |"),
        ("leases", "Name Holder Age |"),
        ("roles", "Name Created_At |"),
        ("rolebindings", "Name Role Age | Users Groups ServiceAccounts"),
        ("csr", "Name Age SignerName Requestor RequestedDuration Condition |"),
        ("events", "Last_Seen Type Reason Object Message | Subobject Source First_Seen Count Name"),
    ],
)
def test_columns_of_the_real_server(word: str, titles: str) -> None:
    kind = resolve(word)
    found = columns.of(kind.group, kind.plural)
    shown, wide = ([c.title.replace(" ", "_") for c in found if c.priority == p] for p in (0, 1))
    assert [*shown, "|", *wide] == titles.split()


def test_policies_show_where_they_are_enforced() -> None:
    conditions = [{"type": "Enforced", "status": "True", "message": "2/2 nodes"}]
    policy = {"metadata": {"name": "a"}, "spec": {"order": 0}, "status": {"conditions": conditions}}
    found = cells("networkpolicies.projectcalico.org", policy)
    assert (found["Tier"], found["Order"], found["Enforced"]) == ("default", "0", "2/2 nodes")


@pytest.mark.parametrize(("count", "shown"), [(None, "<none>"), (0, "0 endpoints"), (1, "1 endpoint")])
def test_every_kind_of_policy_tells_what_it_selects_and_where_it_is_in_force(
    count: int | None, shown: str
) -> None:
    enforced = {"type": "Enforced", "status": "False", "message": "1/2 nodes"}
    status = {"conditions": [{"type": "Accepted"}, enforced], "selectedEndpoints": count}
    policies = [kind for kind in KINDS if kind.kind in POLICY_KINDS]
    assert len(policies) == len(POLICY_KINDS) + 1  # two are called NetworkPolicy
    for kind in policies:
        found = {column.title: column for column in columns.of(kind.group, kind.plural)}
        assert found["Selects"].cell({"status": status}) == shown
        assert found["Selects"].priority == 1
        assert found["Enforced"].cell({"status": status}) == "1/2 nodes"


def test_a_revision_names_its_controller() -> None:
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "log", "controller": True}
    found = cells("controllerrevisions", {"metadata": {"name": "log-1", "ownerReferences": [owner]}})
    assert found["Controller"] == "daemonset.apps/log"
    assert cells("controllerrevisions", {"metadata": {"name": "x"}})["Controller"] == "<none>"
