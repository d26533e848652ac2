"""Service and ready pods to EndpointSlices: one slice per service, rewritten when they change."""

from __future__ import annotations

from tsujiban.controller.reconcile.actions import Action, Create, Delete, Update
from tsujiban.controller.world import (
    ENDPOINT_SLICES,
    PODS,
    SERVICE_LABEL,
    Json,
    Ref,
    World,
    is_finished,
    is_ready,
    is_terminating,
    owner_reference,
    selects,
)


def plan(world: World, ref: Ref) -> list[Action]:
    """What to write for one Service. A service without a selector is left to its owner."""
    service = world.get(ref)
    if service is None or not service["spec"].get("selector"):
        return []
    selector = {"matchLabels": service["spec"]["selector"]}
    pods = [
        (pod_ref, pod)
        for pod_ref, pod in world.all(PODS, ref.namespace)
        if not is_finished(pod)
        and pod.get("status", {}).get("podIP")
        and selects(selector, pod["metadata"].get("labels", {}))
    ]
    actions: list[Action] = []
    wanted: set[Ref] = set()
    for index, (ports, members) in enumerate(_group(service, pods)):
        name = ref.name if index == 0 else f"{ref.name}-{index}"
        slice_ref = Ref(*ENDPOINT_SLICES, ref.namespace, name)
        body = {"addressType": "IPv4", "endpoints": [_endpoint(ref.name, p) for p in members], "ports": ports}
        wanted.add(slice_ref)
        old = world.get(slice_ref)
        if old is None:
            actions.append(Create(slice_ref, {**_head(service, ref, name), **body}))
        elif {key: old.get(key) for key in body} != body:
            actions.append(Update(slice_ref, {**old, **body}))
    owned = world.owned_by(service["metadata"]["uid"], ENDPOINT_SLICES)
    return [*actions, *(Delete(old_ref) for old_ref, _ in owned if old_ref not in wanted)]


def _group(service: Json, pods: list[tuple[Ref, Json]]) -> list[tuple[list[Json], list[tuple[Ref, Json]]]]:
    """Pods by what the service's ports mean at them: a named target port may differ from pod to pod."""
    groups: dict[str, tuple[list[Json], list[tuple[Ref, Json]]]] = {}
    for pod in sorted(pods, key=lambda item: item[0]):
        ports = [
            {"name": port.get("name", ""), "protocol": port.get("protocol", "TCP"), "port": number}
            for port in service["spec"].get("ports", ())
            if (number := _target(port, pod[1])) is not None
        ]
        groups.setdefault(repr(ports), (ports, []))[1].append(pod)
    return [groups[key] for key in sorted(groups)] or [([], [])]


def _target(port: Json, pod: Json) -> int | None:
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target
    for container in pod["spec"]["containers"]:
        for declared in container.get("ports", ()):
            same = declared.get("protocol", "TCP") == port.get("protocol", "TCP")
            if declared.get("name") == target and same:
                return int(declared["containerPort"])
    return None


def _endpoint(service: str, pod: tuple[Ref, Json]) -> Json:
    ref, obj = pod
    serving, terminating = is_ready(obj), is_terminating(obj)
    hostname = obj["spec"].get("hostname")
    named = {"hostname": hostname} if hostname and obj["spec"].get("subdomain") == service else {}
    return {
        **named,
        "addresses": [obj["status"]["podIP"]],
        "conditions": {
            "ready": serving and not terminating,
            "serving": serving,
            "terminating": terminating,
        },
        "nodeName": obj["spec"].get("nodeName"),
        "targetRef": {
            "kind": "Pod",
            "namespace": ref.namespace,
            "name": ref.name,
            "uid": obj["metadata"]["uid"],
        },
    }


def _head(service: Json, ref: Ref, name: str) -> Json:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": ref.namespace,
            "labels": {SERVICE_LABEL: ref.name},
            "ownerReferences": [owner_reference(service)],
        },
    }
