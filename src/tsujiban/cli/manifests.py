"""Manifests from files, folders and standard input to objects; bad ones are refused with every finding."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tsujiban.cli import findings
from tsujiban.cli.errors import Exit, Failure
from tsujiban.policy.testing.naming import is_test
from tsujiban.resources.findings import errors
from tsujiban.resources.load import ORIGIN, Loaded, LoadedObject, origin_annotation, read
from tsujiban.resources.registry import Kind

Json = dict[str, Any]
SUFFIXES = (".yaml", ".yml", ".json")
STDIN = "-"


def expand(paths: Sequence[Path], *, recursive: bool = False) -> list[Path]:
    """Files as they are; of a folder, its manifests in the order of their names, policy tests left out.
    Raises Failure."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            entries = sorted(path.rglob("*") if recursive else path.iterdir())
            inside = [entry for entry in entries if is_manifest(entry)]
            if not inside:
                raise Failure(f"{path}: no manifests ({', '.join(SUFFIXES)}) in this folder", code=Exit.USAGE)
            found += inside
        else:
            found.append(path)
    return found


def is_manifest(path: Path) -> bool:
    """Whether a file of a folder is taken for a manifest: by its name, and it is no policy test."""
    return path.suffix in SUFFIXES and path.is_file() and not is_test(path.name)


def contents(paths: Sequence[Path]) -> dict[str, bytes]:
    """Contents by name. Raises Failure for what cannot be read."""
    sources: dict[str, bytes] = {}
    for path in paths:
        try:
            sources[str(path)] = sys.stdin.buffer.read() if str(path) == STDIN else path.read_bytes()
        except OSError as error:
            raise Failure(f"{path}: {error.strerror}", code=Exit.USAGE) from error
    return sources


def load(sources: dict[str, bytes]) -> Loaded:
    """Read all of `sources`. Every finding is shown; errors raise Failure."""
    loaded = read(sources.items())
    findings.show(loaded.findings, sources)
    if wrong := errors(loaded.findings):
        raise findings.refusal(len(wrong))
    if not loaded.objects:
        raise Failure("no objects in " + ", ".join(sources), code=Exit.USAGE)
    return loaded


def wire_form(one: LoadedObject, namespace: str) -> Json:
    """The object as it is sent: as written, in its namespace, with the file and lines it came from."""
    meta = dict(one.raw["metadata"])
    if one.kind.namespaced:
        meta.setdefault("namespace", namespace)
    meta["annotations"] = {**(meta.get("annotations") or {}), ORIGIN: origin_annotation(one)}
    return {**one.raw, "metadata": meta}


def named(
    paths: Sequence[Path], namespace: str, *, recursive: bool = False
) -> list[tuple[Kind, str | None, str]]:
    """Kind, namespace and name of each object of all `paths`. Raises Failure."""
    found = []
    for one in load(contents(expand(paths, recursive=recursive))).objects:
        meta = wire_form(one, namespace)["metadata"]
        found.append((one.kind, meta["namespace"] if one.kind.namespaced else None, str(meta["name"])))
    return found
