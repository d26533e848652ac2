"""What was stored as affinity, spread or readiness gates before anybody checked its form ends no planner."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.controller.reconcile.conftest import Kit

from tsujiban.controller import podstatus
from tsujiban.controller.reconcile import daemonsets, gates, scheduler
from tsujiban.controller.world import DAEMON_SETS, NODES, Json, Ref

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
HOST = "kubernetes.io/hostname"
NOW = 1_700_000_000.0

scalar = st.one_of(st.none(), st.booleans(), st.integers(-3, 10**20), st.text(max_size=4), st.floats(0, 9))
junk = st.recursive(
    scalar,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
)


def odd(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An object with some of the fields that it should have, or anything."""
    return st.fixed_dictionaries({}, optional=fields) | junk


def some(item: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(item, max_size=2) | junk


requirement = odd(
    key=st.sampled_from(["app", "metadata.name", HOST]) | junk,
    operator=st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]) | junk,
    values=some(st.sampled_from(["web", "n1"])),
)
selector = odd(matchLabels=st.just({"app": "web"}) | junk, matchExpressions=some(requirement))
term = odd(
    labelSelector=selector,
    namespaceSelector=selector,
    namespaces=some(st.just("default")),
    topologyKey=st.just(HOST) | junk,
    matchLabelKeys=some(st.just("app")),
    mismatchLabelKeys=some(st.just("app")),
)
between = odd(
    **{REQUIRED: some(term), PREFERRED: some(odd(weight=st.integers(1, 9) | junk, podAffinityTerm=term))}
)
node_term = odd(matchExpressions=some(requirement), matchFields=some(requirement))
of_nodes = odd(
    **{
        REQUIRED: odd(nodeSelectorTerms=some(node_term)),
        PREFERRED: some(odd(weight=st.integers(1, 9) | junk, preference=node_term)),
    }
)
constraint = odd(
    maxSkew=st.integers(1, 2) | junk,
    topologyKey=st.just(HOST) | junk,
    whenUnsatisfiable=st.sampled_from(["DoNotSchedule", "ScheduleAnyway"]) | junk,
    minDomains=st.integers(1, 2) | junk,
    labelSelector=selector,
    matchLabelKeys=some(st.just("app")),
    nodeAffinityPolicy=junk,
    nodeTaintsPolicy=st.just("Honor") | junk,
)
FIELDS = {
    "affinity": odd(nodeAffinity=of_nodes, podAffinity=between, podAntiAffinity=between),
    "topologySpreadConstraints": some(constraint),
    "readinessGates": some(odd(conditionType=st.just("Open") | junk)),
}
spec = st.fixed_dictionaries({}, optional=FIELDS)


def pod(kit: Kit, name: str, said: Json, node: str = "") -> Ref:
    ref = kit.pod(name, node=node, ip="10.0.0.1" if node else "", app="web")
    obj = kit.world.get(ref)
    assert obj is not None
    return kit.put(ref, {**obj, "spec": {**obj["spec"], **said}})


def plan_all(waiting: Json, placed: Json) -> str:
    """Every planner that reads these fields; the node that the plain pod gets beside the placed one."""
    kit = Kit()
    for name in ("n1", "n2"):
        kit.node(name, app="web")
    there, new, plain = pod(kit, "there", placed, "n1"), pod(kit, "new", waiting), pod(kit, "plain", {})
    head = {"name": "d", "namespace": "default"}
    template = {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [], **waiting}}
    body = {"selector": {"matchLabels": {"app": "d"}}, "template": template}
    daemons = Ref(*DAEMON_SETS, "default", "d")
    kit.put(daemons, {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": head, "spec": body})
    kit.carry_out(daemonsets.plan(kit.world, daemons, NOW).actions)
    for ref in (there, new, plain, *(ref for ref, _ in kit.world.unplaced())):
        kit.carry_out(scheduler.plan(kit.world, ref, lambda node, _: (f"10.0.0.{node[1:]}",)))
        kit.carry_out(gates.plan(kit.world, ref, NOW))
        found = kit.world.get(ref)
        assert found is not None
        said = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        kit.put(ref, {**found, "status": podstatus.merged(said, found, NOW)})
    last = kit.world.get(plain)
    assert last is not None
    return str(last["spec"].get("nodeName"))


@settings(max_examples=300, deadline=None)
@given(waiting=spec, placed=spec)
def test_odd_wishes_end_no_planner(waiting: Json, placed: Json) -> None:
    plan_all(waiting, placed)


def test_a_term_that_is_right_keeps_others_away() -> None:
    assert plan_all({"nodeSelector": {"app": "none"}}, apart()) == "n2"


def apart(**fields: Any) -> Json:
    chosen = {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": HOST, **fields}
    return {"affinity": {"podAntiAffinity": {REQUIRED: [chosen]}}}


@pytest.mark.parametrize(
    "said",
    [
        apart(namespaces=5),
        apart(namespaceSelector=5),
        apart(labelSelector={"matchLabels": 5}),
        apart(labelSelector={"matchExpressions": 5}),
        apart(labelSelector={"matchExpressions": [{"key": ["x"], "operator": "Exists"}]}),
        apart(labelSelector={"matchExpressions": [{"key": "x", "operator": "NotIn", "values": 5}]}),
        apart(labelSelector={"matchExpressions": [{"key": "x", "operator": "NotIn", "values": "abc"}]}),
    ],
)
def test_a_term_that_is_none_keeps_nobody_away(said: Json) -> None:
    kit = Kit()
    kit.node("n1")
    pod(kit, "there", said, "n1")
    (action,) = scheduler.plan(kit.world, pod(kit, "new", said), lambda *_: ("10.0.0.2",))
    assert action.obj["spec"]["nodeName"] == "n1"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "allocatable", [["cpu"], "cpu", 5, None, {"cpu": ["1"]}, {"cpu": None}], ids=lambda one: str(one)
)
def test_an_odd_node_ends_no_planner(allocatable: Any) -> None:
    kit = Kit()
    known = kit.world.get(kit.node("n1"))
    assert known is not None
    kit.put(Ref(*NODES, "", "n1"), {**known, "status": {**known["status"], "allocatable": allocatable}})
    asking = {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}
    ref = pod(kit, "p", asking)
    assert len(scheduler.plan(kit.world, ref, lambda *_: ("10.0.0.1",))) == 1
