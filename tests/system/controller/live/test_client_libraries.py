"""Client libraries, each with its own way to list, watch, write, and reach into pods."""

from __future__ import annotations

import queue
import socket
import threading
from typing import Any

import httpx2
import kr8s
import lightkube
import pytest
from kr8s.objects import ConfigMap as Kr8sConfigMap
from kr8s.objects import Pod as Kr8sPod
from kubernetes import client as official
from kubernetes import config as official_config
from kubernetes import dynamic
from kubernetes.informer import SharedInformer
from kubernetes.stream import portforward, stream
from kubernetes.watch import Watch
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap
from lightkube.resources.core_v1 import Pod as LightPod
from tests.support.wait import PATIENCE
from tests.system.controller.live.conftest import Kubectl

from tsujiban.local.cluster import LocalCluster
from tsujiban.local.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


# ---------------------------------------------------------------- the official one


@pytest.fixture(scope="module")
def core(pods: Kubectl) -> official.CoreV1Api:
    made = official.Configuration()
    official_config.load_kube_config(str(pods.kubeconfig), client_configuration=made)
    return official.CoreV1Api(official.ApiClient(made))


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_official_lists_in_pages_writes_and_resumes_a_watch(core: official.CoreV1Api) -> None:
    for number in range(5):
        core.create_namespaced_config_map("default", config_map(f"page-{number}", n=str(number)))
    first = core.list_namespaced_config_map("default", limit=2)
    assert len(first.items) == 2
    rest = core.list_namespaced_config_map("default", limit=100, _continue=first.metadata._continue)
    names = [item.metadata.name for item in (*first.items, *rest.items)]
    assert [name for name in names if name.startswith("page-")] == [f"page-{n}" for n in range(5)]
    since = rest.metadata.resource_version
    core.patch_namespaced_config_map("page-0", "default", {"data": {"n": "changed"}})
    core.delete_namespaced_config_map("page-1", "default")
    seen = watched(core, since, 2)
    assert [(kind, name) for kind, name, _ in seen] == [("MODIFIED", "page-0"), ("DELETED", "page-1")]
    core.delete_namespaced_config_map("page-2", "default")
    assert [(kind, name) for kind, name, _ in watched(core, seen[-1][2], 1)] == [("DELETED", "page-2")]
    core.delete_collection_namespaced_config_map("default", field_selector="metadata.name=page-3")
    with pytest.raises(official.ApiException) as gone:
        core.read_namespaced_config_map("page-3", "default")
    assert gone.value.status == 404


def watched(core: official.CoreV1Api, since: str, number: int) -> list[tuple[str, str, str]]:
    watch, found = Watch(), []
    for event in watch.stream(
        core.list_namespaced_config_map,
        "default",
        resource_version=since,
        timeout_seconds=round(PATIENCE),
    ):
        obj = event["object"].metadata
        found.append((event["type"], obj.name, obj.resource_version))
        if len(found) == number:
            watch.stop()
    return found


def test_official_finds_no_fault_with_what_the_control_plane_writes(core: official.CoreV1Api) -> None:
    """It judges answers as well: a field that is required and not there is an exception."""
    client = core.api_client
    policy, leases = official.PolicyV1Api(client), official.CoordinationV1Api(client)
    assert {node.metadata.name for node in core.list_node().items} == {"node-1", "node-2"}
    assert {pod.metadata.name for pod in core.list_namespaced_pod("default").items} >= {"talker", "web"}
    assert core.list_service_for_all_namespaces().items
    assert core.list_event_for_all_namespaces().items
    assert leases.list_lease_for_all_namespaces().items
    assert official.DiscoveryV1Api(client).list_endpoint_slice_for_all_namespaces().items
    assert official.RbacAuthorizationV1Api(client).list_cluster_role().items
    budget = {"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}}
    policy.create_namespaced_pod_disruption_budget("default", budget)

    def counted() -> bool:
        found = policy.read_namespaced_pod_disruption_budget("b", "default").status
        return found is not None and found.observed_generation == 1

    assert until(counted, PATIENCE)
    policy.delete_namespaced_pod_disruption_budget("b", "default")


def test_officials_informer_keeps_a_true_copy(core: official.CoreV1Api) -> None:
    informer = SharedInformer(core.list_namespaced_config_map, namespace="default")
    informer.start()
    try:
        core.create_namespaced_config_map("default", config_map("informed", step="1"))
        assert until(lambda: step(informer) == "1", PATIENCE)
        core.patch_namespaced_config_map("informed", "default", {"data": {"step": "2"}})
        assert until(lambda: step(informer) == "2", PATIENCE)
        core.delete_namespaced_config_map("informed", "default")
        assert until(lambda: step(informer) == "", PATIENCE)
    finally:
        informer.stop()


def step(informer: SharedInformer) -> str:
    found = informer.cache.get_by_key("default/informed")
    return "" if found is None else str(found.data["step"])


def test_officials_server_side_apply(core: official.CoreV1Api) -> None:
    resource = dynamic.DynamicClient(core.api_client).resources.get(api_version="v1", kind="ConfigMap")
    body = config_map("applied", colour="blue")
    resource.server_side_apply(namespace="default", body=body, field_manager="one")
    with pytest.raises(dynamic.exceptions.ConflictError):
        resource.server_side_apply(
            namespace="default", body=config_map("applied", colour="red"), field_manager="two"
        )
    resource.delete(name="applied", namespace="default")


def test_official_reaches_into_pods(core: official.CoreV1Api) -> None:
    assert "line" in core.read_namespaced_pod_log("talker", "default", tail_lines=1)
    said = stream(
        core.connect_get_namespaced_pod_exec,
        "talker",
        "default",
        command=["sh", "-c", "echo out; exit 3"],
        stdout=True,
        stderr=True,
        _preload_content=False,
    )
    said.run_forever(timeout=PATIENCE)
    assert (said.read_stdout(), said.returncode) == ("out\n", 3)
    forward = portforward(core.connect_get_namespaced_pod_portforward, "web", "default", ports="8080")
    connection: socket.socket = forward.socket(8080)
    connection.setblocking(True)
    assert status_line(connection).startswith(b"HTTP/1.0 200")
    connection.close()


def status_line(connection: socket.socket) -> bytes:
    """The first line of an HTTP answer; less when the connection ends before."""
    connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
    with connection.makefile("rb") as answer:
        return bytes(answer.readline())


# ---------------------------------------------------------------- lightkube


@pytest.fixture(scope="module")
def light(live: LocalCluster, pods: Kubectl) -> lightkube.Client:
    config = lightkube.KubeConfig.from_file(str(pods.kubeconfig))
    return lightkube.Client(
        config=config,
        namespace="default",
        field_manager="lightkube",
        trust_env=False,
        timeout=httpx2.Timeout(PATIENCE),
    )


def test_lightkube_writes_and_watches(light: lightkube.Client) -> None:
    events: queue.Queue[tuple[str, str]] = queue.Queue()
    listed = light.list(ConfigMap)
    assert "lit" not in [obj.metadata.name for obj in listed if obj.metadata]  # a list is read as it comes
    version = listed.resourceVersion

    def follow() -> None:
        for kind, obj in light.watch(ConfigMap, resource_version=version, server_timeout=round(PATIENCE)):
            events.put((kind, str(obj.metadata.name if obj.metadata else "")))
            if kind == "DELETED":
                return

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    light.create(ConfigMap(metadata=ObjectMeta(name="lit"), data={"a": "1"}))
    light.patch(ConfigMap, "lit", {"data": {"b": "2"}})
    made = ConfigMap(metadata=ObjectMeta(name="lit"), data={"c": "3"})
    applied = light.apply(made)
    assert applied.data == {"a": "1", "b": "2", "c": "3"}
    light.delete(ConfigMap, "lit")
    follower.join(PATIENCE)
    seen = [events.get(timeout=PATIENCE) for _ in range(4)]
    assert seen == [("ADDED", "lit"), ("MODIFIED", "lit"), ("MODIFIED", "lit"), ("DELETED", "lit")]
    with pytest.raises(lightkube.ApiError) as gone:
        light.get(ConfigMap, "lit")
    assert gone.value.status.code == 404


def test_lightkube_reaches_into_pods(light: lightkube.Client) -> None:
    assert any("line" in line for line in light.log("talker", tail_lines=2))
    light.wait(LightPod, "talker", for_conditions=["Ready"])
    said = light.exec("talker", command=["tr", "a-z", "A-Z"], stdin="hello", stdout=True, stderr=True)
    assert said.stdout == "HELLO"


# ---------------------------------------------------------------- kr8s


@pytest.fixture(scope="module")
def kr(pods: Kubectl) -> Any:
    return kr8s.api(kubeconfig=str(pods.kubeconfig))


def test_kr8s_writes_and_watches(kr: Any) -> None:
    made = Kr8sConfigMap(config_map("kr8s", a="1"), api=kr)
    made.create()
    made.patch({"data": {"b": "2"}})
    made.refresh()
    assert dict(made.data) == {"a": "1", "b": "2"}
    made.label(tier="front")
    assert [obj.name for obj in kr.get("configmaps", label_selector={"tier": "front"})] == ["kr8s"]
    seen = next(iter(kr.watch("configmaps", label_selector={"tier": "front"})))
    assert (seen[0], seen[1].name) == ("ADDED", "kr8s")
    made.delete()
    assert until(lambda: not made.exists(), PATIENCE)


def test_kr8s_reaches_into_pods(kr: Any) -> None:
    pod = Kr8sPod.get("talker", namespace="default", api=kr)
    assert any("line" in line for line in pod.logs(tail_lines=2))
    assert pod.exec(["sh", "-c", "echo out"]).stdout == b"out\n"
    web = Kr8sPod.get("web", namespace="default", api=kr)
    with web.portforward(remote_port=8080, local_port="auto") as port:

        def answers() -> bool:
            try:
                with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
                    return status_line(connection).startswith(b"HTTP/1.0 200")
            except ConnectionError:  # its listener is not there yet
                return False

        assert until(answers, PATIENCE)
