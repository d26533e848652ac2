"""networking.k8s.io/v1 Ingress: how requests from outside find services. Stored; nothing here routes by it,
and policy does not read it. Source: Kubernetes API reference v1.34, "Ingress", "IngressClass".
"""

from __future__ import annotations

from typing import Any

from tsujiban.resources.kinds.meta import Object, Shape


class ServiceBackendPort(Shape, frozen=True):
    """The service's port, by `name` or by `number`."""

    name: str = ""
    number: int | None = None


class IngressServiceBackend(Shape, frozen=True):
    """A service of the Ingress' own namespace, by `name`."""

    name: str = ""
    port: ServiceBackendPort | None = None


class IngressBackend(Shape, frozen=True):
    """Where requests go: to a `service`, or to another `resource`."""

    service: IngressServiceBackend | None = None
    resource: Any = None


class HTTPIngressPath(Shape, frozen=True):
    """Requests whose `path` is this one (`pathType` is Exact, Prefix or ImplementationSpecific)."""

    path: str = ""
    path_type: str = ""
    backend: IngressBackend | None = None


class HTTPIngressRuleValue(Shape, frozen=True):
    """What becomes of the `paths` of a host."""

    paths: tuple[HTTPIngressPath, ...] = ()


class IngressRule(Shape, frozen=True):
    """What becomes of the requests for a `host`, or for every host (a first * is any label)."""

    host: str = ""
    http: HTTPIngressRuleValue | None = None


class IngressTLS(Shape, frozen=True):
    """The Secret (`secretName`) whose certificate is that of these `hosts`."""

    hosts: tuple[str, ...] = ()
    secret_name: str = ""


class IngressSpec(Shape, frozen=True):
    """`rules` tell requests apart by host and path. What none of them has goes to `defaultBackend`.
    `ingressClassName` names who is to carry it out. `tls` says which certificates are shown."""

    ingress_class_name: str | None = None
    default_backend: IngressBackend | None = None
    rules: tuple[IngressRule, ...] = ()
    tls: tuple[IngressTLS, ...] = ()


class Ingress(Object, frozen=True):
    """networking.k8s.io/v1 Ingress."""

    spec: IngressSpec = IngressSpec()
    status: Any = None


class IngressClassSpec(Shape, frozen=True):
    """Who carries Ingresses of this class out (`controller`), and with what `parameters`."""

    controller: str = ""
    parameters: Any = None


class IngressClass(Object, frozen=True):
    """networking.k8s.io/v1 IngressClass."""

    spec: IngressClassSpec = IngressClassSpec()
