from __future__ import annotations

from typing import Any

import pytest

from tsujiban.controller.api import cells


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (187, "3m7s"),
        (1500, "25m"),
        (3 * 3600, "3h"),
        (5 * 3600 + 180, "5h3m"),
        (23 * 3600, "23h"),
        (4 * 86400 + 7200, "4d2h"),
        (30 * 86400, "30d"),
    ],
)
def test_duration(seconds: int, text: str) -> None:
    assert cells.duration(seconds) == text


def pod(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "a"},
        "spec": {"containers": [{}, {}], "initContainers": [{}, {}]},
        "status": {"phase": "Running", **status},
    }


def state(which: str, **said: Any) -> dict[str, Any]:
    return {"state": {which: said}}


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ({}, "Running"),
        ({"reason": "Evicted", "phase": "Failed"}, "Evicted"),
        ({"containerStatuses": [{}, state("waiting", reason="CrashLoopBackOff")]}, "CrashLoopBackOff"),
        ({"containerStatuses": [state("terminated", exitCode=3)]}, "ExitCode:3"),
        ({"containerStatuses": [state("terminated", exitCode=137, signal=9)]}, "Signal:9"),
        ({"initContainerStatuses": [state("running"), {}]}, "Init:0/2"),
        ({"initContainerStatuses": [state("terminated", exitCode=0), state("running")]}, "Init:1/2"),
        ({"initContainerStatuses": [state("terminated", exitCode=1, reason="Error")]}, "Init:Error"),
        ({"initContainerStatuses": [state("waiting", reason="PodInitializing")]}, "Init:0/2"),
        ({"initContainerStatuses": [state("terminated", exitCode=0)]}, "Running"),
    ],
)
def test_what_a_pod_is_at(status: dict[str, Any], shown: str) -> None:
    assert cells.pod_status(pod(**status)) == shown


def test_a_pod_of_which_one_container_has_done_its_work() -> None:
    statuses = [state("terminated", reason="Completed"), {"ready": True, **state("running")}]
    assert cells.pod_status(pod(containerStatuses=statuses)) == "NotReady"
    ready = [{"type": "Ready", "status": "True"}]
    assert cells.pod_status(pod(containerStatuses=statuses, conditions=ready)) == "Running"
    assert cells.pod_status(pod(containerStatuses=statuses[:1])) == "Completed"


def test_a_pod_that_ends() -> None:
    ending = {"metadata": {"deletionTimestamp": "x"}}
    assert cells.pod_status(ending) == "Terminating"
    assert cells.pod_status({**ending, "status": {"phase": "Succeeded"}}) == "Succeeded"


def test_ready_and_restarts() -> None:
    ended = {"lastState": {"terminated": {"finishedAt": "2020-01-01T00:00:00Z"}}}
    found = pod(containerStatuses=[{"ready": True, "restartCount": 2, **ended}, {"restartCount": 1}])
    assert cells.pod_ready(found) == "1/2"
    restarts, _, ago = cells.pod_restarts(found).partition(" ")
    assert restarts == "3"
    assert ago.startswith("(")
    assert ago.endswith("d ago)")
    assert cells.pod_restarts(pod()) == "0"


def test_gates() -> None:
    open_one = [{"type": "a", "status": "True"}, {"type": "b", "status": "False"}]
    gates = [{"conditionType": "a"}, {"conditionType": "b"}]
    assert cells.pod_gates({"spec": {"readinessGates": gates}, "status": {"conditions": open_one}}) == "1/2"
    assert cells.pod_gates({}) == ""


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"matchLabels": {"b": "c", "a": "b"}}, "a=b,b=c"),
        ({"b": "c", "a": "b"}, "a=b,b=c"),
        ({"matchExpressions": [{"key": "c", "operator": "In", "values": ["e", "d"]}]}, "c in (d,e)"),
        ({"matchExpressions": [{"key": "c", "operator": "NotIn", "values": ["d"]}]}, "c notin (d)"),
        (
            {"matchLabels": {"b": "c"}, "matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]},
            "!a,b=c",
        ),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, "a"),
        ({"matchLabels": {}}, ""),
        ({}, ""),
        ("app == 'a'", "app == 'a'"),
    ],
)
def test_selector(given: Any, shown: str) -> None:
    assert cells.selector("spec.selector")({"spec": {"selector": given}}) == shown


def test_a_node() -> None:
    ready: dict[str, Any] = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    assert cells.node_status(ready) == "Ready"
    assert cells.node_status({**ready, "spec": {"unschedulable": True}}) == "Ready,SchedulingDisabled"
    assert cells.node_status({}) == "Unknown"
    labels = {"node-role.kubernetes.io/worker": "", "kubernetes.io/role": "edge", "other": "x"}
    assert cells.node_roles({"metadata": {"labels": labels}}) == "edge,worker"
    assert cells.node_info("osImage")({"status": {"nodeInfo": {"osImage": "Debian"}}}) == "Debian"
    assert cells.node_info("osImage")({}) == "<unknown>"
    addresses = [{"type": "Hostname", "address": "n1"}, {"type": "InternalIP", "address": "192.0.2.1"}]
    assert cells.node_address("InternalIP")({"status": {"addresses": addresses}}) == "192.0.2.1"
    assert cells.node_address("ExternalIP")({"status": {"addresses": addresses}}) == ""


@pytest.mark.parametrize(
    ("spec", "external"),
    [
        ({}, ""),
        ({"externalIPs": ["192.0.2.1", "192.0.2.2"]}, "192.0.2.1,192.0.2.2"),
        ({"type": "ExternalName", "externalName": "example.org"}, "example.org"),
        ({"type": "LoadBalancer"}, "<pending>"),
    ],
)
def test_where_a_service_is_reached(spec: dict[str, Any], external: str) -> None:
    assert cells.service_external({"spec": spec}) == external
    given = {"spec": {**spec, "ports": [{"port": 80, "nodePort": 30080}, {"port": 53, "protocol": "UDP"}]}}
    assert cells.service_ports(given) == "80:30080/TCP,53/UDP"


def test_a_slice_shows_its_first() -> None:
    addresses = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]
    found = {"endpoints": [{"addresses": [a]} for a in addresses], "ports": [{"port": 80}, {}]}
    assert cells.slice_endpoints(found) == "10.0.0.1,10.0.0.2,10.0.0.3 + 1 more..."
    assert cells.slice_ports(found) == "80,*"
    assert cells.slice_ports({}) == cells.slice_endpoints({}) == "<unset>"


def test_endpoints_show_their_first() -> None:
    subset = {"addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "ports": [{"port": 80}, {"port": 81}]}
    shown = cells.endpoint_list({"subsets": [subset]})
    assert shown == "10.0.0.1:80,[fd00::1]:80,10.0.0.1:81 + 1 more..."
    assert cells.endpoint_list({"subsets": [{"addresses": [{"ip": "10.0.0.1"}]}]}) == "10.0.0.1"
    assert cells.endpoint_list({}) == "<none>"


def test_an_ingress() -> None:
    spec = {"rules": [{"host": host} for host in ("a", "b", "c", "d")]}
    assert cells.ingress_hosts({"spec": spec}) == "a,b,c + 1 more..."
    assert cells.ingress_hosts({}) == "*"
    status = {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}, {"hostname": "x"}]}}
    assert cells.ingress_addresses({"status": status}) == "10.0.0.1,x"
    parameters = {"apiGroup": "k8s.example", "kind": "P", "name": "x"}
    assert cells.ingress_parameters({"spec": {"parameters": parameters}}) == "P.k8s.example/x"
    assert cells.ingress_parameters({}) == ""


def test_storage() -> None:
    assert cells.access_modes({"spec": {"accessModes": ["ReadWriteOnce", "x"]}}) == "RWO,x"
    assert cells.volume_claim({"spec": {"claimRef": {"namespace": "shop", "name": "data"}}}) == "shop/data"
    assert cells.volume_claim({}) == ""
    assert cells.or_unset("spec.a")({}) == "<unset>"


def test_a_job() -> None:
    def job(*types: str) -> dict[str, Any]:
        times = {"startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:03:07Z"}
        return {"status": {**times, "conditions": [{"type": one, "status": "True"} for one in types]}}

    assert cells.job_status(job()) == "Running"
    assert cells.job_status(job("SuccessCriteriaMet", "Complete")) == "Complete"
    assert cells.job_status(job("Failed")) == "Failed"
    assert cells.job_status(job("Suspended")) == "Suspended"
    assert cells.job_duration(job()) == "3m7s"
    assert cells.job_duration({}) == ""
    assert cells.cron_last({}) == ""


def test_who_is_bound() -> None:
    bound = {
        "roleRef": {"kind": "ClusterRole", "name": "view"},
        "subjects": [
            {"kind": "ServiceAccount", "name": "a", "namespace": "ns"},
            {"kind": "ServiceAccount", "name": "b", "namespace": "ns"},
            {"kind": "Group", "name": "g"},
        ],
    }
    assert cells.role_ref(bound) == "ClusterRole/view"
    assert cells.subjects("ServiceAccount")(bound) == "ns/a, ns/b"
    assert cells.subjects("Group")(bound) == "g"
    assert cells.subjects("User")(bound) == ""


@pytest.mark.parametrize(
    ("types", "certificate", "shown"),
    [
        ((), "", "Pending"),
        (("Approved",), "", "Approved"),
        (("Approved",), "x", "Approved,Issued"),
        (("Approved", "Failed"), "", "Approved,Failed"),
        (("Denied",), "", "Denied"),
    ],
)
def test_a_signing_request(types: tuple[str, ...], certificate: str, shown: str) -> None:
    status = {"conditions": [{"type": one, "status": "True"} for one in types], "certificate": certificate}
    assert cells.csr_condition({"status": status}) == shown
    assert cells.csr_duration({"spec": {"expirationSeconds": 3600}}) == "60m"


CORE = {
    "involvedObject": {"kind": "Pod", "name": "web", "fieldPath": "spec.containers{web}"},
    "message": " it runs\n",
    "source": {"component": "agent", "host": "n1"},
    "firstTimestamp": "2020-01-01T00:00:00Z",
    "lastTimestamp": "2020-01-01T00:00:00Z",
    "count": 3,
}
NEW = {
    "regarding": CORE["involvedObject"],
    "note": CORE["message"],
    "reportingController": "agent",
    "reportingInstance": "n1",
    "eventTime": "2020-01-01T00:00:00.123456Z",
    "series": {"count": 3, "lastObservedTime": "2020-01-01T00:00:00.123456Z"},
}


@pytest.mark.parametrize("event", [CORE, NEW])
def test_an_event_in_both_its_versions(event: dict[str, Any]) -> None:
    assert cells.event_object(event) == "pod/web"
    assert cells.event_part(event) == "spec.containers{web}"
    assert cells.event_source(event) == "agent, n1"
    assert cells.event_message(event) == "it runs"
    assert cells.event_count(event) == "3"
    assert cells.event_last(event).endswith("d")
    assert cells.event_first(event).endswith("d")
    assert cells.event_last({}) == "<unknown>"
