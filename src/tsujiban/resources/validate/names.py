"""Syntax of names, labels and annotations (Kubernetes: Object Names and IDs; Labels and Selectors)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tsujiban.resources.kinds.meta import LabelSelector
from tsujiban.resources.positions import Path
from tsujiban.resources.validate.report import Report

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_LABEL_1035 = re.compile(r"[a-z](?:[a-z0-9-]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
_QUALIFIED = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")
_SEGMENT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?")
_PORT = re.compile(r"(?=.*[a-z])[a-z0-9](?:[a-z0-9]|-(?!-))*")

_LONGEST_ANNOTATIONS = 262_144  # bytes of all annotations together

_ALLOWED = "letters, digits, '-', '_' and '.' are allowed, with a letter or digit at both ends"

OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


def is_label(text: str) -> bool:
    """Whether it is a DNS label (RFC 1123): at most 63 of a-z, 0-9, `-`."""
    return len(text) <= 63 and _LABEL.fullmatch(text) is not None


def is_label_1035(text: str) -> bool:
    """Whether it is a DNS label that starts with a letter (RFC 1035)."""
    return len(text) <= 63 and _LABEL_1035.fullmatch(text) is not None


def is_subdomain(text: str) -> bool:
    """Whether it is DNS labels joined by dots, at most 253 characters."""
    return len(text) <= 253 and _SUBDOMAIN.fullmatch(text) is not None


def segment_problem(text: str) -> str:
    """What is wrong with a name that is only a segment of a path, as those of roles; "" for nothing.

    Kubernetes allows any character but / and % there; we allow those that its own names have."""
    if len(text) <= 253 and _SEGMENT.fullmatch(text):
        return ""
    return "at most 253 letters, digits, '-', '_', '.' and ':', a letter or digit at both ends"


def is_port_name(text: str) -> bool:
    """Whether it is a port name (RFC 6335): at most 15 of a-z, 0-9, `-`, with a letter."""
    return 0 < len(text) <= 15 and text[-1] != "-" and _PORT.fullmatch(text) is not None


def key_problem(key: str) -> str:
    """What is wrong with the key of a label or annotation; empty when nothing is."""
    prefix, slash, name = key.rpartition("/")
    if slash and not is_subdomain(prefix):
        return "the part before '/' must be a DNS name"
    if not name or len(name) > 63:
        return "the name part must have 1 to 63 characters"
    if not _QUALIFIED.fullmatch(name):
        return _ALLOWED
    return ""


def value_problem(value: str) -> str:
    """What is wrong with a label's value; empty when nothing is."""
    if len(value) > 63:
        return "longer than 63 characters"
    if value and not _QUALIFIED.fullmatch(value):
        return _ALLOWED
    return ""


def check_labels(labels: Mapping[str, str], path: Path, report: Report) -> None:
    """Keys and values of labels."""
    for key, value in labels.items():
        check_key(key, (*path, key), report)
        check_value(value, (*path, key), report)


def check_key(key: str, path: Path, report: Report) -> None:
    """The key of a label."""
    problem = key_problem(key)
    if problem:
        report.error(path, "bad-label", f"{key[:64]!r} cannot be the key of a label: {problem}")


def check_value(value: str, path: Path, report: Report) -> None:
    """The value of a label."""
    problem = value_problem(value)
    if problem:
        report.error(path, "bad-label", f"{value[:64]!r} cannot be the value of a label: {problem}")


def check_annotations(annotations: Mapping[str, str], path: Path, report: Report) -> None:
    """Keys and total size of annotations."""
    for key in annotations:
        problem = key_problem(key.lower())
        if problem:
            report.error(
                (*path, key), "bad-annotation", f"{key[:64]!r} cannot be the key of an annotation: {problem}"
            )
    if sum(len(key) + len(value) for key, value in annotations.items()) > _LONGEST_ANNOTATIONS:
        report.error(
            path, "too-large", f"annotations take more than {_LONGEST_ANNOTATIONS} characters together"
        )


def check_selector(selector: LabelSelector | None, path: Path, report: Report) -> None:
    """A label selector of Kubernetes."""
    if selector is None:
        return
    check_labels(selector.match_labels, (*path, "matchLabels"), report)
    for index, requirement in enumerate(selector.match_expressions):
        here = (*path, "matchExpressions", index)
        if report.required((*here, "key"), requirement.key):
            check_key(requirement.key, (*here, "key"), report)
        if not report.one_of((*here, "operator"), requirement.operator, OPERATORS):
            continue
        if requirement.operator in ("In", "NotIn"):
            if not requirement.values:
                report.error(
                    (*here, "values"), "missing-field", f"values are required with {requirement.operator}"
                )
        elif requirement.values:
            report.error((*here, "values"), "conflict", f"values are not allowed with {requirement.operator}")
        for at, value in enumerate(requirement.values):
            check_value(value, (*here, "values", at), report)
