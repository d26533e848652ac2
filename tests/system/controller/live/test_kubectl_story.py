"""What people's hands know, in the order in which they would do it, with kubectl 1.35.

Each test leaves what the next may need; each can also run alone, for `shop` makes what it needs.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.wait import PATIENCE
from tests.system.controller.live.conftest import MANIFESTS, WAIT, Kubectl, quiet

from tsujiban.local.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

APP = str(MANIFESTS / "app.yaml")


@pytest.fixture(scope="module")
def shop(kubectl: Kubectl) -> Kubectl:
    """kubectl, with the application running in namespace `story`."""
    if "story" not in kubectl("get", "namespaces", "-o", "name"):
        kubectl("create", "namespace", "story")
    kubectl("apply", "-f", APP)
    kubectl("rollout", "status", "-n", "story", "deployment/shop", WAIT)
    return kubectl


def in_story(kubectl: Kubectl, *words: str, code: int = 0) -> str:
    return kubectl("-n", "story", *words, code=code)


def test_get_in_every_form(shop: Kubectl) -> None:
    table = in_story(shop, "get", "pods", "-o", "wide")
    titles = "NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES"
    assert table.splitlines()[0].split() == titles.split()
    assert table.count("Running") == 2
    assert "shop-" in shop("get", "pods", "-A")
    for group in ("pod/shop-", "service/shop", "deployment.apps/shop", "replicaset.apps/shop-"):
        assert group in in_story(shop, "get", "all")
    assert in_story(shop, "get", "deploy/shop", "-o", "name") == "deployment.apps/shop\n"
    assert in_story(shop, "get", "deploy", "shop", "-o", "jsonpath={.spec.replicas}") == "2"
    assert in_story(shop, "get", "deploy", "shop", "-o", "go-template={{.metadata.name}}") == "shop"
    columns = in_story(shop, "get", "cm", "-o", "custom-columns=N:.metadata.name,C:.data.colour")
    assert ["settings", "blue"] in [line.split() for line in columns.splitlines()]
    assert json.loads(in_story(shop, "get", "pods", "-l", "app=shop", "-o", "json"))["kind"] == "List"
    assert in_story(shop, "get", "pods", "-l", "app!=shop") == ""
    assert "colour: blue" in in_story(shop, "get", "cm", "settings", "-o", "yaml", "--show-managed-fields")
    assert (
        in_story(shop, "get", "pods", "--field-selector=status.phase=Running", "-o", "name").count("pod/")
        == 2
    )
    assert (
        in_story(shop, "get", "pods", "--sort-by=.metadata.creationTimestamp", "--no-headers").count("\n")
        == 2
    )


def test_watch_shows_what_changes(shop: Kubectl) -> None:
    watcher = shop.start("get", "cm", "-n", "story", "-w", "-o", "jsonpath={.metadata.name}={.data.step};")
    try:
        assert watcher.stdout is not None
        seen = watcher.stdout.read(1)  # what is there already: from now on it misses nothing
        in_story(shop, "create", "cm", "watched", "--from-literal=step=1", "-o", "name")
        in_story(shop, "delete", "cm", "watched")
        while "watched=1;" not in seen:
            seen += watcher.stdout.read(1)
    finally:
        watcher.kill()
        watcher.communicate()


def test_describe(shop: Kubectl) -> None:
    text = in_story(shop, "describe", "deployment", "shop")
    assert "2 desired | 2 updated | 2 total | 2 available | 0 unavailable" in text
    assert "Controlled By:  ReplicaSet/shop-" in in_story(shop, "describe", "pod", "-l", "app=shop")
    assert "Endpoints:" in in_story(shop, "describe", "service", "shop")
    assert "PodSelector:     app=shop" in in_story(shop, "describe", "networkpolicy", "shop")
    assert "InternalIP" in shop("describe", "node", "node-1")


def test_explain(shop: Kubectl) -> None:
    text = shop("explain", "networkpolicy.spec.ingress")
    assert "VERSION:    v1" in text
    assert "from\t<[]NetworkPolicyPeer>" in text
    assert "KIND:       Deployment" in shop("explain", "deploy", "--recursive")
    assert shop("explain", "pod.spec.containers.livenessProbe.httpGet").count("A GET request.") == 1


def test_apply_says_what_it_did_and_does_not_do_it_twice(shop: Kubectl) -> None:
    assert all(line.endswith("unchanged") for line in shop("apply", "-f", APP).splitlines())
    assert all(
        line.endswith("serverside-applied")
        for line in shop("apply", "--server-side", "--force-conflicts", "-f", APP).splitlines()
    )
    other = Path(APP).read_text().replace("colour: blue", "colour: red")
    refused = shop("apply", "--server-side", "--field-manager=other", "-f", "-", code=1, stdin=other)
    assert "conflict" in refused
    assert "unknown field" in shop(
        "apply", "--dry-run=server", "-f", "-", code=1, stdin=other.replace("podSelector:", "podSelectr:")
    )


def test_diff_edit_and_replace(shop: Kubectl) -> None:
    changed = Path(APP).read_text().replace("colour: blue", "colour: red")
    assert "+  colour: red" in shop("diff", "-f", "-", code=1, stdin=changed)
    quiet(shop, "-f", APP)
    edited = shop("-n", "story", "edit", "cm", "settings", env={"EDITOR": "sed -i s/blue/green/"})
    assert "edited" in edited
    assert colour(shop) == "green"
    shop(
        "replace",
        "-f",
        "-",
        stdin=in_story(shop, "get", "cm", "settings", "-o", "yaml").replace("green", "blue"),
    )
    assert colour(shop) == "blue"


def colour(shop: Kubectl) -> str:
    return in_story(shop, "get", "cm", "settings", "-o", "jsonpath={.data.colour}")


def test_patch_in_three_ways_label_and_annotate(shop: Kubectl) -> None:
    in_story(shop, "patch", "cm", "settings", "-p", '{"data":{"a":"1"}}')
    in_story(shop, "patch", "cm", "settings", "--type=merge", "-p", '{"data":{"b":"2"}}')
    in_story(shop, "patch", "cm", "settings", "--type=json", "-p", '[{"op":"remove","path":"/data/a"}]')
    assert json.loads(in_story(shop, "get", "cm", "settings", "-o", "jsonpath={.data}")) == {
        "b": "2",
        "colour": "blue",
    }
    in_story(shop, "label", "cm", "settings", "tier=front")
    assert "already has a value" in in_story(shop, "label", "cm", "settings", "tier=back", code=1)
    in_story(shop, "annotate", "cm", "settings", "note=x")
    assert in_story(shop, "get", "cm", "-l", "tier=front", "-o", "name") == "configmap/settings\n"


def test_scale_and_roll_out(shop: Kubectl) -> None:
    in_story(shop, "scale", "deployment", "shop", "--replicas=3", "--current-replicas=2")
    in_story(shop, "rollout", "status", "deployment/shop", WAIT)
    assert in_story(shop, "get", "deploy", "shop", "-o", "jsonpath={.status.readyReplicas}") == "3"
    in_story(shop, "scale", "deployment", "shop", "--replicas=1")
    in_story(shop, "rollout", "restart", "deployment/shop")
    in_story(shop, "rollout", "status", "deployment/shop", WAIT)
    in_story(shop, "set", "env", "deployment/shop", "COLOUR=red")
    in_story(shop, "rollout", "status", "deployment/shop", WAIT)
    assert in_story(shop, "rollout", "history", "deployment/shop").count("<none>") >= 2
    assert "rolled back" in in_story(shop, "rollout", "undo", "deployment/shop")
    in_story(shop, "rollout", "status", "deployment/shop", WAIT)
    assert "COLOUR" not in in_story(shop, "get", "deploy", "shop", "-o", "yaml")
    in_story(shop, "wait", "--for=condition=Available", "deployment/shop", WAIT)


def test_who_may_do_what(shop: Kubectl) -> None:
    assert shop("auth", "can-i", "create", "pods") == "yes\n"
    assert "tsujiban-admin" in shop("auth", "whoami")
    in_story(shop, "create", "serviceaccount", "bot")
    in_story(shop, "create", "role", "reader", "--verb=get,list", "--resource=pods")
    in_story(shop, "create", "rolebinding", "reader", "--role=reader", "--serviceaccount=story:bot")
    bot = "--as=system:serviceaccount:story:bot"
    assert until(lambda: "yes" in in_story_may(shop, "list", "pods", bot), PATIENCE)
    assert "no" in in_story(shop, "auth", "can-i", "delete", "pods", bot, code=1)
    assert "no" in in_story(shop, "auth", "can-i", "create", "pods/exec", bot, code=1)
    token = in_story(shop, "create", "token", "bot").strip()
    server = shop("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")
    authority = shop("config", "view", "-o", "jsonpath={.clusters[0].cluster.certificate-authority}")
    alone = ["--kubeconfig=/dev/null", f"--server={server}", f"--certificate-authority={authority}"]
    assert "shop-" in in_story(shop, *alone, f"--token={token}", "get", "pods")
    assert "Forbidden" in in_story(shop, *alone, f"--token={token}", "delete", "pods", "--all", code=1)


def in_story_may(shop: Kubectl, *words: str) -> str:
    return shop.run("-n", "story", "auth", "can-i", *words).stdout


def test_kustomize(shop: Kubectl) -> None:
    shop("apply", "-k", str(MANIFESTS / "kustomized"))
    found = in_story(shop, "get", "cm", "settings-k", "-o", "jsonpath={.metadata.annotations.made-by}")
    assert found == "kustomize"
    shop("delete", "-k", str(MANIFESTS / "kustomized"), "--wait", WAIT)


def test_what_the_cluster_is(shop: Kubectl) -> None:
    words = {line.split()[0] for line in shop("api-resources", "--no-headers").splitlines()}
    assert {
        "pods",
        "deployments",
        "networkpolicies",
        "globalnetworkpolicies",
        "authorizationpolicies",
    } <= words
    assert {"v1", "apps/v1", "projectcalico.org/v3", "security.istio.io/v1"} <= set(
        shop("api-versions").split()
    )
    assert "control plane" in shop("cluster-info")
    assert "Server Version" in shop("version")
    assert shop("get", "--raw", "/readyz") == "ok"
    assert "Metrics API not available" in shop("top", "pods", code=1)
    shop("events", "-A")


def test_run_and_expose(shop: Kubectl) -> None:
    in_story(shop, "run", "once", "--image=host", "--restart=Never", "--command", "--", "echo", "hi")
    in_story(shop, "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/once", WAIT)
    assert in_story(shop, "logs", "once") == "hi\n"

    def told() -> bool:  # an event comes when it comes
        said = in_story(shop, "events", "--for", "pod/once")
        return "assigned story/once to node-" in said and "started container once" in said

    assert until(told, PATIENCE), in_story(shop, "events", "--for", "pod/once")
    selector = "--field-selector=involvedObject.name=once"
    assert "started container once" in in_story(shop, "get", "events.events.k8s.io", selector)
    titles = in_story(shop, "get", "events", selector).splitlines()[0].split()
    assert titles == ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    assert "regarding" in shop("explain", "events", "--api-version=events.k8s.io/v1")
    in_story(shop, "run", "never", "--image=elsewhere", "--restart=Never")
    assert until(lambda: 'only "host"' in in_story(shop, "describe", "pod", "never"), PATIENCE)
    in_story(shop, "delete", "pod/never")
    in_story(shop, "expose", "deployment", "shop", "--name=front", "--port=80")
    in_story(shop, "delete", "pod/once", "service/front")


def test_refusals_are_readable(shop: Kubectl) -> None:
    assert "(NotFound)" in in_story(shop, "get", "pod", "nobody", code=1)
    assert "(AlreadyExists)" in in_story(shop, "create", "-f", APP, code=1)
    assert "doesn't have a resource type" in shop("get", "unicorns", code=1)


def test_delete_waits_until_everything_is_gone(shop: Kubectl) -> None:
    shop("delete", "namespace", "story", WAIT)
    assert "story" not in shop("get", "namespaces", "-o", "name")
    assert "shop" not in shop("get", "pods", "-A", "--no-headers")
