"""`tsujiban explain KIND.FIELD`: what a field means, as kubectl says it, and without a cluster.

The words are those of the OpenAPI documents, which come of the kinds' own structs.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from tsujiban.cli.errors import Exit, Failure
from tsujiban.resources import openapi
from tsujiban.resources.registry import Kind, UnknownKind, resolve

Json = dict[str, Any]
WIDTH = 90


def told(word: str, *, recursive: bool = False) -> Iterator[str]:
    """A kind, or one of its fields, in lines. Raises Failure."""
    kind, path = _split(word)
    known = openapi.gathered([(kind, kind.api_version)], "", v3=False)
    name = openapi.kind_name(kind, kind.api_version)
    of: Json = {"$ref": name}
    walked = kind.singular
    for step in path:
        properties = _properties(of, known)
        if step not in properties:
            raise _no_field(walked, step, list(properties))
        of, walked = properties[step], f"{walked}.{step}"
    yield f"KIND:     {kind.kind}"
    yield f"VERSION:  {kind.api_version}"
    yield ""
    if path:
        yield f"FIELD: {path[-1]} <{_type(of)}>"
        yield ""
    yield "DESCRIPTION:"
    yield from _wrapped(_description(of, known) or "<no description>", 4)
    properties = _properties(of, known)
    if properties:
        yield ""
        yield "FIELDS:"
        yield from _listed(properties, known, 2, recursive=recursive, within=(name,))


def _split(word: str) -> tuple[Kind, list[str]]:
    """`networkpolicy.projectcalico.org.spec.order`: the kind is as long as it can be."""
    parts = word.split(".")
    problem: UnknownKind | None = None
    for length in range(len(parts), 0, -1):
        try:
            return resolve(".".join(parts[:length])), [part for part in parts[length:] if part]
        except UnknownKind as error:
            problem = error
    near = f"Did you mean {' or '.join(problem.suggestions)}? " if problem and problem.suggestions else ""
    raise Failure(
        f"{word!r} is no kind, and a flow has two ends",
        hint=f"{near}Write `tsujiban explain SOURCE DESTINATION --port N` for a flow, "
        "`tsujiban explain pod.spec` for fields.",
        code=Exit.USAGE,
    )


def _no_field(walked: str, step: str, names: list[str]) -> Failure:
    near = get_close_matches(step, names, n=2)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"It has: {', '.join(names) or 'no fields'}."
    return Failure(f"{walked} has no field {step!r}", hint=hint, code=Exit.USAGE)


def _struct(of: Json, known: dict[str, Json]) -> Json:
    """The definition behind a field, a list of it, or a map of it."""
    while "$ref" not in of:
        inner = of.get("items") or of.get("additionalProperties")
        if inner is None:
            return of
        of = inner
    return known.get(of["$ref"], {})


def _properties(of: Json, known: dict[str, Json]) -> dict[str, Json]:
    found: dict[str, Json] = _struct(of, known).get("properties") or {}
    return found


def _description(of: Json, known: dict[str, Json]) -> str:
    return str(of.get("description") or _struct(of, known).get("description") or "")


def _type(of: Json) -> str:
    if "$ref" in of:
        return str(of["$ref"].rpartition(".")[2])
    if "items" in of:
        return f"[]{_type(of['items'])}"
    if "additionalProperties" in of:
        return f"map[string]{_type(of['additionalProperties'])}"
    if of.get("format") == "int-or-string":
        return "IntOrString"
    return str(of.get("type") or "Object")


def _listed(
    properties: dict[str, Json],
    known: dict[str, Json],
    indent: int,
    *,
    recursive: bool,
    within: tuple[str, ...],
) -> Iterator[str]:
    for name in sorted(properties):
        of = properties[name]
        yield f"{' ' * indent}{name}  <{_type(of)}>"
        if not recursive:
            yield from _wrapped(_description(of, known) or "<no description>", indent + 2)
            yield ""
            continue
        struct = _struct(of, known)
        title = str(id(struct))
        if title not in within and struct.get("properties"):
            yield from _listed(
                struct["properties"], known, indent + 2, recursive=True, within=(*within, title)
            )


def _wrapped(text: str, indent: int) -> list[str]:
    space = " " * indent
    return textwrap.wrap(text, WIDTH, initial_indent=space, subsequent_indent=space)
