"""Files to objects: all of them, or every reason why not."""

from __future__ import annotations

import json

import msgspec
import pytest

from tsujiban.resources import load
from tsujiban.resources.kinds import calico, core
from tsujiban.resources.load import ORIGIN, LoadedObject, decode, origin_annotation, read
from tsujiban.resources.registry import UnknownKind

POLICY = """\
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: web
  namespace: bank
spec:
  selector: app == 'web'
  ingress:
    - action: Allow
      protocol: TCP
      destination: {ports: [80, 20:21]}
    - action: Deny
"""


def one(text: str) -> LoadedObject:
    loaded = read([("policy.yaml", text.encode())])
    assert [str(finding) for finding in loaded.findings] == []
    (found,) = loaded.objects
    return found


def test_an_object_knows_its_kind_name_and_lines() -> None:
    found = one(POLICY)
    assert isinstance(found.object, calico.NetworkPolicy)
    assert found.object.spec.ingress[0].destination.ports == (80, "20:21")
    assert (found.file, found.name, found.title) == ("policy.yaml", "bank/web", "NetworkPolicy bank/web")
    assert found.line("spec.ingress[1]") == 12
    assert found.line(("spec", "ingress", 0, "protocol")) == 10
    assert found.line("spec.egress[3]") == 6
    assert found.line() == 1


def test_lists_and_several_documents() -> None:
    items = {
        "apiVersion": "v1",
        "kind": "PodList",
        "items": [json.loads(json.dumps(_pod(name))) for name in "ab"],
    }
    loaded = read(
        [("l.json", json.dumps(items, indent=1).encode()), ("p.yaml", f"---\n---\n{POLICY}".encode())]
    )
    assert loaded.ok
    assert [found.name for found in loaded.objects] == ["default/a", "default/b", "bank/web"]
    assert loaded.objects[1].line("metadata.name") > loaded.objects[0].line("metadata.name") > 1
    assert loaded.objects[2].line() == 3


def _pod(name: str) -> dict[str, object]:
    spec = {
        "containers": [
            {
                "name": "main",
                "image": "host",
                "imagePullPolicy": "Always",
                "resources": {"limits": {"cpu": 1}},
                "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 5},
                "volumeMounts": [{"name": "v", "mountPath": "/v"}],
                "securityContext": {"runAsNonRoot": True},
            }
        ],
        "volumes": [{"name": "v", "emptyDir": {}}],
        "tolerations": [{"operator": "Exists"}],
        "imagePullSecrets": [{"name": "s"}],
    }
    meta = {"name": name, "creationTimestamp": None}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": {"future": [None]}}


def test_errors_of_shape_and_of_value_come_together() -> None:
    text = (
        POLICY.replace("protocol: TCP", "protocl: TPC")
        .replace("Deny", "deny")
        .replace("name: web", "name: Web")
    )
    loaded = read([("policy.yaml", text.encode())])
    assert loaded.objects == []
    assert [(f.line, f.column, f.field, f.code) for f in loaded.findings] == [
        (10, 7, "spec.ingress[0].protocl", "unknown-field"),
        (4, 3, "metadata.name", "odd-name"),
        (9, 7, "spec.ingress[0].protocol", "bad-value"),
        (12, 7, "spec.ingress[1].action", "bad-value"),
    ]


def test_one_bad_object_hides_no_other() -> None:
    loaded = read([("a.yaml", f"kind: X\n---\n{POLICY}---\napiVersion: v1\nkind: Pd\n".encode())])
    assert [finding.code for finding in loaded.findings] == ["missing-kind", "unknown-kind"]
    assert loaded.findings[1].hint == "did you mean v1 Pod?"
    assert len(loaded.objects) == 1
    assert not loaded.ok


def test_a_warning_keeps_the_object() -> None:
    loaded = read([("a.yaml", POLICY.replace("selector:", "types: [Egress]\n  selector:").encode())])
    assert [finding.code for finding in loaded.findings] == ["ignored-rules"]
    assert loaded.ok
    assert len(loaded.objects) == 1


def test_a_null_field_is_absent_but_not_in_a_custom_kind() -> None:
    assert one(POLICY.replace("selector: app == 'web'", "selector:")).object
    head = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
    text = head + "metadata: {name: a, creationTimestamp: null}\n"
    assert read([("a", (text + "spec: {}\n").encode())]).ok
    (finding,) = read([("a", (text + "spec: {rules: null}\n").encode())]).findings
    assert (finding.field, finding.code) == ("spec.rules", "wrong-type")


def test_what_only_evaluation_understands_is_a_warning_offline() -> None:
    text = POLICY.replace("    - action: Deny", "    - action: Deny\n      http: {methods: [GET]}").encode()
    assert [finding.code for finding in read([("a", text)]).findings] == ["http-not-in-allow"]
    assert not read([("a", text)]).ok
    assert read([("a", text)], offline=True).ok


RULE = "    - action: Deny"
NETS = f"{RULE}\n      source: {{nets: [10.0.0.0/8, '::/1']}}"
EVERYWHERE = f"{RULE}\n      source: {{namespaceSelector: global() || a == 'b'}}"
PROFILE = "apiVersion: projectcalico.org/v3\nkind: Profile\nmetadata: {name: p}\nspec: {types: [Ingress]}\n"
LABELLED = "apiVersion: v1\nkind: Namespace\nmetadata: {name: n, labels: {a: b/c}}\n"


SERVICE = (
    "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 1, name: a}, {port: 2}]}\n"
)
DEPLOYMENT = (
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n"
    "  selector: {matchLabels: {app: x}}\n"
    "  template: {metadata: {labels: {app: y}}, spec: {containers: [{name: c, image: host}]}}\n"
)


def _ports(*names: str) -> str:
    ports = ", ".join(f"{{containerPort: 80, name: {name}}}" for name in names)
    spec = f"spec: {{containers: [{{name: c, image: host, ports: [{ports}]}}]}}\n"
    return f"apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\n{spec}"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (POLICY.replace("name: web", "name: Web_1.x.y"), "odd-name"),
        (POLICY.replace(RULE, NETS), "mixed-versions"),
        (POLICY.replace(RULE, EVERYWHERE), "global-joined"),
        (PROFILE, "unknown-field"),
        (LABELLED, "bad-label"),
        (_ports("my_watcher_port_name"), "odd-port-name"),
        (_ports("a", "a"), "same-port-name"),
        (_ports("a").replace("name: c, image", "image"), "missing-field"),
        (SERVICE, "missing-field"),
        (DEPLOYMENT, "conflict"),
    ],
)
def test_what_is_clear_and_refused_is_taken_offline(text: str, code: str) -> None:
    strict, offline = (read([("a", text.encode())], offline=yes) for yes in (False, True))
    assert [finding.code for finding in strict.findings] == [code]
    assert (strict.objects, len(strict.broken)) == ([], 1)
    assert [(finding.code, finding.severity) for finding in offline.findings] == [(code, "warning")]
    assert len(offline.objects) == 1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (POLICY.replace("name: web", "name: a:b"), "bad-name"),
        (POLICY.replace("selector:", "types: [Ingress]\n  slector:"), "unknown-field"),
        (POLICY.replace("kind: NetworkPolicy", "kind: NetworkPolicyy"), "unknown-kind"),
        ("apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: a}\n", "unknown-kind"),
        (POLICY.replace("name: web", "labels: {}"), "missing-field"),
        ("apiVersion: v1\nkind: Namespce\nmetadata: {name: a}\n", "unknown-kind"),
    ],
)
def test_what_may_hide_a_policy_is_refused_offline_too(text: str, code: str) -> None:
    offline = read([("a", text.encode())], offline=True)
    assert code in {finding.code for finding in offline.findings if finding.severity == "error"}


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("extensions/v1beta1", "Ingress"),
        ("networking.istio.io/v1", "VirtualService"),
        ("v1", "LimitRange"),
    ],
)
def test_bystanders_are_passed_over_offline_alone(version: str, kind: str) -> None:
    text = f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\n".encode()
    offline = read([("a", text)], offline=True)
    assert (offline.objects, offline.findings) == ([], [])
    assert [finding.code for finding in read([("a", text)]).findings] == ["unknown-kind"]


@pytest.mark.parametrize(
    ("version", "kind"), [("networking.k8s.io/v1", "Ingress"), ("v1", "PersistentVolumeClaim")]
)
def test_what_is_only_stored_is_passed_over_offline_and_judged_when_it_is_stored(
    version: str, kind: str
) -> None:
    text = f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\n".encode()
    offline = read([("a", text)], offline=True)
    assert (offline.objects, offline.findings) == ([], [])
    assert "missing-field" in {finding.code for finding in read([("a", text)]).findings}


def test_items_of_a_list_of_one_kind_need_not_say_which() -> None:
    item = {"metadata": {"name": "a"}, "spec": {"podSelector": {}}}
    items = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicyList", "items": [item]}
    assert [found.title for found in read([("a", json.dumps(items).encode())]).objects] == [
        "NetworkPolicy default/a"
    ]
    items["kind"] = "List"
    assert [found.code for found in read([("a", json.dumps(items).encode())]).findings] == ["missing-kind"]


def test_findings_are_bounded() -> None:
    loaded = read([("a.yaml", b"kind: X\n---\n" * 5000), ("b.yaml", POLICY.encode())])
    assert len(loaded.findings) == load.MAX_FINDINGS + 1
    assert loaded.findings[-1].code == "too-many-findings"
    assert len(loaded.objects) == 1


def test_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "MAX_BYTES", 1 << 20)
    (finding,) = read([("a", b"#" * (1 << 20) + b"#")]).findings
    assert finding.code == "too-large"


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert one("\ufeff" + POLICY).line("kind") == 2


def test_the_origin_survives_storing() -> None:
    found = one(POLICY)
    raw = {
        **found.raw,
        "metadata": {**found.raw["metadata"], "annotations": {ORIGIN: origin_annotation(found)}},
    }
    (stored,) = load.check(raw).objects
    assert stored.file == "policy.yaml"
    assert stored.line("spec.ingress[1]") == 12
    assert stored.line("spec.ingress[1].action") == 12
    assert stored.line("spec.selector") == 1
    assert origin_annotation(stored) == origin_annotation(found)


def test_a_broken_origin_is_none() -> None:
    raw = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "annotations": {ORIGIN: "{"}}}
    (stored,) = load.check(raw).objects
    assert (stored.file, stored.line()) == ("", 0)


def test_check_judges_plain_data() -> None:
    assert [finding.code for finding in load.check([]).findings] == ["not-an-object"]
    assert [finding.code for finding in load.check({"kind": 1}).findings] == ["missing-kind"]


def test_decode_from_data_and_from_json() -> None:
    raw = _pod("a")
    del raw["status"]
    raw["metadata"] = {"name": "a"}
    pod = decode(raw)
    assert isinstance(pod, core.Pod)
    assert decode(json.dumps(raw).encode()) == pod
    assert decode(msgspec.json.encode(pod)) == pod


def test_decode_of_what_is_not_ours() -> None:
    with pytest.raises(UnknownKind):
        decode({"apiVersion": "v1", "kind": "Widget"})
    with pytest.raises(msgspec.ValidationError):
        decode({"apiVersion": "v1", "kind": "Pod", "spec": {"containrs": []}})
