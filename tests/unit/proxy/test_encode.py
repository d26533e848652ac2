from __future__ import annotations

from typing import Any

import msgspec
import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import base_pb2, extension_pb2
from google.protobuf import json_format, wrappers_pb2
from google.protobuf.message import Message
from tests.support.proxystate import POD_CIDRS, READS, identity, port, rule, state

from tsujiban.policy.program import Authentication, JwtRule, MtlsMode, Side
from tsujiban.proxy import inbound, outbound
from tsujiban.proxy.encode import Typed, digest, fill, sealed
from tsujiban.proxy.render import render
from tsujiban.proxy.resource import Kind, Resource
from tsujiban.proxy.site import SIDECAR, NodeSite, Site

WIDE = {
    "authentication": Authentication(mode=MtlsMode.PERMISSIVE, ports={80: MtlsMode.STRICT}),
    "jwt": (JwtRule(issuer="i", id="ra/0", jwks_uri="https://keys.example/"),),
    "named_ports": (("http", 6, 80),),
}


@pytest.mark.parametrize("site", [SIDECAR, NodeSite(namespace="/run/netns/a")])
@pytest.mark.parametrize("crowd", [Side(sets=("clients",)), Side()])
def test_all_that_is_rendered_is_what_the_library_makes_of_it(
    site: Site, crowd: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies: dict[tuple[Kind, str], Any] = {}

    def kept(self: Resource, kind: Kind, name: str, body: Any, **more: Any) -> None:
        bodies[kind, name] = msgspec.json.decode(msgspec.json.encode(body, enc_hook=list))
        before(self, kind, name, body, **more)

    before = Resource.__init__
    monkeypatch.setattr(Resource, "__init__", kept)
    for room in (inbound, outbound):  # what is sealed has no plain form to compare with
        monkeypatch.setattr(room, "sealed", dict)
    clients = Side(sets=("clients",), ports=port(1, 1023).ports)
    rules = (rule("r", src=clients, http=READS), rule("s", src=crowd, dst=port(80)))
    world = state(*rules, egress=(rule("e", dst=port(80)),), **WIDE)
    resources = render(world, "default/server", POD_CIDRS, site).resources
    seen = [one for listed in resources.values() for one in listed.values()]
    assert {kind for kind, listed in resources.items() if listed} == set(Kind) - {Kind.SECRET}
    for one in seen:
        message = one.message()
        assert message == json_format.ParseDict(bodies[one.kind, one.name], type(message)())
    who = identity("customer") if crowd.sets else "spiffe://t.example/ns/"
    assert any(who in str(one.message()) for one in seen)


def same(message: Message, body: dict[str, Any]) -> None:
    expected = json_format.ParseDict(body, type(message)())
    fill(message, body)
    assert message == expected


def test_bytes_enums_maps_and_empty_messages() -> None:
    same(base_pb2.DataSource(), {"inline_bytes": "AAE="})
    same(cluster_pb2.Cluster(), {"type": "EDS", "eds_cluster_config": {}, "connect_timeout": "0.5s"})
    same(base_pb2.Metadata(), {"filter_metadata": {"a": {"b": [1, {"c": True}]}}})
    assert not cluster_pb2.Cluster().HasField("eds_cluster_config")


def test_durations_and_wrappers() -> None:
    for duration in ("0s", "5s", "0.1s", "600s", "1.000000001s"):
        same(cluster_pb2.Cluster(), {"connect_timeout": duration})
    same(cluster_pb2.Cluster(), {"per_connection_buffer_limit_bytes": 0, "wait_for_warm_on_init": False})


def test_an_unknown_field_is_an_error_and_so_is_an_unknown_value() -> None:
    with pytest.raises(ValueError, match="Cluster has no field 'nmae'"):
        fill(cluster_pb2.Cluster(), {"nmae": "x"})
    with pytest.raises(KeyError):
        fill(cluster_pb2.Cluster(), {"type": "NO_SUCH"})


def test_what_stands_in_many_places_is_encoded_once() -> None:
    value = Typed({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "x"})
    messages = [extension_pb2.TypedExtensionConfig() for _ in range(2)]
    for one in messages:
        fill(one, {"name": "n", "typed_config": value})
    assert messages[0] == messages[1]
    assert value.packed == wrappers_pb2.StringValue(value="x").SerializeToString()
    assert messages[0].typed_config.value == value.packed


def test_what_is_sealed_is_the_same_message_under_the_same_digest() -> None:
    plain = {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "x" * 100}
    kept = sealed(Typed(plain))
    assert "value" not in kept
    packed = [extension_pb2.TypedExtensionConfig() for _ in range(2)]
    for message, config in zip(packed, (Typed(plain), kept), strict=True):
        fill(message, {"name": "a", "typed_config": config})
    assert packed[0] == packed[1]
    assert kept.digest == Typed(plain).digest == digest(dict(reversed(plain.items())))
    assert Typed({**plain, "value": "y"}).digest != kept.digest
