"""What a thing is called, by itself and by inheritance: Calico's reference, "Selectors"."""

from __future__ import annotations

import pytest
from tests.support.manifests import objects

from tsujiban.policy import items
from tsujiban.policy.items import Item, Surroundings
from tsujiban.policy.program import Member, Mesh
from tsujiban.resources.kinds import calico, core

POD = """
apiVersion: v1
kind: Pod
metadata: {{name: p, namespace: x, uid: u, labels: {labels}}}
spec: {spec}
status: {status}
"""
SPEC = "{containers: [{name: c, image: host}]}"


def around(mesh: Mesh = Mesh.SIDECAR, *, offline: bool = False) -> Surroundings:
    made = Surroundings("bank.example", mesh, offline)
    made.namespaces["x"] = {"team": "red"}
    made.accounts["x", "sa"] = {"rank": "high"}
    return made


def pod(
    labels: str = "{}",
    spec: str = SPEC,
    status: str = "{podIPs: [{ip: 10.0.0.1}]}",
    where: Surroundings | None = None,
) -> Item | None:
    found = objects(POD.format(labels=labels, spec=spec, status=status))[0].object
    assert isinstance(found, core.Pod)
    return items.pod_item(found, where or around())


def present(item: Item | None) -> Item:
    assert item is not None
    return item


def test_a_pod_is_called_by_its_own_labels_its_namespaces_and_its_accounts() -> None:
    spec = "{serviceAccountName: sa, containers: [{name: c, image: host}]}"
    assert present(pod("{app: a}", spec)).labels == {
        "app": "a",
        "projectcalico.org/namespace": "x",
        "projectcalico.org/orchestrator": "k8s",
        "projectcalico.org/serviceaccount": "sa",
        "pcns.team": "red",
        "pcns.kubernetes.io/metadata.name": "x",
        "pcns.projectcalico.org/name": "x",
        "pcsa.rank": "high",
        "pcsa.projectcalico.org/name": "sa",
    }


@pytest.mark.parametrize(
    "forged",
    [
        "pcns.team",
        "pcns.projectcalico.org/name",
        "pcsa.rank",
        "pcsa.extra",
        "projectcalico.org/namespace",
        "projectcalico.org/orchestrator",
        "projectcalico.org/serviceaccount",
    ],
)
def test_labels_that_look_inherited_are_never_believed(forged: str) -> None:
    spec = "{serviceAccountName: sa, containers: [{name: c, image: host}]}"
    assert present(pod(f"{{{forged}: admin}}", spec)).labels == present(pod("{}", spec)).labels


def test_no_label_renames_a_namespace_or_an_account() -> None:
    """Calico puts the name over the labels: else who may label a service account could make it
    pass for any other in a selector by name."""
    where = around()
    where.namespaces["x"] = {"projectcalico.org/name": "admin", "kubernetes.io/metadata.name": "admin"}
    where.accounts["x", "default"] = {"projectcalico.org/name": "admin"}
    labels = present(pod(where=where)).labels
    assert labels["pcns.projectcalico.org/name"] == "x"
    assert labels["pcns.kubernetes.io/metadata.name"] == "x"
    assert labels["pcsa.projectcalico.org/name"] == "default"


def test_a_profiles_labels_do_not_replace_a_pods_own() -> None:
    where = around()
    where.profiles["kns.x"] = {"app": "profile", "zone": "z", "projectcalico.org/namespace": "y"}
    labels = present(pod("{app: own}", where=where)).labels
    assert (labels["app"], labels["zone"]) == ("own", "z")
    assert labels["projectcalico.org/namespace"] == "x"


def test_the_identity_is_the_accounts_in_the_trust_domain() -> None:
    found = present(pod())
    assert found.identity == "spiffe://bank.example/ns/x/sa/default"
    assert found.members == (Member(net="10.0.0.1", identity=found.identity),)
    assert found.profiles == ("kns.x", "ksa.x.default")


def test_outside_the_mesh_there_is_no_identity() -> None:
    found = present(pod("{tsujiban.io/mesh: none}"))
    assert found.mesh is Mesh.NONE
    assert found.members == (Member(net="10.0.0.1"),)


@pytest.mark.parametrize(
    ("own", "namespace", "default", "mesh"),
    [
        ("", "", Mesh.NODE, Mesh.NODE),
        ("", "none", Mesh.SIDECAR, Mesh.NONE),
        ("sidecar", "none", Mesh.NONE, Mesh.SIDECAR),
        ("a-word", "none", Mesh.SIDECAR, Mesh.SIDECAR),  # what is no word of ours is the default
    ],
)
def test_how_a_pod_takes_part_in_the_mesh(own: str, namespace: str, default: Mesh, mesh: Mesh) -> None:
    where = around(default)
    where.namespaces["x"] = {"tsujiban.io/mesh": namespace} if namespace else {}
    labels = f"{{tsujiban.io/mesh: {own}}}" if own else "{}"
    assert present(pod(labels, where=where)).mesh is mesh


@pytest.mark.parametrize(
    ("status", "addresses"),
    [
        ("{podIPs: [{ip: 10.0.0.1}, {ip: 'FD00:0::1'}]}", ("10.0.0.1", "fd00::1")),
        ("{podIP: 10.0.0.2}", ("10.0.0.2",)),
        ("{podIP: 10.0.0.2, podIPs: [{ip: 10.0.0.2}, {ip: 'fd00::2'}]}", ("10.0.0.2", "fd00::2")),
        ("{}", ()),
    ],
)
def test_the_addresses_that_a_pod_reports(status: str, addresses: tuple[str, ...]) -> None:
    assert present(pod(status=status)).addresses == addresses


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_finished_pod_is_nobody_on_a_cluster_and_somebody_in_files(phase: str) -> None:
    status = f"{{phase: {phase}, podIPs: [{{ip: 10.0.0.1}}]}}"
    assert pod(status=status) is None
    assert present(pod(status=status, where=around(offline=True))).addresses == ("10.0.0.1",)


def test_a_pod_on_its_hosts_network_has_no_address_of_its_own() -> None:
    assert pod(spec="{hostNetwork: true, containers: [{name: c, image: host}]}") is None


def test_in_files_an_unknown_address_has_a_stand_in() -> None:
    assert present(pod(status="{}", where=around(offline=True))).addresses == ("@x/p",)


def test_named_ports_are_those_that_containers_declare() -> None:
    spec = """{containers: [{name: c, image: host, ports: [
      {name: web, containerPort: 80}, {containerPort: 81},
      {name: dns, containerPort: 53, protocol: UDP}]}]}"""
    assert present(pod(spec=spec)).named_ports == (("web", 6, 80), ("dns", 17, 53))


def other(text: str) -> object:
    return objects(f"apiVersion: projectcalico.org/v3\n{text}")[0].object


def test_a_workload_endpoint_names_its_profiles_itself() -> None:
    found = other(
        "kind: WorkloadEndpoint\n"
        "metadata: {name: w, namespace: x, labels: {app: a}}\n"
        "spec: {orchestrator: k8s, node: n, workload: w, pod: w, endpoint: eth0, containerID: c,\n"
        "  interfaceName: cali1, ipNetworks: [10.0.0.5/32], profiles: [mine]}"
    )
    assert isinstance(found, calico.WorkloadEndpoint)
    item = items.workload_endpoint_item(found, around())
    assert item.endpoint == "x/w"
    assert item.addresses == ("10.0.0.5",)
    assert item.profiles == ("mine",)
    assert item.labels["pcns.team"] == "red"


def test_a_host_endpoint_is_in_no_namespace() -> None:
    found = other(
        "kind: HostEndpoint\nmetadata:\n  name: h\n"
        "  labels: {app: a, pcns.team: red, projectcalico.org/serviceaccount: sa}\n"
        "spec: {node: n, interfaceName: eth0, expectedIPs: [172.16.0.1, 'fd00::1'],\n"
        "  ports: [{name: ssh, port: 22, protocol: TCP}]}"
    )
    assert isinstance(found, calico.HostEndpoint)
    item = items.host_endpoint_item(found, around())
    assert (item.endpoint, item.host, item.namespace) == ("host/h", True, "")
    assert item.labels == {"app": "a"}
    assert item.addresses == ("172.16.0.1", "fd00::1")
    assert item.named_ports == (("ssh", 6, 22),)
    assert item.members == (Member(net="172.16.0.1"), Member(net="fd00::1"))  # a host proves no identity


def test_networks_are_called_by_labels_and_a_namespaced_set_by_its_namespaces() -> None:
    text = (
        "metadata: {{name: s{place}, labels: {{kind: office}}}}\nspec: {{nets: [192.0.2.9/24, 'FD00::/64']}}"
    )
    narrow = other("kind: NetworkSet\n" + text.format(place=", namespace: x"))
    wide = other("kind: GlobalNetworkSet\n" + text.format(place=""))
    assert isinstance(narrow, calico.NetworkSet)
    assert isinstance(wide, calico.GlobalNetworkSet)
    nets = (Member(net="192.0.2.0/24"), Member(net="fd00::/64"))
    item = items.network_set_item(narrow, around())
    assert item.members == nets
    assert item.labels["pcns.team"] == "red"
    assert item.labels["projectcalico.org/namespace"] == "x"
    assert "projectcalico.org/orchestrator" not in item.labels  # no Kubernetes peer selects it
    assert items.network_set_item(wide, around()) == Item(labels={"kind": "office"}, members=nets)


def test_a_node_is_its_internal_and_external_addresses() -> None:
    found = objects(
        """
        apiVersion: v1
        kind: Node
        metadata: {name: n, labels: {zone: z}}
        status:
          addresses:
          - {type: Hostname, address: n}
          - {type: InternalIP, address: 172.16.0.1}
          - {type: ExternalIP, address: 192.0.2.1}
        """
    )[0].object
    assert isinstance(found, core.Node)
    item = items.node_item(found)
    assert item.labels == {"zone": "z"}
    assert [member.net for member in item.members] == ["172.16.0.1", "192.0.2.1"]
