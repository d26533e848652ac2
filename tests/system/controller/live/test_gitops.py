"""What compares what is wanted with what is there: `kubectl diff`, and how Argo CD and Terraform ask.

They are quiet when nothing was changed, which takes the defaults and the managed fields of the real server.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.wait import PATIENCE
from tests.system.controller.live.conftest import WAIT, Kubectl, quiet

from tsujiban.local.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

SET = """
apiVersion: v1
kind: Namespace
metadata: {name: gitops}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: web, namespace: gitops}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: gitops}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      serviceAccountName: web
      containers:
        - name: main
          image: host
          command: [sleep, infinity]
          ports: [{containerPort: 8080}]
          readinessProbe: {httpGet: {port: 8080}}
          resources: {limits: {memory: 64Mi, ephemeral-storage: 1Gi}}
          securityContext: {capabilities: {drop: [ALL]}}
          volumeMounts: [{name: settings, mountPath: /etc/settings}]
      volumes: [{name: settings, configMap: {name: settings, optional: true}}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: gitops}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: gitops}
spec: {podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: 8080}]}]}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: web-calico, namespace: gitops}
spec: {selector: app == "web", types: [Egress], egress: [{action: Allow}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: gitops}
spec: {selector: {matchLabels: {app: web}}, rules: [{to: [{operation: {methods: [GET]}}]}]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: web, namespace: gitops}
roleRef: {kind: ClusterRole, name: view, apiGroup: rbac.authorization.k8s.io}
subjects: [{kind: User, name: ann}, {kind: ServiceAccount, name: web, namespace: gitops}]
"""
ARGO = ("--server-side", "--field-manager=argocd-controller")
ONLY_THE_SERVERS = ("managedFields", "resourceVersion", "generation")


@pytest.fixture(scope="module")
def applied(kubectl: Kubectl) -> Iterator[Kubectl]:
    kubectl("apply", "-f", "-", stdin=SET)
    yield kubectl
    kubectl("delete", "namespace", "gitops", "--wait=false")


POLICIES = (
    "networkpolicies.networking.k8s.io/web",
    "networkpolicies.projectcalico.org/web-calico",
    "authorizationpolicy/web",
)


def settled(kubectl: Kubectl) -> None:
    """Wait until the control plane has written what it has to say of the set: what it writes while two states
    are compared is a difference."""
    kubectl("rollout", "status", "-n", "gitops", "deployment/web", WAIT)
    kubectl("wait", "-n", "gitops", "--for=condition=Enforced", *POLICIES, WAIT)


def test_diff_is_silent_after_apply_and_shows_a_change(applied: Kubectl) -> None:
    settled(applied)
    quiet(applied, "-f", "-", stdin=SET)
    assert "unchanged" in applied("apply", "-f", "-", stdin=SET)
    changed = SET.replace("targetPort: 8080", "targetPort: 8081")

    def shown() -> list[str]:
        said = applied("diff", "-f", "-", stdin=changed, code=1).splitlines()
        lines = [line for line in said if line[:1] in "+-" and line[:3] not in ("+++", "---")]
        return [line for line in lines if "generation:" not in line]

    # what the control plane writes of an object meanwhile is shown, too
    assert until(lambda: shown() == ["-    targetPort: 8080", "+    targetPort: 8081"], PATIENCE), shown()


def test_apply_changes_policies_of_every_dialect_and_only_the_server_warns(
    applied: Kubectl, tmp_path: Path
) -> None:
    file = tmp_path / "changed.yaml"
    file.write_text(
        SET.replace("methods: [GET]", "methods: [GET, HEAD]").replace("replicas: 0", "paused: true")
    )
    said, _ = applied.start("apply", "-f", str(file)).communicate(timeout=PATIENCE)
    assert "authorizationpolicy.security.istio.io/web configured" in said
    assert "deployment.apps/web configured" in said
    warned = [line.partition(": ")[2] for line in said.splitlines() if line.lower().startswith("warning")]
    limit = "spec.template.spec.containers[0].resources.limits.ephemeral-storage"
    assert warned == [f"{limit} is stored, and has no effect here"]
    applied("apply", "-f", "-", stdin=SET)


MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: gitops, labels: {set: pruned}}\n---\n"


def test_prune_takes_what_is_no_longer_written(applied: Kubectl) -> None:
    """With kubectl's own list of kinds: each of them must be served."""
    words = ("apply", "-n", "gitops", "--prune", "-l", "set=pruned", "-f", "-")
    applied(*words, stdin=MAP % "kept" + MAP % "dropped")
    assert "configmap/dropped pruned" in applied(*words, stdin=MAP % "kept")
    assert applied("get", "cm", "-n", "gitops", "-l", "set=pruned", "-o", "name") == "configmap/kept\n"


def documents(text: str) -> list[dict[str, Any]]:
    """The objects that `-o json` prints, without what is the server's own affair."""
    found = json.loads(text)
    items: list[dict[str, Any]] = found["items"] if found["kind"] == "List" else [found]
    for item in items:
        for name in ONLY_THE_SERVERS:
            item["metadata"].pop(name, None)
        item.pop("status", None)
    return items


def test_server_side_diff_as_argo_does_it(applied: Kubectl) -> None:
    applied("apply", *ARGO, "--force-conflicts", "-f", "-", stdin=SET)
    settled(applied)
    live = documents(applied("get", "-f", "-", "-o", "json", stdin=SET))
    predicted = documents(applied("apply", *ARGO, "--dry-run=server", "-f", "-", "-o", "json", stdin=SET))
    assert predicted == live
    quiet(applied, *ARGO, "-f", "-", stdin=SET)


def test_a_field_of_another_manager_is_a_conflict(applied: Kubectl) -> None:
    applied("apply", *ARGO, "--force-conflicts", "-f", "-", stdin=SET)
    other = SET.replace("targetPort: 8080", "targetPort: 8082")
    told = applied("apply", "--server-side", "--field-manager=other", "-f", "-", stdin=other, code=1)
    assert 'conflict with "argocd-controller"' in told
    assert ".spec.ports" in told
    forced = ("apply", "--server-side", "--field-manager=other", "--force-conflicts")
    applied(*forced, "-f", "-", stdin=other)
    assert (
        applied("get", "-n", "gitops", "service", "web", "-o", "jsonpath={.spec.ports[0].targetPort}")
        == "8082"
    )
    applied("apply", *ARGO, "--force-conflicts", "-f", "-", stdin=SET)


def test_describe_shows_the_servers_defaults(applied: Kubectl) -> None:
    described = applied("describe", "-n", "gitops", "deployment", "web")
    assert "RollingUpdate" in described
    assert "25% max unavailable, 25% max surge" in described
    assert "delay=0s timeout=1s period=10s #success=1 #failure=3" in described
    service = applied("describe", "-n", "gitops", "service", "web")
    words = dict(line.split(":", 1) for line in service.splitlines() if ":" in line)
    assert words["Session Affinity"].strip() == "None"
    assert words["Type"].strip() == "ClusterIP"
    assert words["IP Family Policy"].strip() == "SingleStack"


def test_a_pod_with_an_account_that_is_not_there_is_refused(applied: Kubectl) -> None:
    overrides = json.dumps({"spec": {"serviceAccountName": "nobody"}})
    told = applied("run", "-n", "gitops", "p", "--image=host", f"--overrides={overrides}", code=1)
    assert 'error looking up service account gitops/nobody: serviceaccount "nobody" not found' in told
