from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.service.discovery.v3 import discovery_pb2

from tsujiban.policy.program import Backend, ServicePort
from tsujiban.proxy import clusters
from tsujiban.proxy.resource import Kind, Resource, Resources, collect
from tsujiban.proxy.session import Session
from tsujiban.proxy.site import SIDECAR


def cluster(name: str, timeout: str = "1s") -> Resource:
    return Resource(Kind.CLUSTER, name, {"name": name, "connect_timeout": timeout})


def extension(name: str, note: str = "") -> Resource:
    typed = {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": note}
    return Resource(Kind.EXTENSION, name, {"name": name, "typed_config": typed})


def ask(kind: Kind, *names: str, **more: object) -> discovery_pb2.DeltaDiscoveryRequest:
    return discovery_pb2.DeltaDiscoveryRequest(type_url=kind, resource_names_subscribe=names, **more)


def names(responses: Iterable[discovery_pb2.DeltaDiscoveryResponse]) -> list[str]:
    return [one.name for response in responses for one in response.resources]


def ack(session: Session, responses: Iterable[discovery_pb2.DeltaDiscoveryResponse], why: str = "") -> None:
    for response in responses:
        message = ask(Kind(response.type_url), response_nonce=response.nonce)
        if why:
            message.error_detail.message = why
        assert list(session.request(message)) == []


def desired(*resources: Resource) -> Resources:
    return collect(list(resources))


def test_a_wildcard_gets_everything_of_its_type_and_names_get_themselves() -> None:
    session = Session()
    assert list(session.push(desired(cluster("a"), cluster("b"), extension("x"), extension("y")), 1)) == []
    assert names(session.request(ask(Kind.CLUSTER))) == ["a", "b"]
    assert names(session.request(ask(Kind.EXTENSION, "x"))) == ["x"]
    assert names(session.request(ask(Kind.EXTENSION, "y"))) == ["y"]


def marking(note: str, turn: int) -> Resource:
    typed = {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": note}
    return Resource(Kind.EXTENSION, "m", {"name": "m", "typed_config": typed}, turn=turn)


def test_a_filter_that_marks_does_so_before_others_look_and_as_long_as_they_do() -> None:
    session = Session()
    list(session.push(desired(marking("", 1), extension("x")), 1))
    first = list(session.request(ask(Kind.EXTENSION, "m", "x")))
    assert names(first) == ["m", "x"]  # there is no order in what comes first of all
    ack(session, first)
    marks = list(session.push(desired(marking("on", -1), extension("x", "looks")), 2))
    assert names(marks) == ["m"]
    assert not session.settled(2)
    looks = list(session.request(ask(Kind.EXTENSION, response_nonce=marks[0].nonce)))
    assert names(looks) == ["x"]
    ack(session, looks)
    assert session.settled(2)
    last = list(session.push(desired(marking("", 1), extension("x")), 3))
    assert names(last) == ["x"]
    assert names(session.request(ask(Kind.EXTENSION, response_nonce=last[0].nonce))) == ["m"]


def test_what_does_not_exist_yet_is_sent_when_it_does() -> None:
    session = Session()
    assert list(session.request(ask(Kind.EXTENSION, "x"))) == []
    assert names(session.push(desired(extension("x")), 1)) == ["x"]


def test_only_differences_are_sent_and_removals_told() -> None:
    session = Session()
    list(session.request(ask(Kind.CLUSTER)))
    list(session.push(desired(cluster("a"), cluster("b")), 1))
    responses = list(session.push(desired(cluster("a"), cluster("c")), 2))
    assert names(responses) == ["c"]
    assert list(responses[0].removed_resources) == ["b"]
    assert list(session.push(desired(cluster("a"), cluster("c")), 3)) == []


def test_a_proxy_that_comes_back_with_the_same_versions_is_sent_nothing() -> None:
    one = cluster("a")
    session = Session()
    list(session.push(desired(one, extension("x")), 1))
    known = ask(Kind.CLUSTER, initial_resource_versions={"a": one.version})
    assert list(session.request(known)) == []
    stale = ask(Kind.EXTENSION, "x", initial_resource_versions={"x": "old", "gone": "1"})
    responses = list(session.request(stale))
    assert names(responses) == ["x"]
    assert list(responses[0].removed_resources) == ["gone"]


def secret(name: str) -> Resource:
    return Resource(Kind.SECRET, name, {"name": name})


def entrance(name: str, note: str = "1s") -> Resource:
    return Resource(Kind.LISTENER, name, {"name": name, "listener_filters_timeout": note})


def test_of_a_pod_without_a_key_a_proxy_that_has_it_loses_nothing_and_gets_its_policy() -> None:
    old, new, key = entrance("pod:a|in"), entrance("pod:a|in", "2s"), secret("pod:a|key")
    session = Session()
    keyless = {"pod:a|": desired(new)}
    list(session.push({}, 1, keyless))
    held = {old.name: old.version}
    assert list(session.request(ask(Kind.LISTENER, initial_resource_versions=held))) == []
    assert not session.settled(1)  # it may have the key, which it is about to say
    responses = list(
        session.request(ask(Kind.SECRET, key.name, initial_resource_versions={key.name: key.version}))
    )
    assert [(names([one]), list(one.removed_resources)) for one in responses] == [([new.name], [])]
    assert session.keys == {"pod:a|"}
    ack(session, responses)
    assert session.settled(1)
    assert list(session.push(desired(new, key), 2)) == []  # the agent has a key, which is the same
    gone = list(session.push({}, 3))
    assert [list(one.removed_resources) for one in gone] == [[key.name], [new.name]]


def test_of_a_pod_without_a_key_a_proxy_that_has_none_either_keeps_nothing() -> None:
    old, key = entrance("pod:a|in"), secret("pod:b|key")
    session = Session()
    list(session.push(desired(key), 1, {"pod:a|": desired(old)}))
    held = {old.name: old.version}
    assert list(session.request(ask(Kind.LISTENER, initial_resource_versions=held))) == []
    known = ask(Kind.SECRET, key.name, initial_resource_versions={key.name: key.version})
    assert [list(one.removed_resources) for one in session.request(known)] == [[old.name]]


def test_a_name_that_is_asked_for_again_is_sent_again() -> None:
    session = Session()
    list(session.push(desired(extension("x")), 1))
    assert names(session.request(ask(Kind.EXTENSION, "x"))) == ["x"]
    gone = ask(Kind.EXTENSION, resource_names_unsubscribe=["x"])
    assert list(session.request(gone)) == []
    assert list(session.push(desired(extension("x", "new")), 2)) == []
    assert names(session.request(ask(Kind.EXTENSION, "x"))) == ["x"]


def test_a_revision_is_settled_when_all_it_meant_was_answered() -> None:
    session = Session()
    list(session.request(ask(Kind.CLUSTER)))
    responses = list(session.push(desired(cluster("a")), 1))
    assert not session.settled(1)
    ack(session, responses)
    assert session.settled(1)
    assert not session.settled(2)
    assert list(session.push(desired(cluster("a")), 2)) == []
    assert session.settled(2)


def test_a_refusal_is_kept_until_the_type_is_accepted_again() -> None:
    session = Session()
    list(session.request(ask(Kind.CLUSTER)))
    ack(session, list(session.push(desired(cluster("a")), 1)), "x" * 5000 + "bad timeout")
    assert session.settled(1)
    assert len(session.problems_of("")) == 1
    assert session.problems_of("")[0].endswith("bad timeout")
    assert len(session.problems_of("")[0]) < 500
    ack(session, list(session.push(desired(cluster("a", "2s")), 2)))
    assert not session.problems_of("")


def test_what_came_with_a_refused_resource_is_told_again() -> None:
    session = Session()
    list(session.request(ask(Kind.CLUSTER)))
    ack(session, list(session.push(desired(cluster("old")), 1)))
    good, bad = cluster("good"), cluster("bad")
    ack(session, list(session.push(desired(good, bad), 2)), "bad")
    (again,) = session.push(desired(good, cluster("bad", "2s")), 3)
    assert names([again]) == ["good", "bad"]
    assert list(again.removed_resources) == ["old"]


def test_what_was_asked_for_and_accepted_is_held() -> None:
    session = Session()
    everything = desired(cluster("a"), extension("x"))
    list(session.push(everything, 1))
    ack(session, list(session.request(ask(Kind.CLUSTER))))
    assert session.holds(desired(cluster("a")))
    assert not session.holds(everything)
    responses = list(session.request(ask(Kind.EXTENSION, "x")))
    assert not session.holds(everything)
    ack(session, responses)
    assert session.holds(everything)
    assert not session.holds(desired(cluster("a", "9s")))


def test_what_is_wanted_on_demand_is_not_missed_before_that() -> None:
    session = Session()
    list(session.request(ask(Kind.SECRET, "other")))
    secret = Resource(Kind.SECRET, "s", {"name": "s"}, on_demand=True)
    assert session.holds(desired(secret))
    list(session.push(desired(secret), 1))
    list(session.request(ask(Kind.SECRET, "s")))
    assert not session.holds(desired(secret))


HERE, THERE = "pod:a|", "pod:b|"


def test_what_one_endpoint_is_refused_does_not_touch_another() -> None:
    session = Session()
    list(session.request(ask(Kind.CLUSTER)))
    everything = desired(cluster(HERE + "c"), cluster(THERE + "c"), cluster("shared"))
    responses = list(session.push(everything, 1))
    assert [names([one]) for one in responses] == [["shared"], [HERE + "c"], [THERE + "c"]]
    ack(session, responses[:1])
    ack(session, responses[1:2], "no such namespace")
    ack(session, responses[2:])
    assert session.settled(1)
    assert session.problems_of(THERE) == ()
    assert session.problems_of(HERE)[0].endswith("no such namespace")
    assert session.holds(desired(cluster(THERE + "c")))
    assert not session.holds(desired(cluster(HERE + "c")))


def test_what_an_endpoint_had_goes_with_a_response_of_its_own() -> None:
    session = Session()
    list(session.request(ask(Kind.CLUSTER)))
    list(session.push(desired(cluster(HERE + "c"), cluster(THERE + "c")), 1))
    (gone,) = session.push(desired(cluster(THERE + "c")), 2)
    assert list(gone.removed_resources) == [HERE + "c"]


def test_unknown_types_are_ignored() -> None:
    session = Session()
    unknown = discovery_pb2.DeltaDiscoveryRequest(type_url="type.googleapis.com/no.Such")
    assert list(session.request(unknown)) == []


def listener(note: str) -> Resource:
    return Resource(Kind.LISTENER, "outbound", {"name": "outbound", "stat_prefix": note})


def endpoints(*hosts: str) -> Resource:
    backends = tuple(Backend(address=host, port=80) for host in hosts)
    return clusters.endpoints(SIDECAR, "service|a/b", ServicePort(protocol=6, port=80, backends=backends))


SERVICE = clusters.service(SIDECAR, "service|a/b")


def subscribed() -> Session:
    """A session whose proxy holds one listener and one service."""
    session = Session()
    held = desired(SERVICE, endpoints("10.0.0.1", "10.0.0.2"), cluster("old"), listener("1"))
    list(session.push(held, 1))
    for kind, wanted in ((Kind.CLUSTER, ()), (Kind.ENDPOINT, (SERVICE.name,)), (Kind.LISTENER, ())):
        ack(session, list(session.request(ask(kind, *wanted))))
    assert session.holds(held)
    return session


def answered(session: Session, responses: list[discovery_pb2.DeltaDiscoveryResponse], why: str = "") -> Any:
    """Answer them all; what is sent upon that."""
    out: list[discovery_pb2.DeltaDiscoveryResponse] = []
    for response in responses:
        message = ask(Kind(response.type_url), response_nonce=response.nonce)
        if why:
            message.error_detail.message = why
        out += session.request(message)
    return out


def kinds(responses: Iterable[discovery_pb2.DeltaDiscoveryResponse]) -> list[Kind]:
    return [Kind(one.type_url) for one in responses]


def hosts(response: discovery_pb2.DeltaDiscoveryResponse) -> list[str]:
    assignment = endpoint_pb2.ClusterLoadAssignment()
    response.resources[0].resource.Unpack(assignment)
    listed = [one for group in assignment.endpoints for one in group.lb_endpoints]
    return [one.endpoint.address.envoy_internal_address.endpoint_id for one in listed]


def test_what_a_listener_leads_to_comes_before_it_and_goes_after_it() -> None:
    session = subscribed()
    wanted = desired(SERVICE, endpoints("10.0.0.2", "10.0.0.3"), cluster("new"), listener("2"))
    first = list(session.push(wanted, 2))
    assert kinds(first) == [Kind.CLUSTER, Kind.ENDPOINT]
    assert list(first[0].removed_resources) == []
    assert hosts(first[1]) == ["10.0.0.2:80"]
    second = answered(session, first)
    assert kinds(second) == [Kind.LISTENER]
    assert not session.settled(2)
    third = answered(session, second)
    assert kinds(third) == [Kind.CLUSTER, Kind.ENDPOINT]
    assert list(third[0].removed_resources) == ["old"]
    assert hosts(third[1]) == ["10.0.0.2:80", "10.0.0.3:80"]
    assert not session.settled(2)
    assert answered(session, third) == []
    assert session.settled(2)


def test_a_new_service_has_its_endpoints_before_a_listener_leads_to_it() -> None:
    session = subscribed()
    more = clusters.service(SIDECAR, "service|a/c")
    found = clusters.endpoints(SIDECAR, "service|a/c", ServicePort(protocol=6, port=80))
    first = list(
        session.push(desired(SERVICE, endpoints("10.0.0.1", "10.0.0.2"), more, found, listener("2")), 2)
    )
    assert names(first) == [more.name]
    assert answered(session, first) == []  # it has not asked for the endpoints yet
    assert not session.settled(2)
    second = list(session.request(ask(Kind.ENDPOINT, more.name)))
    assert names(second) == [more.name]
    assert names(answered(session, second)) == ["outbound"]


def test_endpoints_that_are_asked_for_again_while_a_listener_waits_are_told_again() -> None:
    """Nothing of them has changed: what was sent on this stream is what there is to send."""
    session = subscribed()
    both = endpoints("10.0.0.1", "10.0.0.2")
    more = cluster("more")
    first = list(session.push(desired(SERVICE, both, more, listener("2")), 2))
    assert names(first) == ["more"]
    again = list(session.request(ask(Kind.ENDPOINT, SERVICE.name)))
    assert names(again) == [SERVICE.name]
    assert names(answered(session, [*first, *again])) == ["outbound"]


def test_a_refused_listener_is_not_offered_again_before_the_next_push() -> None:
    session = subscribed()
    wanted = desired(SERVICE, endpoints("10.0.0.1", "10.0.0.2"), cluster("old"), listener("bad"))
    (offered,) = session.push(wanted, 2)
    assert answered(session, [offered], "no such field") == []
    assert session.settled(2)
    assert session.problems_of("")
    assert names(session.push(wanted, 2)) == ["outbound"]


def test_where_no_listener_changes_nothing_waits() -> None:
    session = subscribed()
    wanted = desired(SERVICE, endpoints("10.0.0.3"), listener("1"))
    responses = list(session.push(wanted, 2))
    assert kinds(responses) == [Kind.CLUSTER, Kind.ENDPOINT]
    assert list(responses[0].removed_resources) == ["old"]
    assert hosts(responses[1]) == ["10.0.0.3:80"]
