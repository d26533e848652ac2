"""A small world for external authorization: web may be read by shop, on port 8080, below /v1."""

from __future__ import annotations

from typing import Any

from envoy.service.auth.v3 import external_auth_pb2

from tsujiban.extauthz.policies import Policies, keyed
from tsujiban.resources.load import LoadedObject, read

WEB, SHOP, OTHER = "10.244.0.1", "10.244.0.2", "10.244.0.3"
DOMAIN = "cluster.local"


def identity(account: str) -> str:
    return f"spiffe://{DOMAIN}/ns/default/sa/{account}"


def manifests(web: str = WEB, shop: str = SHOP) -> str:
    """Pods and policy, as a user writes them. The pods have no proxy of ours."""
    pods = ""
    for name, address in (("web", web), ("shop", shop)):
        pods += f"""---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: default, labels: {{app: {name}, tsujiban.io/mesh: none}}}}
spec: {{serviceAccountName: {name}, containers: [{{name: c, image: host}}]}}
status: {{podIP: {address}, podIPs: [{{ip: {address}}}], phase: Running}}
"""
    return (
        pods
        + """---
apiVersion: v1
kind: Namespace
metadata: {name: default}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: default}
spec:
  selector: {matchLabels: {app: web}}
  action: ALLOW
  rules:
  - from: [{source: {principals: [cluster.local/ns/default/sa/shop]}}]
    to: [{operation: {methods: [GET], paths: [/v1/*]}}]
"""
    )


def ask(
    *,
    source: str = SHOP,
    destination: str = WEB,
    principal: str = "",
    method: str = "GET",
    path: str = "/v1/x",
    headers: dict[str, str] | None = None,
) -> external_auth_pb2.CheckRequest:
    """A question as Envoy puts it. Without `method` it is about a connection."""
    request = external_auth_pb2.CheckRequest()
    attributes = request.attributes
    for peer, address, port in (
        (attributes.source, source, 40000),
        (attributes.destination, destination, 8080),
    ):
        peer.address.socket_address.address = address
        peer.address.socket_address.port_value = port
    attributes.source.principal = principal
    if method:
        http: Any = attributes.request.http
        http.method, http.path, http.host = method, path, "web"
        http.headers.update(headers or {})
    return request


def loaded(text: str) -> list[LoadedObject]:
    """The objects of a manifest."""
    return read([("manifest", text.encode())], offline=True).objects


def policies() -> Policies:
    """The world's policies, from its manifest."""
    made = Policies(DOMAIN, offline=True)
    made.change(keyed(loaded(manifests())))
    return made
