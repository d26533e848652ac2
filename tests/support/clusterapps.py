"""A small application in a local cluster, and what a person would do with it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.support import witness
from tests.support.wait import PATIENCE

from tsujiban.agent.sandbox import Command
from tsujiban.local.client import ApiError
from tsujiban.local.cluster import LocalCluster, NotRunning
from tsujiban.local.enforced import wait_for
from tsujiban.local.unreachable import Unreachable
from tsujiban.local.waiting import until
from tsujiban.resources.registry import resolve

SECONDS = PATIENCE
# a loaded machine may take seconds to answer; silence of the kernel is told by the time to connect
ASK = ("curl", "-sS", "-m", "60", "--connect-timeout", "5", "-o", "/dev/null", "-w", "%{http_code}")
PATIENTLY = ("--connect-timeout", "60")
BRIEFLY = ("--connect-timeout", "2.5")  # to be refused: by the kernel, that is silence
CREDENTIALS = "/var/run/secrets/kubernetes.io/serviceaccount"  # where a pod finds its own
SERVER = (
    "import http.server as h; h.ThreadingHTTPServer(('', 8080), h.SimpleHTTPRequestHandler).serve_forever()"
)


def deployment(name: str, command: list[str], **pod: Any) -> dict[str, Any]:
    container = {"name": "main", "image": "host", "command": command, **pod.pop("container", {})}
    labels = {"app": name, **pod.pop("labels", {})}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": pod.pop("replicas", 1),
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container], **pod}},
        },
    }


READY = {"readinessProbe": {"httpGet": {"path": "/", "port": 8080}}}

POLICY = {
    "apiVersion": "projectcalico.org/v3",
    "kind": "NetworkPolicy",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {
        "selector": "app == 'web'",
        "types": ["Ingress"],
        "ingress": [
            {
                "action": "Allow",
                "protocol": "TCP",
                "source": {"serviceAccounts": {"names": ["friend"]}},
                "destination": {"ports": [8080]},
                "http": {"methods": ["GET"]},
            }
        ],
    },
}


def account(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "default"}}


WEB = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
}


@contextmanager
def cluster_with(name: str, objects: list[dict[str, Any]]) -> Iterator[LocalCluster]:
    """Two nodes that run `objects`, among them a `friend` whom `web` answers."""
    with witness.cluster(name) as made:
        with made.client() as client:
            client.apply(objects)
            for obj in objects:
                wait_for(client, [obj], SECONDS)
        # a Deployment is available a moment before every proxy has heard of it
        assert until(lambda: get(made, "friend") == "200", SECONDS)
        yield made


def pods(cluster: LocalCluster, app: str) -> list[dict[str, Any]]:
    with cluster.client() as client:
        found = client.list(resolve("pods"), "default", labels=f"app={app}")["items"]
    return sorted(found, key=lambda pod: str(pod["metadata"]["name"]))


def ready(pod: dict[str, Any]) -> bool:
    return any(
        c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions", ())
    )


def replaced(cluster: LocalCluster, app: str, victim: str, count: int = 1) -> bool:
    """Whether a pod that was deleted is gone, and others, ready, are in its place."""
    now = pods(cluster, app)
    return len(now) == count and all(map(ready, now)) and victim not in {p["metadata"]["name"] for p in now}


def run(cluster: LocalCluster, app: str, *argv: str) -> subprocess.CompletedProcess[str]:
    commands: list[Command] = []

    def runs() -> bool:
        try:
            name = pods(cluster, app)[0]["metadata"]["name"]
            commands.append(cluster.exec_command("default", name, "main", argv))
        except NotRunning:  # its process is there a moment before its sandbox is
            return False
        return True

    assert until(runs, SECONDS), app
    command = commands[-1]
    return subprocess.run(
        command.argv, env=command.env, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def get(cluster: LocalCluster, app: str, *options: str) -> str:
    """HTTP status of a request to the service, or curl's exit code when there was none."""
    done = run(cluster, app, *ASK, *options, "http://web/")
    return done.stdout if done.returncode == 0 else f"curl {done.returncode}"


def answered(cluster: LocalCluster, app: str, *options: str) -> str:
    """As `get`, where an answer must come: a machine that stands still is given the time to connect."""
    return get(cluster, app, *PATIENTLY, *options)


def ask_api(cluster: LocalCluster, app: str, *options: str) -> str:
    """What curl in a pod gets of the API, or curl's exit code. To curl, TLS is a part of connecting: whoever
    expects an answer gives it the time for that."""
    ca = ("--cacert", f"{CREDENTIALS}/ca.crt")
    done = run(cluster, app, *ASK, *ca, *options, "https://kubernetes.default.svc/api")
    return done.stdout if done.returncode == 0 else f"curl {done.returncode}"


def flows(cluster: LocalCluster, **parameters: str) -> list[dict[str, Any]]:
    with cluster.client() as client:
        return list(client.flows(parameters=parameters))


def healthy(cluster: LocalCluster) -> Callable[[], bool]:
    def test() -> bool:
        with cluster.client() as client:
            return bool(client.status()["healthy"])

    return test


def answers(test: Callable[[], bool]) -> bool:
    """The test's answer; False while nobody can be asked."""
    try:
        return test()
    except (ApiError, Unreachable):
        return False
