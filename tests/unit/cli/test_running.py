from __future__ import annotations

from pathlib import Path

from tsujiban.cli import offline, running
from tsujiban.resources.load import LoadedObject

POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web%s}
spec: {podSelector: {matchLabels: {app: %s}}}
"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: a, image: host}]}}
"""


def load(tmp_path: Path, text: str) -> list[LoadedObject]:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    return offline.load([path])


def test_files_replace_what_they_name_and_add_the_rest(tmp_path: Path) -> None:
    now = load(tmp_path, POLICY % (", namespace: shop", "old"))
    new = load(tmp_path, POLICY % ("", "new"))
    after, kept = running.applied(now, new, "shop")
    assert (after, kept) == (new, [])
    after, _ = running.applied(now, new, "other")
    assert len(after) == 2


def test_workloads_that_run_are_taken_as_they_run(tmp_path: Path) -> None:
    now = load(tmp_path, DEPLOYMENT)
    new = load(tmp_path, DEPLOYMENT)
    after, kept = running.applied(now, new, "default")
    assert (after, kept) == (now, ["deployment/web"])
    assert running.applied([], new, "default") == (new, [])


def test_a_job_that_is_over_stands_for_no_pods() -> None:
    def job(**status: object) -> dict[str, object]:
        return {"kind": "Job", "metadata": {"name": "j"}, "status": status}

    done = {"type": "Complete", "status": "True"}
    assert running.is_over(job(conditions=[done]))
    assert not running.is_over(job(conditions=[{**done, "status": "False"}]))
    assert not running.is_over(job())
    assert not running.is_over({"kind": "Deployment", "status": {"conditions": [done]}})
