"""The bank's manifests, as they are and as the demonstration varies them. Reads files only."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

import tsujiban

Json = dict[str, Any]
MESH_LABEL = "tsujiban.io/mesh"


def folder() -> Path:
    """`examples/bank`, in the working copy or in the installed package. Raises FileNotFoundError."""
    package = Path(tsujiban.__file__).parent
    for place in (package.parent.parent / "examples" / "bank", package / "examples" / "bank"):
        if (place / "bank.yaml").is_file():
            return place
    raise FileNotFoundError("examples/bank is neither beside the source nor in the installed package")


def objects(*names: str) -> list[Json]:
    """All objects of files in the folder, in their order."""
    found: list[Json] = []
    for name in names:
        text = (folder() / name).read_text(encoding="utf-8")
        found += [document for document in yaml.safe_load_all(text) if document]
    return found


def without_mesh(originals: list[Json], namespace: str) -> list[Json]:
    """The same objects in another namespace whose pods have no sidecar; nothing else differs."""
    varied = copy.deepcopy(originals)
    for obj in varied:
        if "namespace" in obj["metadata"]:
            obj["metadata"]["namespace"] = namespace
        if obj["kind"] == "Deployment":
            labels = obj["spec"]["template"]["metadata"].setdefault("labels", {})
            labels[MESH_LABEL] = "none"
    return [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}, *varied]


def served_by_nodes(namespace: str) -> Json:
    """The namespace, whose pods have no sidecars: the Envoy of their node serves them."""
    metadata = {"name": namespace, "labels": {MESH_LABEL: "node"}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def on_node(originals: list[Json], node: str) -> list[Json]:
    """The same objects, with their pods on a given node."""
    varied = copy.deepcopy(originals)
    for obj in varied:
        if obj["kind"] == "Pod":
            obj["spec"]["nodeName"] = node
    return varied
