"""Service and pods to EndpointSlices: some for each set of ports, of which a change rewrites few.

Who reads them joins those of a service (`kubernetes.io/service-name`); `slicing` says which endpoint is
where.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from tsujiban.controller.reconcile.actions import Action, Create, Delete, Update
from tsujiban.controller.reconcile.slicing import distributed
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
    mappings,
    owner_reference,
    selects,
)

FAMILY = "IPv4"


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
    owned = dict(world.owned_by(service["metadata"]["uid"], ENDPOINT_SLICES))
    writes, further = _spread(owned, ref.name, _group(service, pods))
    if not writes and not further:
        further = [_body([], [])]
    spare = [one for one in owned if one not in writes]
    names = _free_names(world, ref)
    actions: list[Action] = []
    for body in further:
        if spare:
            # what is not needed any more is written anew: there is no moment between an end and a beginning
            writes[spare.pop(0)] = body
        else:
            name = next(names)
            new = Ref(*ENDPOINT_SLICES, ref.namespace, name)
            actions.append(Create(new, {**_head(service, ref, name), **body}))
    for one, body in writes.items():
        if {key: owned[one].get(key) for key in body} != body:
            actions.append(Update(one, {**owned[one], **body}))
    return [*actions, *(Delete(one) for one in spare)]


def _spread(
    owned: dict[Ref, Json], service: str, groups: list[tuple[list[Json], list[tuple[Ref, Json]]]]
) -> tuple[dict[Ref, Json], list[Json]]:
    """What slices that stay say, and what further ones say."""
    writes: dict[Ref, Json] = {}
    further: list[Json] = []
    for ports, members in groups:
        wanted = (FAMILY, ports)
        same = [one for one, held in owned.items() if (held.get("addressType"), held.get("ports")) == wanted]
        held = [mappings(owned[one].get("endpoints")) for one in same]
        spread = distributed(held, [_endpoint(service, pod) for pod in members])
        writes |= {one: _body(ports, now) for one, now in zip(same, spread, strict=False) if now}
        further += [_body(ports, now) for now in spread[len(same) :]]
    return writes, further


def _free_names(world: World, service: Ref) -> Iterator[str]:
    """Names of further slices. A dot is in no service's name, so none is another service's slice."""
    for index in count():
        name = f"{service.name}.{index}" if index else service.name
        if world.find(ENDPOINT_SLICES, service.namespace, name) is None:
            yield name


def _body(ports: list[Json], endpoints: list[Json]) -> Json:
    return {"addressType": FAMILY, "endpoints": endpoints, "ports": ports}


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
    return [groups[key] for key in sorted(groups)]


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
