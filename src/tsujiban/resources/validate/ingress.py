"""Ingresses. Source: Kubernetes API reference, Ingress v1 networking.k8s.io."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tsujiban.resources.kinds import ingress
from tsujiban.resources.positions import Path
from tsujiban.resources.validate.report import Report

PATH_TYPES = ("Exact", "Prefix", "ImplementationSpecific")


def _ingress(found: ingress.Ingress, raw: Mapping[str, Any], report: Report) -> None:
    spec = found.spec
    if spec.default_backend is None and not spec.rules:
        report.error(("spec",), "missing-field", "rules or defaultBackend is required")
    if spec.default_backend is not None:
        _backend(spec.default_backend, ("spec", "defaultBackend"), report)
    for index, rule in enumerate(spec.rules):
        paths: Path = ("spec", "rules", index, "http", "paths")
        if rule.http is not None and not rule.http.paths:
            report.error(paths, "missing-field", "paths are required")
        for at, one in enumerate(rule.http.paths if rule.http is not None else ()):
            here: Path = (*paths, at)
            report.required((*here, "pathType"), one.path_type)
            if one.path_type:
                report.one_of((*here, "pathType"), one.path_type, PATH_TYPES)
            if one.path_type in PATH_TYPES[:2] and not one.path.startswith("/"):
                report.error((*here, "path"), "bad-value", "must begin with '/'")
            if one.backend is None:
                report.error((*here, "backend"), "missing-field", "backend is required")
            else:
                _backend(one.backend, (*here, "backend"), report)


def _backend(backend: ingress.IngressBackend, path: Path, report: Report) -> None:
    service = backend.service
    if (service is None) == (backend.resource is None):
        report.error(path, "conflict", "either service or resource is required, and not both")
    if service is None:
        return
    report.required((*path, "service", "name"), service.name)
    port = service.port or ingress.ServiceBackendPort()
    here: Path = (*path, "service", "port")
    if bool(port.name) == (port.number is not None):
        report.error(here, "conflict", "either name or number is required, and not both")
    elif port.number is not None:
        report.port((*here, "number"), port.number)


CHECKS = {"Ingress": _ingress}
