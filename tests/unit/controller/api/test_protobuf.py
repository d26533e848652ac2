from __future__ import annotations

import httpx
import pytest

from tsujiban.controller.api import protobuf
from tsujiban.controller.api.errors import ApiError
from tsujiban.controller.api.gnostic import varint
from tsujiban.resources import shape
from tsujiban.resources.kinds.apps import Deployment
from tsujiban.resources.registry import kind_for

MAPS = "/api/v1/namespaces/default/configmaps"


def field(number: int, value: bytes | str | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def body(api_version: str, kind: str, *fields: bytes) -> bytes:
    head = field(1, api_version) + field(2, kind)
    return b"k8s\0" + field(1, head) + field(2, b"".join(fields)) + field(3, "") + field(4, "")


CONFIG = body(
    "v1",
    "ConfigMap",
    field(1, field(1, "a") + field(2, "") + field(3, "default") + field(7, 0) + field(8, b"")),
    field(2, field(1, "k") + field(2, "v")),
    field(3, field(1, "bin") + field(2, b"\0\xff")),
)


def test_texts_maps_and_bytes() -> None:
    found = protobuf.decode(CONFIG)
    assert found["data"] == {"k": "v"}
    assert found["binaryData"] == {"bin": "AP8="}
    assert "creationTimestamp" not in found["metadata"]  # Go's zero time
    clean = protobuf.without_zeros(found, kind_for("v1", "ConfigMap").type)
    assert clean["metadata"] == {"name": "a", "namespace": "default"}


def test_a_zero_that_was_set_stays() -> None:
    """Go cannot tell us an unset int from a zero one but by pointers, which our optional fields are."""
    spec = field(1, 0) + field(5, 0) + field(7, 0)
    found = protobuf.decode(body("apps/v1", "Deployment", field(2, spec)))
    assert protobuf.without_zeros(found, Deployment)["spec"] == {"replicas": 0}


def test_what_json_writes_as_one_value() -> None:
    port = field(1, field(3, 80) + field(4, field(1, 1) + field(2, 0) + field(3, "web")))
    service = protobuf.decode(body("v1", "Service", field(2, port)))
    assert service["spec"]["ports"] == [{"port": 80, "targetPort": "web"}]
    holder = field(1, "me") + field(4, field(1, 1_700_000_000) + field(2, 5_000))
    lease = protobuf.decode(body("coordination.k8s.io/v1", "Lease", field(2, holder)))
    assert lease["spec"] == {"holderIdentity": "me", "renewTime": "2023-11-14T22:13:20.000005Z"}
    volume = field(1, "v") + field(2, field(19, field(1, field(1, "config"))))
    pod = protobuf.decode(body("v1", "Pod", field(2, field(1, volume))))
    assert pod["spec"]["volumes"] == [{"name": "v", "configMap": {"name": "config"}}]


def test_an_ingress_and_endpoints() -> None:
    port = field(1, "") + field(2, 80)
    backend = field(4, field(1, "web") + field(2, port))
    path = field(1, "/") + field(3, "Exact") + field(2, backend)
    rule = field(1, "a.example") + field(2, field(1, field(1, path)))
    ingress = protobuf.decode(body("networking.k8s.io/v1", "Ingress", field(2, field(3, rule))))
    kind = kind_for("networking.k8s.io/v1", "Ingress").type
    service = {"name": "web", "port": {"number": 80}}
    (found,) = protobuf.without_zeros(ingress, kind)["spec"]["rules"]
    (route,) = found["http"]["paths"]
    assert (found["host"], route["pathType"], route["backend"]) == (
        "a.example",
        "Exact",
        {"service": service},
    )
    subset = field(1, field(1, "10.0.0.1")) + field(3, field(2, 80))
    listed = protobuf.decode(body("v1", "Endpoints", field(2, subset)))
    assert listed["subsets"] == [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]


def test_negative_numbers() -> None:
    options = protobuf.decode(body("v1", "DeleteOptions", field(1, (1 << 64) - 1), field(4, "Orphan")))
    assert options["gracePeriodSeconds"] == -1
    assert options["propagationPolicy"] == "Orphan"


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"{}",
        b"k8s\0",
        body("v1", "Nonsense"),
        body("projectcalico.org/v3", "NetworkPolicy"),
        CONFIG[:-30],
        body("v1", "ConfigMap", b"\xff" * 20),
        body("v1", "ConfigMap", field(1, 7)),
        body("v1", "ConfigMap", field(1, field(1, b"\xff"))),
        body("v1", "ConfigMap", b"\x0b"),
        body("coordination.k8s.io/v1", "Lease", field(2, field(4, field(1, (1 << 63) - 1)))),
    ],
)
def test_bad_bodies(bad: bytes) -> None:
    with pytest.raises(ApiError) as refused:
        protobuf.decode(bad)
    assert refused.value.code == 400


def test_every_message_that_is_named_is_known() -> None:
    messages = protobuf._messages()
    for fields in messages.values():
        for found in fields.values():
            assert found.of in messages or found.of in protobuf._SPECIAL or len(found.of) == 1


def test_what_is_inlined_is_no_field_of_its_own() -> None:
    for kind in ("Pod", "ConfigMap", "Service"):
        assert not protobuf._INLINE & shape.fields(kind_for("v1", kind).type).keys()


@pytest.mark.anyio
async def test_an_object_is_made_of_it(admin: httpx.AsyncClient) -> None:
    headers = {"content-type": protobuf.MEDIA_TYPE, "accept": f"{protobuf.MEDIA_TYPE},application/json"}
    made = await admin.post(MAPS, content=CONFIG, headers=headers)
    assert made.status_code == 201
    assert made.headers["content-type"] == "application/json"
    assert made.json()["data"] == {"k": "v"}
    gone = await admin.request("DELETE", f"{MAPS}/a", content=body("v1", "DeleteOptions"), headers=headers)
    assert gone.json()["status"] == "Success"
