"""What a change makes somebody look at."""

from __future__ import annotations

from tsujiban.controller.loop import Change
from tsujiban.controller.routes import moves, route
from tsujiban.controller.world import (
    BUDGETS,
    CONTROLLER_REVISIONS,
    CONTROLLERS_CONFIGURATIONS,
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    HOST_ENDPOINTS,
    JOBS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    STATEFUL_SETS,
    Json,
    Ref,
    World,
)


def obj(name: str, uid: str = "", **fields: object) -> Json:
    return {"metadata": {"name": name, "uid": uid or f"uid-{name}"}, **fields}


def owned(name: str, kind: str, owner: str) -> Json:
    reference = {
        "apiVersion": "apps/v1",
        "kind": kind,
        "name": owner,
        "uid": f"uid-{owner}",
        "controller": True,
    }
    made = obj(name, spec={})
    made["metadata"]["ownerReferences"] = [reference]
    return made


def world(*entries: tuple[Ref, Json]) -> World:
    view = World()
    view.put(Ref(*NAMESPACES, "", "default"), obj("default"))
    for ref, value in entries:
        view.put(ref, value)
    return view


def work(view: World, ref: Ref, old: Json | None, new: Json | None) -> set[tuple[str, str]]:
    if new is None:
        view.drop(ref)
    else:
        view.put(ref, new)
    return {(planner, target.name) for planner, target in route(view, Change(ref, old, new, 1))}


POD, SET = Ref(*PODS, "default", "p"), Ref(*REPLICA_SETS, "default", "rs")
SERVICE, DEPLOYMENT = Ref(*SERVICES, "default", "s"), Ref(*DEPLOYMENTS, "default", "d")


def test_a_pod_concerns_its_replica_set_and_the_services_that_selected_it_before_or_now() -> None:
    view = world((SET, obj("rs")), (SERVICE, obj("s", spec={"selector": {"a": "1"}})))
    before = owned("p", "ReplicaSet", "rs")
    before["metadata"]["labels"] = {"a": "1"}
    after = owned("p", "ReplicaSet", "rs")
    assert work(view, POD, before, after) == {("schedule", "p"), ("replicaset", "rs"), ("endpoints", "s")}
    assert work(view, POD, after, after) == {("schedule", "p"), ("replicaset", "rs")}


def test_a_replica_set_concerns_its_deployment() -> None:
    view = world((DEPLOYMENT, obj("d")))
    assert work(view, SET, None, owned("rs", "Deployment", "d")) == {
        ("replicaset", "rs"),
        ("deployment", "d"),
    }


def test_a_deleted_owner_and_an_orphan_are_garbage() -> None:
    view = world()
    assert ("garbage", "uid-d") in work(view, DEPLOYMENT, obj("d"), None)
    assert ("garbage", "uid-d") in work(view, SET, None, owned("rs", "Deployment", "d"))


def test_a_node_concerns_the_pods_that_wait() -> None:
    waiting, bound = Ref(*PODS, "default", "w"), Ref(*PODS, "default", "b")
    asked = Ref(*PODS, "default", "asked")  # for a node by name, that was not there
    view = world(
        (waiting, obj("w", spec={})),
        (asked, obj("asked", spec={"nodeName": "n"})),
        (bound, obj("b", spec={"nodeName": "n"}, status={"podIP": "10.0.0.1"})),
    )
    assert work(view, Ref(*NODES, "", "n"), None, obj("n")) == {
        ("schedule", "w"),
        ("schedule", "asked"),
        ("taints", "n"),
        ("auto-host-endpoint", "n"),
    }


def test_a_deleted_node_is_emptied() -> None:
    assert ("empty-node", "n") in work(world(), Ref(*NODES, "", "n"), obj("n"), None)


def test_an_address_that_is_free_again_concerns_the_pods_that_wait() -> None:
    waiting = Ref(*PODS, "default", "w")
    placed = obj("p", spec={"nodeName": "n"}, status={"podIP": "10.0.0.1", "phase": "Running"})
    over = {**placed, "status": {"podIP": "10.0.0.1", "phase": "Succeeded"}}
    view = world((waiting, obj("w", spec={})))
    assert ("schedule", "w") in work(view, POD, placed, None)
    assert ("schedule", "w") in work(view, POD, placed, over)
    assert ("schedule", "w") not in work(view, POD, placed, {**placed, "spec": {"nodeName": "m"}})


def test_a_slice_taken_away_concerns_its_service() -> None:
    ref = Ref(*ENDPOINT_SLICES, "default", "s-1")
    slice_ = obj("s-1")
    slice_["metadata"]["labels"] = {"kubernetes.io/service-name": "s"}
    assert ("endpoints", "s") in work(world(), ref, slice_, None)


def test_a_default_account_taken_away_comes_back() -> None:
    ref = Ref(*SERVICE_ACCOUNTS, "default", "default")
    assert ("account", "default") in work(world(), ref, obj("default"), None)


def test_a_namespace_gets_an_account_and_a_deleted_one_is_emptied() -> None:
    ref = Ref(*NAMESPACES, "", "bank")
    view = world()
    assert work(view, ref, None, obj("bank")) == {("account", "bank")}
    assert ("empty-namespace", "bank") in work(view, ref, obj("bank"), None)
    late = Ref(*SERVICES, "bank", "s")
    assert ("empty-namespace", "bank") in work(view, late, None, obj("s", spec={}))


def test_host_endpoints_made_by_us_follow_their_configuration_and_come_back() -> None:
    node = Ref(*NODES, "", "n")
    configuration = Ref(*CONTROLLERS_CONFIGURATIONS, "", "default")
    assert work(world((node, obj("n"))), configuration, None, obj("default")) == {("auto-host-endpoint", "n")}
    theirs = Ref(*HOST_ENDPOINTS, "", "n-auto-hep")
    assert ("auto-host-endpoint", "n") in work(world(), theirs, obj("n-auto-hep"), None)


def test_an_end_that_waits_is_looked_at_when_what_it_waits_for_changes() -> None:
    ref = Ref(*REPLICA_SETS, "default", "web")
    owner = obj("web")
    owner["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    pod = Ref(*PODS, "default", "p")
    view = world((ref, owner))
    works = list(route(view, Change(pod, owned("p", "ReplicaSet", "web"), None, 1)))
    assert ("dependents", ref) in works
    assert ("dependents", ref) in list(route(view, Change(ref, obj("web"), owner, 2)))
    ended = obj("p", status={"phase": "Failed"}, spec={})
    ended["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert ("terminated", pod) in list(route(view, Change(pod, None, ended, 3)))


def test_the_service_of_the_api_is_looked_after_whatever_happens_to_it() -> None:
    view = world()
    api = ("api-service", "kubernetes")
    service, slices = Ref(*SERVICES, "default", "kubernetes"), Ref(*ENDPOINT_SLICES, "default", "kubernetes")
    held = obj("kubernetes", spec={"clusterIP": "10.96.0.1"})
    assert api in work(view, Ref(*NAMESPACES, "", "default"), None, obj("default"))
    assert api in work(view, service, None, held)
    assert api in work(view, service, held, None)
    assert api in work(view, slices, obj("kubernetes"), None)
    assert api not in work(view, SERVICE, None, obj("s", spec={}))


def test_budgets_are_counted_anew_with_their_pods_and_what_wants_them() -> None:
    ours, other = Ref(*BUDGETS, "default", "ours"), Ref(*BUDGETS, "default", "other")
    view = world(
        (ours, obj("ours", spec={"selector": {"matchLabels": {"app": "a"}}})),
        (other, obj("other", spec={"selector": {"matchLabels": {"app": "b"}}})),
        (Ref(*BUDGETS, "elsewhere", "far"), obj("far", spec={"selector": {}})),
    )
    assert ("budget", "ours") in work(view, ours, None, view.get(ours))
    pod = obj("p", spec={})
    pod["metadata"]["labels"] = {"app": "a"}
    assert {name for planner, name in work(view, POD, None, pod) if planner == "budget"} == {"ours"}
    assert {name for planner, name in work(view, POD, pod, None) if planner == "budget"} == {"ours"}
    scaled = work(view, DEPLOYMENT, None, obj("d", spec={}))
    assert {name for planner, name in scaled if planner == "budget"} == {"ours", "other"}


def test_what_daemons_go_by_makes_their_sets_look() -> None:
    view = world((Ref(*DAEMON_SETS, "default", "log"), obj("log")))
    node = Ref(*NODES, "", "n1")
    before = obj("n1", spec={}, status={"conditions": []})
    assert ("daemonset", "log") in work(view, node, None, before)
    heard = {**before, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    assert ("daemonset", "log") not in work(view, node, before, heard)
    closed = {**heard, "spec": {"unschedulable": True}}
    assert ("daemonset", "log") in work(view, node, heard, closed)
    assert ("daemonset", "log") in work(view, node, closed, None)
    pod = owned("p", "DaemonSet", "log")
    assert ("daemonset", "log") in work(view, Ref(*PODS, "default", "p"), None, pod)
    assert ("replicaset", "log") not in work(view, Ref(*PODS, "default", "p"), None, pod)
    revision = owned("log-1", "DaemonSet", "log")
    gone = work(view, Ref(*CONTROLLER_REVISIONS, "default", "log-1"), revision, None)
    assert ("daemonset", "log") in gone


def test_a_pod_of_a_job_is_counted_and_let_go() -> None:
    ref = Ref(*PODS, "default", "p")
    pod = owned("p", "Job", "work")
    assert work(world(), ref, None, pod) == {("schedule", "p"), ("job", "work")}
    pod["metadata"]["finalizers"] = ["batch.kubernetes.io/job-tracking"]
    assert ("job-pod", "p") in work(world(), ref, None, pod)
    assert ("job", "work") in work(world(), Ref(*JOBS, "default", "work"), None, obj("work"))


def test_a_name_that_is_free_again_is_told_to_its_set() -> None:
    view = world((Ref(*STATEFUL_SETS, "default", "web"), obj("web")))
    ref = Ref(*PODS, "default", "web-0")
    assert ("statefulset", "web") in work(view, ref, obj("web-0", spec={}), None)
    assert ("statefulset", "web") in work(view, ref, None, owned("web-0", "StatefulSet", "web"))


def test_a_job_is_told_to_what_makes_it() -> None:
    assert work(world(), Ref(*JOBS, "default", "tick-1"), None, owned("tick-1", "CronJob", "tick")) == {
        ("job", "tick-1"),
        ("cronjob", "tick"),
    }
    assert work(world(), Ref(*CRON_JOBS, "default", "tick"), None, obj("tick")) == {("cronjob", "tick")}


def test_a_pod_that_nobody_controls_is_offered_to_whom_it_fits() -> None:
    spec = {"selector": {"matchLabels": {"app": "web"}}}
    view = world(
        (Ref(*REPLICA_SETS, "default", "rs"), obj("rs", spec=spec)),
        (Ref(*DAEMON_SETS, "default", "ds"), obj("ds", spec=spec)),
        (Ref(*STATEFUL_SETS, "default", "web"), obj("web", spec=spec)),
        (
            Ref(*REPLICA_SETS, "default", "other"),
            obj("other", spec={"selector": {"matchLabels": {"app": "x"}}}),
        ),
    )
    loose = obj("web-0", spec={})
    loose["metadata"]["labels"] = {"app": "web"}
    assert work(view, Ref(*PODS, "default", "web-0"), None, loose) == {
        ("schedule", "web-0"),
        ("replicaset", "rs"),
        ("daemonset", "ds"),
        ("statefulset", "web"),
    }


def test_a_deleted_service_takes_its_endpoints_along() -> None:
    service = obj("s", spec={})
    assert ("orphaned-endpoints", "s") in work(world((SERVICE, service)), SERVICE, service, None)
    assert ("orphaned-endpoints", "s") not in work(world(), SERVICE, service, service)


def test_a_pod_with_readiness_gates_is_looked_at_whoever_writes_its_conditions() -> None:
    ref = Ref(*PODS, "default", "web")
    gated = obj("web", spec={"readinessGates": [{"conditionType": "example.com/open"}]})
    assert ("readiness", "web") in work(world(), ref, obj("web", spec={}), gated)
    assert ("readiness", "web") not in work(world(), ref, gated, obj("web", spec={}))


def test_what_matters_to_those_who_wait_for_a_place_near_others() -> None:
    ref = Ref(*PODS, "default", "db")
    unplaced, placed = obj("db", spec={}), obj("db", spec={"nodeName": "n1"}, status={"podIP": "10.0.0.1"})
    ready = {**placed, "status": {**placed["status"], "phase": "Running"}}
    relabelled = {**placed, "metadata": {**placed["metadata"], "labels": {"a": "b"}}}
    ending = {**placed, "metadata": {**placed["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}

    def matters(old: Json | None, new: Json | None, ref: Ref = ref) -> bool:
        return moves(Change(ref, old, new, 1))

    assert matters(unplaced, placed)
    assert matters(None, placed)
    assert matters(placed, relabelled)
    assert matters(placed, ending)
    assert not matters(None, unplaced)
    assert not matters(placed, ready)
    assert not matters(placed, None)  # then all that wait are looked at
    assert not matters(unplaced, placed, Ref(*SERVICES, "default", "db"))
