"""A cluster as a person meets it: up, run something, protect it, break parts of it, down, nothing left."""

from __future__ import annotations

import asyncio
import calendar
import json
import os
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from cryptography import x509
from tests.support.clusterapps import (
    BRIEFLY,
    CREDENTIALS,
    PATIENTLY,
    POLICY,
    READY,
    SECONDS,
    SERVER,
    WEB,
    account,
    answered,
    answers,
    ask_api,
    cluster_with,
    deployment,
    flows,
    get,
    healthy,
    pods,
    ready,
    replaced,
    run,
)
from tests.support.handover import (
    BIG,
    ECHO_PORT,
    HTTP_PORT,
    TALKER,
    Asking,
    Download,
    Squatter,
    answers_again,
    answers_anew,
    asked_again,
    children,
    end_by_policy,
    room_of,
)

from tsujiban.cli.main import main
from tsujiban.identity.ca import CertificateAuthority
from tsujiban.local import credentials, kubeconfig, leftovers
from tsujiban.local.cluster import LocalCluster
from tsujiban.local.down import down
from tsujiban.local.enforced import wait_for
from tsujiban.local.layout import CONTROLLER_ADDRESS, NODE_STREAM_PORT, Layout
from tsujiban.local.preflight import PreflightError
from tsujiban.local.up import up
from tsujiban.local.waiting import until
from tsujiban.proxy.names import ALPN
from tsujiban.resources.registry import resolve
from tsujiban.supervise.supervisor import RECORD

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

NAME = "systest"
TALKS = {**READY, "ports": [{"name": "http", "containerPort": HTTP_PORT}]}
OBJECTS: list[dict[str, Any]] = [
    account("web"),
    account("friend"),
    deployment("web", ["python3", "-c", SERVER], serviceAccountName="web", replicas=2, container=READY),
    deployment("friend", ["sleep", "infinity"], serviceAccountName="friend"),
    deployment("talker", ["python3", "-c", TALKER], serviceAccountName="web", container=TALKS),
    deployment("stranger", ["sleep", "infinity"]),
    deployment("outsider", ["sleep", "infinity"], labels={"tsujiban.io/mesh": "none"}),
    WEB,
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with cluster_with(NAME, OBJECTS) as made:
        yield made


def test_pods_are_spread_and_each_has_its_own_address(cluster: LocalCluster) -> None:
    found = pods(cluster, "web")
    assert {pod["spec"]["nodeName"] for pod in found} == {"node-1", "node-2"}
    assert len({pod["status"]["podIP"] for pod in found}) == 2


def test_a_service_is_reached_by_its_name_over_mutual_tls(cluster: LocalCluster) -> None:
    assert answered(cluster, "friend") == "200"
    address = pods(cluster, "friend")[0]["status"]["podIP"]

    def recorded() -> bool:
        return any(
            flow["source"] == address
            and flow.get("tls") == "TLSv1.3"
            and flow.get("peer", "").endswith("/ns/default/sa/friend")
            for flow in flows(cluster, post="proxy", verdict="allow")
        )

    assert until(recorded, SECONDS)


def test_plaintext_from_outside_the_mesh_is_refused(cluster: LocalCluster) -> None:
    assert get(cluster, "outsider").startswith("curl ")


def test_policy_is_enforced_by_both_posts_once_it_says_so(cluster: LocalCluster) -> None:
    # a Deployment is available a moment before its proxy has heard of everybody
    assert until(lambda: get(cluster, "stranger") == "200", SECONDS)
    with cluster.client() as client:
        client.apply([POLICY])
        waited = wait_for(client, [POLICY], SECONDS)
    try:
        assert waited.where == "2/2 nodes"
        assert answered(cluster, "friend") == "200"
        assert answered(cluster, "friend", "-X", "POST") == "403"
        assert get(cluster, "stranger", *BRIEFLY).startswith("curl ")
        rule = "_tier/default/ingress/default"
        stranger, friend = (pods(cluster, app)[0]["status"]["podIP"] for app in ("stranger", "friend"))

        def cited() -> bool:
            denied = {(f["post"], f["source"]) for f in flows(cluster, verdict="deny") if f["rule"] == rule}
            return {("kernel", stranger), ("proxy", friend)} <= denied

        assert until(cited, SECONDS)
    finally:
        with cluster.client() as client:
            client.delete(resolve("networkpolicies.projectcalico.org"), "default", "web")
    assert until(lambda: get(cluster, "stranger") == "200", SECONDS)


def test_bad_manifests_are_refused_whole(cluster: LocalCluster) -> None:
    from tsujiban.local.client import ApiError

    good = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "good", "namespace": "default"},
    }
    bad = {**POLICY, "spec": {**POLICY["spec"], "tier": "nowhere", "selector": "app =="}}  # type: ignore[dict-item]
    with cluster.client() as client:
        with pytest.raises(ApiError) as refused:
            client.apply([good, bad])
        assert not client.exists(resolve("sa"), "default", "good")
        assert not client.exists(resolve("networkpolicies.projectcalico.org"), "default", "web")
    text = str(refused.value.status)
    assert "nowhere" in text
    assert "selector" in text


def test_a_deleted_pod_is_replaced(cluster: LocalCluster) -> None:
    before = {pod["metadata"]["name"] for pod in pods(cluster, "web")}
    victim = sorted(before)[0]
    with cluster.client() as client:
        client.delete(resolve("pods"), "default", victim)
    assert until(lambda: replaced(cluster, "web", victim, 2), SECONDS)
    assert until(lambda: get(cluster, "friend") == "200", SECONDS)  # its node may hear of it last


@pytest.mark.parametrize("name", ["controller", "node-1/agent", "node-2/agent", "node-1/bird", "node-2/dns"])
def test_what_is_killed_comes_back_and_converges(cluster: LocalCluster, name: str) -> None:
    before = cluster.process(name)
    os.kill(before.pid, signal.SIGKILL)
    assert until(lambda: cluster.process(name).pid not in (0, before.pid), SECONDS)
    assert until(lambda: answers(healthy(cluster)), SECONDS)
    assert until(lambda: get(cluster, "friend") == "200", SECONDS)  # a name server runs before it answers


def test_a_killed_sidecar_comes_back_and_nothing_passes_meanwhile(cluster: LocalCluster) -> None:
    pod = pods(cluster, "friend")[0]
    name = cluster.process_name("default", pod["metadata"]["name"], "sidecar")
    before = cluster.process(name)
    os.kill(before.pid, signal.SIGKILL)
    first = get(cluster, "friend")  # refused while it is away, answered if it is back already
    assert first.startswith("curl ") or first == "200"
    assert until(lambda: cluster.process(name).pid not in (0, before.pid), SECONDS)
    assert until(lambda: get(cluster, "friend") == "200", SECONDS)


def test_a_new_sidecar_takes_over_and_loses_nothing_and_the_old_one_obeys(cluster: LocalCluster) -> None:
    """At both ends of a connection. A new one that crashes when it has taken over is followed by another."""
    name = pods(cluster, "friend")[0]["metadata"]["name"]
    address = pods(cluster, "talker")[0]["status"]["podIP"]
    rooms = [sidecar_of(cluster, app) for app in ("friend", "talker")]

    def connect(port: int = ECHO_PORT) -> socket.socket:
        return cluster.socket_in_pod("default", name, address, port)

    with (
        connect() as old,
        connect() as silent,
        connect(HTTP_PORT) as kept,
        closing(Download(connect(HTTP_PORT))) as download,
        closing(Squatter(cluster, "talker")) as squatter,
    ):
        assert squatter.reached == []
        for one in (old, silent):
            assert answers_again(one)
        assert asked_again(kept) == 200
        with closing(Asking(connect)) as asking:
            for room in rooms:
                os.kill(room, signal.SIGWINCH)
            assert until(lambda: all(len(children(room)) == 2 for room in rooms), SECONDS)
            assert until(lambda: said_by_sidecars(cluster, "an Envoy before this one") == 2, SECONDS)
            asking.more()
        assert asking.failures == []
        assert squatter.heard() == []
        crashed = children(rooms[1])[1]
        os.kill(crashed, signal.SIGKILL)

        def followed() -> bool:
            now = children(rooms[1])
            return len(now) == 2 and crashed not in now and answers_anew(connect)

        assert until(followed, SECONDS)
        for one in (old, silent):
            assert answers_again(one)
        assert asked_again(kept) == 200
        assert download.finish() == f"{BIG} bytes"
        with connect() as new:
            assert answers_again(new)
            end_by_policy(cluster, "talker", old, silent, new)
    assert [sidecar_of(cluster, app) for app in ("friend", "talker")] == rooms


def sidecar_of(cluster: LocalCluster, app: str) -> int:
    """The first process of the sandbox that a pod's sidecar is in."""
    pod = pods(cluster, app)[0]["metadata"]["name"]
    return room_of(cluster, cluster.process(cluster.process_name("default", pod, "sidecar")))


def said_by_sidecars(cluster: LocalCluster, what: str) -> int:
    with cluster.client() as client:
        components = client.status()["components"]
    return sum(what in one["detail"] for one in components if one["name"].startswith("sidecar "))


def test_a_revoked_node_is_cut_off_and_joins_again_by_a_new_join_file(cluster: LocalCluster) -> None:
    layout = cluster.layout

    def agent() -> bool:
        with cluster.client() as client:
            rows = client.status()["components"]
        return all(row["healthy"] for row in rows if row["node"] == "node-2" and row["name"] == "agent")

    assert until(lambda: answers(healthy(cluster)), SECONDS)
    said = revoke("node/node-2", "--reason", "a test")
    assert said.startswith("node/node-2 before=")
    assert until(lambda: answers(lambda: not agent()), SECONDS)
    assert answered(cluster, "friend") == "200"  # its pods go on
    issued = calendar.timegm(time.strptime(said.split()[1], "before=%Y-%m-%dT%H:%M:%SZ"))
    assert until(lambda: time.time() > issued, SECONDS)  # a token of the same second is one of before
    ca = CertificateAuthority.load(layout.controller_state / "ca", "cluster.local")
    asyncio.run(credentials.join_files(layout, ca, ["node-2"]))
    assert until(lambda: answers(healthy(cluster)), SECONDS)
    assert not layout.join_file("node-2").exists()
    assert revoke("--undo", "node/node-2") == "node/node-2 is taken again\n"


def test_a_pod_whose_key_was_lost_has_another_one_at_once(cluster: LocalCluster) -> None:
    outsider = pods(cluster, "outsider")[0]["metadata"]["name"]
    address = pods(cluster, "web")[0]["status"]["podIP"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([ALPN])

    def shown() -> int:
        """The serial number of what the pod's proxy shows to anybody."""
        with (
            cluster.socket_in_pod("default", outsider, address, 8080) as plain,
            context.wrap_socket(plain) as secure,
        ):
            der = secure.getpeercert(binary_form=True)
        assert der is not None
        return x509.load_der_x509_certificate(der).serial_number

    def another() -> bool:
        with suppress(OSError):
            return shown() != lost
        return False

    lost = shown()
    revoke(f"serial:{lost:x}")
    assert until(another, SECONDS)
    assert until(lambda: get(cluster, "friend") == "200", SECONDS)
    revoke("--undo", f"serial:{lost:x}")


def test_nothing_is_signed_for_a_revoked_identity_until_it_is_taken_from_the_list(
    cluster: LocalCluster,
) -> None:
    identity = "spiffe://cluster.local/ns/default/sa/default"
    assert until(lambda: len(pods(cluster, "stranger")) == 1, SECONDS)
    before = pods(cluster, "stranger")[0]["metadata"]["name"]
    revoke(identity)
    with cluster.client() as client:
        client.delete(resolve("pods"), "default", before)

    def told() -> bool:
        with cluster.client() as client:
            events = client.list(resolve("events"), "default")["items"]
        return any(
            event["reason"] == "IdentityRevoked" and event["involvedObject"]["name"] != before
            for event in events
        )

    assert until(told, SECONDS)
    assert not any(ready(pod) for pod in pods(cluster, "stranger") if pod["metadata"]["name"] != before)
    revoke("--undo", identity)
    assert until(lambda: replaced(cluster, "stranger", before), SECONDS)


def revoke(*words: str) -> str:
    done = CliRunner().invoke(main, ["revoke", *words, "--cluster", NAME], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_container_has_no_rights_and_sees_nothing_of_ours(cluster: LocalCluster) -> None:
    status = run(cluster, "friend", "cat", "/proc/self/status").stdout
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert int(fields["Uid"].split()[0]) >= 300_000
    assert {fields[name].strip() for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0000000000000000"}
    assert fields["NoNewPrivs"].strip() == "1"
    for path in ("/run/tsujiban", "/var/lib/tsujiban", "/run/netns"):
        listing = run(cluster, "friend", "ls", "-A", path)
        assert listing.stdout == ""
    assert run(cluster, "friend", "nft", "list", "ruleset").returncode != 0
    assert run(cluster, "friend", "touch", "/etc/forged").returncode != 0


def test_private_things_are_private(cluster: LocalCluster) -> None:
    layout = cluster.layout
    for root in (layout.run, layout.state):
        assert root.stat().st_mode & 0o077 == 0
    for path in layout.state.rglob("*"):
        if path.suffix in (".key", ".pem", ".db", ".json"):
            assert path.stat().st_mode & 0o077 == 0, path
    assert layout.supervisor_socket.stat().st_mode & 0o077 == 0


def test_the_api_refuses_who_has_no_certificate(cluster: LocalCluster) -> None:
    import urllib.error
    import urllib.request

    context = ssl.create_default_context(cafile=str(cluster.layout.kubeconfig.parent / "ca.pem"))
    url = f"https://127.0.0.1:{cluster.record.api_port}/api/v1/namespaces/default/pods"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url, context=context, timeout=SECONDS)  # our own loopback address
    assert refused.value.code == 401


def test_a_pod_holds_a_token_that_ends_with_it(cluster: LocalCluster) -> None:
    pod = pods(cluster, "stranger")[0]["metadata"]["name"]
    token = run(cluster, "stranger", "cat", f"{CREDENTIALS}/token").stdout
    assert run(cluster, "stranger", "cat", f"{CREDENTIALS}/namespace").stdout == "default"
    answer = as_token(cluster, token, "/version")
    assert answer.status_code == 200
    assert as_token(cluster, token, "/api/v1/namespaces/default/pods").status_code == 403
    assert as_token(cluster, token[:-4] + "AAAA", "/version").status_code == 401
    with cluster.client() as client:
        client.delete(resolve("pods"), "default", pod)
    assert until(lambda: as_token(cluster, token, "/version").status_code == 401, SECONDS)
    assert until(lambda: replaced(cluster, "stranger", pod), SECONDS)


def as_token(cluster: LocalCluster, token: str, path: str) -> httpx.Response:
    access = kubeconfig.read(cluster.layout.kubeconfig)
    verify = ssl.create_default_context(cafile=str(access.ca_file))
    with httpx.Client(base_url=access.server, verify=verify, trust_env=False, timeout=SECONDS) as client:
        return client.get(path, headers={"authorization": f"Bearer {token}"})


READERS = [
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "readers", "namespace": "default"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [
            {"kind": "ServiceAccount", "name": name, "namespace": "default"} for name in ("friend", "default")
        ],
    }
]
CLOSED = {
    "apiVersion": "projectcalico.org/v3",
    "kind": "NetworkPolicy",
    "metadata": {"name": "closed", "namespace": "default"},
    "spec": {
        "selector": "app in {'friend', 'outsider'}",
        "types": ["Egress"],
        "egress": [{"action": "Allow", "protocol": "UDP", "destination": {"ports": [53]}}],
    },
}
OPENED = {
    **CLOSED,
    "spec": {
        **CLOSED["spec"],  # type: ignore[dict-item]  # it is a dictionary
        "egress": [
            *CLOSED["spec"]["egress"],  # type: ignore[index]
            {
                "action": "Allow",
                "destination": {"services": {"name": "kubernetes", "namespace": "default"}},
            },
        ],
    },
}


@pytest.mark.parametrize("app", ["friend", "outsider"])
def test_a_pod_reaches_the_api_with_its_own_token(cluster: LocalCluster, app: str) -> None:
    assert ask_api(cluster, app, *PATIENTLY) == "401"  # nobody is let in without one

    def refused() -> bool:  # as any client in a pod: token, ca.crt, environment
        return "cannot list resource" in run(cluster, app, "kubectl", "get", "pods").stderr

    assert until(refused, SECONDS)  # a right that the test before has taken away is gone a moment later
    with cluster.client() as client:
        client.apply(READERS)
    try:
        assert until(
            lambda: "pod/web-" in run(cluster, app, "kubectl", "get", "pods", "-o=name").stdout, SECONDS
        )
    finally:
        with cluster.client() as client:
            client.delete(resolve("rolebindings"), "default", "readers")


def test_egress_policy_is_about_the_api_as_about_anything_else(cluster: LocalCluster) -> None:
    try:
        for policy, expected, options in ((CLOSED, "curl", BRIEFLY), (OPENED, "401", PATIENTLY)):
            with cluster.client() as client:
                client.apply([policy])
                wait_for(client, [policy], SECONDS)
            for app in ("friend", "outsider"):  # by both posts, and by the kernel alone
                assert ask_api(cluster, app, *options).startswith(expected)
    finally:
        with cluster.client() as client:
            client.delete(resolve("networkpolicies.projectcalico.org"), "default", "closed")


def test_of_the_controller_pods_reach_the_api_alone(cluster: LocalCluster) -> None:
    nodes_stream = f"https://{CONTROLLER_ADDRESS}:{NODE_STREAM_PORT}/"
    assert run(cluster, "outsider", "curl", "-sS", "-m", "1", nodes_stream).returncode == 28  # no answer


def test_up_refuses_a_name_that_is_taken_and_changes_nothing(cluster: LocalCluster) -> None:
    with pytest.raises(PreflightError, match="already up"):
        up(NAME, 2, lambda _: None)
    assert answered(cluster, "friend") == "200"


def test_down_leaves_nothing() -> None:
    name = "systestb"
    down(name)
    try:
        up(name, 1, lambda _: None)
        assert leftovers.find(name)
    finally:
        assert down(name)
    assert not leftovers.find(name)
    layout = Layout(name)
    assert not layout.run.exists()
    assert not layout.state.exists()
    assert not down(name)


def test_down_also_after_the_supervisor_was_killed() -> None:
    name = "systestc"
    down(name)
    try:
        made = up(name, 1, lambda _: None)
        recorded = json.loads((made.layout.run / RECORD).read_text())
        (supervisor,) = (one["pid"] for one in recorded if one["name"] == "supervisor")
        os.kill(supervisor, signal.SIGKILL)
    finally:
        down(name)
    assert not leftovers.find(name)
    assert not Path(Layout(name).run).exists()
