"""Real kubectl asks who it is, what it may do, as whom, and for credentials."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from tests.support.apibed import ApiBed, Credentials
from tests.support.wait import PATIENCE

from tsujiban.identity.certificates import name
from tsujiban.identity.keys import key_to_pem, new_key

pytestmark = pytest.mark.system


NEW = f"{sys.prefix}/libexec/kubectl-1.35"
OLD = "/usr/bin/kubectl"


class Kubectl:
    """kubectl as somebody: the administrator, a certificate or a token."""

    def __init__(self, program: str, bed: ApiBed, home: Path, who: Credentials | str | None = None) -> None:
        assert Path(program).exists(), f"{program} is missing: run .ci/setup"
        self.program = program
        self._environment = {
            "HOME": str(home),
            "KUBECONFIG": str(bed.kubeconfig(who)),
            "PATH": os.environ["PATH"],
        }

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            env=self._environment,
            timeout=PATIENCE,
            check=False,
        )

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout.strip()


@pytest.fixture(params=[NEW, OLD], ids=["1.35", "distribution"])
def kubectl(request: pytest.FixtureRequest, bed: ApiBed, tmp_path: Path) -> Kubectl:
    return Kubectl(request.param, bed, tmp_path / "home")


def settled(kubectl: Kubectl, *question: str, answer: str = "yes") -> None:
    """`auth can-i`, until a change that has just been made is known."""
    deadline = time.monotonic() + PATIENCE
    while (said := kubectl.run("auth", "can-i", *question).stdout.strip()) != answer:
        assert time.monotonic() < deadline, (question, said)
        time.sleep(0.05)


def test_roles_and_can_i(kubectl: Kubectl) -> None:
    kubectl("create", "serviceaccount", "web")
    kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods,pods/log")
    kubectl("create", "rolebinding", "ann", "--role=reader", "--user=ann", "--serviceaccount=default:web")
    kubectl("create", "clusterrolebinding", "ops", "--clusterrole=view", "--group=ops")
    settled(kubectl, "list", "pods", "--as=ann")
    settled(kubectl, "get", "pods", "--subresource=log", "--as=system:serviceaccount:default:web")
    settled(kubectl, "list", "tiers.projectcalico.org", "--as=bob", "--as-group=ops")
    for question in (
        ("delete", "pods", "--as=ann"),
        ("list", "secrets", "--as=ann"),
        ("list", "pods", "--as=ann", "-n", "kube-system"),
        ("list", "secrets", "--as=bob", "--as-group=ops"),
    ):
        done = kubectl.run("auth", "can-i", *question)
        assert (done.returncode, done.stdout.split()[0]) == (1, "no"), question
    assert kubectl("auth", "can-i", "*", "*") == "yes"
    listed = kubectl("auth", "can-i", "--list", "--as=ann")
    assert "pods/log" in listed
    assert "selfsubjectaccessreviews.authorization.k8s.io" in listed
    refused = kubectl.run("get", "secrets", "--as=ann")
    assert (
        'Error from server (Forbidden): secrets is forbidden: User "ann" cannot list resource "secrets" in'
        ' API group "" in the namespace "default"' in refused.stderr
    )
    assert "Role/reader" in kubectl("describe", "rolebinding", "ann").replace("Kind:  ", "Role/").replace(
        "Role/Role\n  Name:  ", "Role/"
    )


def test_a_certificate_by_request(bed: ApiBed, kubectl: Kubectl, tmp_path: Path) -> None:
    key = new_key()
    request = x509.CertificateSigningRequestBuilder().subject_name(name("jane", ["dev"]))
    pem = request.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    document = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "jane"},
        "spec": {
            "request": base64.b64encode(pem).decode(),
            "signerName": "kubernetes.io/kube-apiserver-client",
            "expirationSeconds": 3600,
            "usages": ["client auth"],
        },
    }
    kubectl("apply", "-f", "-", stdin=json.dumps(document))
    assert kubectl("get", "csr", "jane", "-o", "jsonpath={.spec.username}") == "admin"
    kubectl("certificate", "approve", "jane")
    deadline = time.monotonic() + PATIENCE
    while not (found := kubectl("get", "csr", "jane", "-o", "jsonpath={.status.certificate}")):
        assert time.monotonic() < deadline, kubectl("get", "csr", "jane", "-o", "yaml")
        time.sleep(0.05)
    jane = Credentials(tmp_path, "jane", base64.b64decode(found).decode(), key_to_pem(key))
    kubectl("create", "rolebinding", "dev", "--clusterrole=view", "--group=dev")
    settled(Kubectl(kubectl.program, bed, tmp_path / "jane", jane), "list", "pods")
    assert Kubectl(kubectl.program, bed, tmp_path / "jane", jane).run("get", "secrets").returncode == 1
    denied = {**document, "metadata": {"name": "no"}}
    kubectl("apply", "-f", "-", stdin=json.dumps(denied))
    kubectl("certificate", "deny", "no")
    assert kubectl("get", "csr", "no", "-o", "jsonpath={.status.conditions[0].type}") == "Denied"


def test_a_token_for_an_account(bed: ApiBed, kubectl: Kubectl, tmp_path: Path) -> None:
    """The old kubectl has no `create token` (1.24): there the call is made by hand."""
    kubectl("create", "serviceaccount", "robot")
    kubectl("create", "rolebinding", "robot", "--clusterrole=edit", "--serviceaccount=default:robot")
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    path = "/api/v1/namespaces/default/serviceaccounts/robot/token"
    if kubectl.program == NEW:
        token = kubectl("create", "token", "robot", "--duration=20m")
        whoami = kubectl("auth", "whoami", "--as=system:serviceaccount:default:robot", "-o", "json")
        assert "system:serviceaccounts:default" in json.loads(whoami)["status"]["userInfo"]["groups"]
    else:
        answer = kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body))
        token = json.loads(answer)["status"]["token"]
    robot = Kubectl(kubectl.program, bed, tmp_path / "robot", token)
    settled(robot, "create", "deployments.apps")
    assert robot("get", "serviceaccounts", "-o", "name").splitlines() == ["serviceaccount/robot"]
    refused = robot.run("get", "pods", "-n", "kube-system")
    assert 'User "system:serviceaccount:default:robot" cannot list resource "pods"' in refused.stderr
    escalation = robot.run("create", "clusterrolebinding", "me", "--clusterrole=cluster-admin", "--user=me")
    assert 'cannot create resource "clusterrolebindings"' in escalation.stderr
    kubectl("delete", "serviceaccount", "robot")
    assert "Unauthorized" in robot.run("get", "pods").stderr
