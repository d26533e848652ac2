"""`fieldValidation`: what becomes of fields that a kind does not have.

`Strict` refuses them, `Warn` drops them and says so, `Ignore` drops them. Kubernetes' default is `Warn`;
here, of a kind that is policy, a request that says nothing gets the refusal: a field dropped from a
policy could open what it should close. Source: Kubernetes API concepts, "Validation for unrecognized or
duplicate fields".
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request

from tsujiban.controller.api.errors import ApiError, bad_request
from tsujiban.resources import positions
from tsujiban.resources.registry import Kind
from tsujiban.resources.shape import Problem, convert

Json = dict[str, Any]

_POLICY_MODULES = frozenset({"calico", "cnp", "istio", "netpol", "rbac"})
_MODES = ("", "Strict", "Warn", "Ignore")
MAX_WARNINGS = 20


def warn(request: Request, text: str) -> None:
    """Have the answer carry a warning, which kubectl prints."""
    warnings: list[str] = getattr(request.state, "warnings", [])
    if text not in warnings and len(warnings) < MAX_WARNINGS:
        request.state.warnings = [*warnings, text]


def header(text: str) -> str:
    """The value of a Warning header (RFC 7234): code 299, no agent. Its text is UTF-8, as clients read it, in
    the one character for each byte that headers are made of."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    quoted = printable[:1000].replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{quoted}"'.encode().decode("latin-1")


def mode(request: Request) -> str:
    """The parameter; "" when there is none.

    Raises:
        ApiError: 422 for another word.
    """
    found = request.query_params.get("fieldValidation", "")
    if found not in _MODES:
        text = (
            f' "" is invalid: fieldValidation: Unsupported value: "{found[:64]}": '
            'supported values: "Ignore", "Strict", "Warn"'
        )
        raise ApiError(422, "Invalid", f"{request.method.title()}Options.meta.k8s.io{text}")
    return found


def known_fields(document: Json, kind: Kind, request: Request) -> Json:
    """The object without the fields that its kind does not have.

    Raises:
        ApiError: 400 with `Strict`. Of policies without a mode, nothing is taken away: admission refuses.
    """
    wanted = mode(request)
    if not wanted and kind.module in _POLICY_MODULES:
        return document
    unknown = [found for found in _problems(document, kind) if found.code == "unknown-field"]
    if not unknown:
        return document
    if wanted == "Strict":
        told = ", ".join(_text(problem) for problem in unknown)
        raise bad_request(
            f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: '
            f"strict decoding error: {told}"
        )
    if wanted != "Ignore":
        for problem in unknown:
            warn(request, _text(problem))
    return _less(document, unknown)


def _problems(document: Json, kind: Kind) -> Sequence[Problem]:
    return convert(document, kind.type, nulls=False)[1]


def _text(problem: Problem) -> str:
    hint = f" ({problem.hint})" if problem.hint.startswith("did you mean") else ""
    return f'unknown field "{positions.render(problem.path)}"{hint}'


def _less(document: Json, unknown: Sequence[Problem]) -> Json:
    result = copy.deepcopy(document)
    for problem in unknown:
        holder: Any = result
        for step in problem.path[:-1]:
            holder = holder[step]
        holder.pop(problem.path[-1], None)
    return result
