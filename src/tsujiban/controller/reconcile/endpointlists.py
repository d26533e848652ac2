"""Endpoints beside EndpointSlices: dashboards, charts and older client libraries still read the first.

Of a service with a selector they are written after its slices, of one without they are the user's, and slices
are written after them; so whoever reads either sees the same. Nothing of the cluster itself reads them.

Source: Kubernetes documentation, "Service" (Endpoints, over-capacity), "EndpointSlices" (mirroring).
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

from tsujiban.controller.loop import Change
from tsujiban.controller.reconcile import apiservice
from tsujiban.controller.reconcile.actions import Action, Create, Delete, Update
from tsujiban.controller.world import (
    ENDPOINT_SLICES,
    ENDPOINTS,
    SERVICE_LABEL,
    SERVICES,
    Json,
    Ref,
    World,
    labels_of,
    owner_reference,
    with_metadata,
)

MANAGED, OURS = "endpoints.kubernetes.io/managed-by", "endpoint-controller"
HEADLESS = "service.kubernetes.io/headless"
OVER = "endpoints.kubernetes.io/over-capacity"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"  # of old, leaders were elected by Endpoints
SLICE_MANAGED, MIRROR = "endpointslice.kubernetes.io/managed-by", "endpointslicemirroring-controller.k8s.io"
MOST = 1000  # addresses, as in Kubernetes: those who follow them read all of them at each change


def concerned(change: Change) -> Iterator[Ref]:
    """The services whose lists a change may change."""
    ref = change.ref
    if ref[:2] in (SERVICES, ENDPOINTS):
        yield Ref(*SERVICES, ref.namespace, ref.name)
    elif ref[:2] == ENDPOINT_SLICES:
        for version in (change.old, change.new):
            service = ((version or {}).get("metadata") or {}).get("labels", {}).get(SERVICE_LABEL)
            if service:
                yield Ref(*SERVICES, ref.namespace, service)


def plan(world: World, ref: Ref) -> list[Action]:
    """What to write for one Service."""
    service = world.get(ref)
    listed = Ref(*ENDPOINTS, ref.namespace, ref.name)
    held = world.get(listed)
    slices = world.slices_of(ref)
    if service is not None and _written_here(ref, service):
        return [*_list(listed, held, ref, service, slices), *_without_mirrors(slices)]
    if service is None:
        mirrors = _without_mirrors(slices)  # it was deleted while nobody led, if there are any
        ours = held is not None and labels_of(held).get(MANAGED) == OURS
        return [*(orphaned(world, ref) if ours or mirrors else ()), *mirrors]
    return _mirrors(world, ref, held, slices)


def orphaned(world: World, ref: Ref) -> list[Action]:
    """The list of a service that has been deleted goes, too, whoever wrote it. One that was there before its
    service is left alone."""
    listed = Ref(*ENDPOINTS, ref.namespace, ref.name)
    held = world.get(listed)
    if held is None or world.get(ref) is not None:
        return []
    return [Delete(listed, held["metadata"]["uid"])]


def _written_here(ref: Ref, service: Json) -> bool:
    """Whether the addresses are the control plane's to say. An external name has none."""
    return bool(service["spec"].get("selector") or ref == apiservice.SERVICE)


def _is_mirror(obj: Json) -> bool:
    return labels_of(obj).get(SLICE_MANAGED) == MIRROR


# ---------------------------------------------------------------- slices to a list


def _list(
    ref: Ref, held: Json | None, of: Ref, service: Json, slices: list[tuple[Ref, Json]]
) -> list[Action]:
    subsets, all_of_them = _subsets(service, [one for _, one in slices if not _is_mirror(one)])
    labels = {**labels_of(service), MANAGED: OURS}
    if service["spec"].get("clusterIP") == "None":
        labels[HEADLESS] = ""
    if of == apiservice.SERVICE:
        labels[SKIP] = "true"
    body = {"subsets": subsets} if subsets else {}
    over = None if all_of_them else {OVER: "truncated"}
    if held is None:
        metadata = {"name": ref.name, "namespace": ref.namespace, "labels": labels}
        head = {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": metadata | ({"annotations": over} if over else {}),
        }
        return [Create(ref, {**head, **body})]
    kept = {k: v for k, v in (held["metadata"].get("annotations") or {}).items() if k != OVER}
    annotations = {**kept, **(over or {})}
    now = (held.get("subsets") or [], labels_of(held), held["metadata"].get("annotations") or {})
    if now == (subsets, labels, annotations):
        return []
    rest = {name: value for name, value in held.items() if name != "subsets"}
    return [Update(ref, {**with_metadata(rest, labels=labels, annotations=annotations or None), **body})]


def _subsets(service: Json, slices: list[Json]) -> tuple[list[Json], bool]:
    """What the list says, and whether that is all there is to say."""
    published = bool(service["spec"].get("publishNotReadyAddresses"))
    subsets: dict[str, Json] = {}
    room, whole = MOST, True
    for ready in (True, False):  # those that serve go before those that do not, when there is no room
        for one in slices:
            ports = [
                {k: v for k, v in port.items() if v not in ("", None)} for port in one.get("ports") or ()
            ]
            for endpoint in one.get("endpoints") or ():
                conditions = endpoint.get("conditions") or {}
                if conditions.get("terminating") and not published:
                    continue
                if (published or conditions.get("ready") is not False) is not ready:
                    continue
                found = [_address(text, endpoint) for text in endpoint.get("addresses") or ()]
                whole = whole and len(found) <= room
                found = found[:room]
                room -= len(found)
                subset = subsets.setdefault(repr(ports), {"ports": ports} if ports else {})
                subset.setdefault("addresses" if ready else "notReadyAddresses", []).extend(found)
    return [
        dict(sorted(subsets[key].items())) for key in sorted(subsets) if _has_addresses(subsets[key])
    ], whole


def _has_addresses(subset: Json) -> bool:
    return bool(subset.get("addresses") or subset.get("notReadyAddresses"))


def _address(text: str, endpoint: Json) -> Json:
    found: Json = {"ip": text}
    for name in ("hostname", "nodeName", "targetRef"):
        if endpoint.get(name):
            found[name] = endpoint[name]
    return found


# ---------------------------------------------------------------- a list to slices


def _without_mirrors(slices: list[tuple[Ref, Json]]) -> list[Action]:
    return [Delete(ref) for ref, obj in slices if _is_mirror(obj)]


def _mirrors(world: World, of: Ref, held: Json | None, slices: list[tuple[Ref, Json]]) -> list[Action]:
    if (
        held is None
        or labels_of(held).get(SKIP) == "true"
        or LEADER in (held["metadata"].get("annotations") or {})
    ):
        return _without_mirrors(slices)
    bodies = list(_bodies(held))
    actions: list[Action] = []
    wanted: set[Ref] = set()
    passed = {k: v for k, v in labels_of(held).items() if k not in (MANAGED, SERVICE_LABEL, SLICE_MANAGED)}
    labels = {**passed, SERVICE_LABEL: of.name, SLICE_MANAGED: MIRROR}
    for index, body in enumerate(bodies):
        ref = Ref(*ENDPOINT_SLICES, of.namespace, f"{of.name}-mirror-{index}")
        wanted.add(ref)
        old = world.get(ref)
        if old is None:
            metadata = {
                "name": ref.name,
                "namespace": ref.namespace,
                "labels": labels,
                "ownerReferences": [owner_reference(held)],
            }
            head = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata}
            actions.append(Create(ref, {**head, **body}))
        elif {key: old.get(key) for key in body} != body or labels_of(old) != labels:
            owners = [owner_reference(held)]
            actions.append(Update(ref, {**with_metadata(old, labels=labels, ownerReferences=owners), **body}))
    return [*actions, *(action for action in _without_mirrors(slices) if action.ref not in wanted)]


def _bodies(held: Json) -> Iterator[Json]:
    """A slice for each subset and family of addresses that it has."""
    for subset in held.get("subsets") or ():
        families: dict[str, list[Json]] = {}
        room = MOST
        for name, ready in (("addresses", True), ("notReadyAddresses", False)):
            listed = (subset.get(name) or ())[:room]
            room -= len(listed)
            for address in listed:
                family = f"IPv{ip_address(address['ip']).version}"
                families.setdefault(family, []).append(_endpoint(address, ready=ready))
        for family in sorted(families):
            ports = [{"name": "", "protocol": "TCP", **port} for port in subset.get("ports") or ()]
            yield {"addressType": family, "endpoints": families[family], "ports": ports}


def _endpoint(address: Json, *, ready: bool) -> Json:
    found: dict[str, Any] = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    for name in ("hostname", "nodeName", "targetRef"):
        if address.get(name):
            found[name] = address[name]
    return found
