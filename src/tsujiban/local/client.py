"""A small synchronous client of the API server, for the command line and the demonstration.

It speaks the Kubernetes REST paths that the API server serves, and Tsujiban's own beside them.
Objects stay plain JSON here: what is shown is what the server said.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx

from tsujiban.local.kubeconfig import Access
from tsujiban.local.unreachable import Unreachable, unreachable
from tsujiban.resources.registry import Kind, kind_for

Json = dict[str, Any]
CONNECT_SECONDS = 15.0  # to connect, TLS and all: where nobody listens it is known at once
ANSWER_SECONDS = 30.0


class ApiError(Exception):
    """The server refused. `status` is its Kubernetes Status object, `http` the HTTP status code."""

    def __init__(self, http: int, status: Json) -> None:
        super().__init__(str(status.get("message") or f"the API server answered {http}"))
        self.http = http
        self.status = status


def resource_path(kind: Kind, namespace: str | None, name: str = "", *parts: str) -> str:
    """Path of a kind's collection, or of one object, or of a subresource of it."""
    root = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.api_version}"
    scope = f"/namespaces/{namespace}" if kind.namespaced and namespace else ""
    return "/".join([f"{root}{scope}/{kind.plural}", *(part for part in (name, *parts) if part)])


class Client:
    """Talks to one API server. Use as a context manager."""

    def __init__(
        self,
        access: Access,
        transport: httpx.BaseTransport | None = None,
        silence: Callable[[], Unreachable | None] | None = None,
    ) -> None:
        """Raises Unreachable when a certificate file cannot be read; `silence` knows more of a server that
        does not answer; `transport` is for tests."""
        self._silence = silence
        self.server = access.server
        self.access = access
        try:
            verify = True if transport else access.ssl_context()
        except OSError as error:
            raise Unreachable(
                f"cannot read the client certificate of {access.server}: {error}",
                "Run as the user who ran `tsujiban up` (root), or start the cluster again.",
            ) from error
        self._http = httpx.Client(
            base_url=access.server,
            headers=access.headers(),
            verify=verify,
            transport=transport,
            trust_env=False,
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._http.close()

    def hurry(self, seconds: float) -> None:
        """Give up what is not answered within `seconds`, from now on."""
        self._http.timeout = httpx.Timeout(seconds)

    # ------------------------------------------------------------------ objects

    def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
        limit: int = 0,
    ) -> Json:
        """The Kubernetes list of a kind; all namespaces when `namespace` is None. With a `limit` it is asked
        for so many objects at a time."""
        wanted = {"labelSelector": labels, "fieldSelector": fields, "limit": str(limit) if limit else ""}
        parameters = {name: value for name, value in wanted.items() if value}
        path = resource_path(kind, namespace)
        found = self._json("GET", path, params=parameters)
        page = found
        while going_on := (page.get("metadata") or {}).get("continue"):
            page = self._json("GET", path, params={**parameters, "continue": going_on})
            found["items"].extend(page.get("items", []))
        for item in found.get("items", []):  # a list's items leave these out, as Kubernetes' do
            item.setdefault("apiVersion", kind.api_version)
            item.setdefault("kind", kind.kind)
        return found

    def get(self, kind: Kind, namespace: str | None, name: str) -> Json:
        """One object. Raises ApiError (404) when there is none."""
        return self._json("GET", resource_path(kind, namespace, name))

    def exists(self, kind: Kind, namespace: str | None, name: str) -> bool:
        """Whether there is such an object."""
        try:
            self.get(kind, namespace, name)
        except ApiError as error:
            if error.http == 404:
                return False
            raise
        return True

    def delete(self, kind: Kind, namespace: str | None, name: str, options: Json | None = None) -> Json:
        """Delete one object, with DeleteOptions."""
        body = {"json": {"apiVersion": "v1", "kind": "DeleteOptions", **options}} if options else {}
        return self._json("DELETE", resource_path(kind, namespace, name), **body)

    def watch(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
        since: str = "",
        seconds: float | None = None,
    ) -> Iterator[Json]:
        """Events ({"type", "object"}) from resourceVersion `since` on; ends after `seconds`."""
        parameters = {
            "watch": "1",
            "resourceVersion": since,
            "labelSelector": labels,
            "fieldSelector": fields,
        }
        if seconds is not None:
            parameters["timeoutSeconds"] = str(max(1, round(seconds)))
        given = {key: value for key, value in parameters.items() if value}
        yield from self._lines(resource_path(kind, namespace), given)

    def apply(self, objects: Sequence[Json], *, dry_run: bool = False) -> Json:
        """Create or change all of `objects`, or none of them."""
        return self._json("POST", "/tsujiban/v1/apply", json={"objects": [*objects], "dryRun": dry_run})

    def token(self, namespace: str, account: str, spec: Json) -> str:
        """A token for a service account (TokenRequest)."""
        path = resource_path(kind_for("v1", "ServiceAccount"), namespace, account, "token")
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        return str(self._json("POST", path, json=body)["status"]["token"])

    def controller_token(self, seconds: int) -> Json:
        """A one-time token that makes a machine a controller (`controller.enrolment.TokenMade`)."""
        return self._json("POST", "/tsujiban/v1/controllers/tokens", json={"seconds": seconds})

    def withdraw_controller_tokens(self) -> int:
        """Make all of them that wait worthless; how many."""
        return int(self._json("DELETE", "/tsujiban/v1/controllers/tokens")["withdrawn"])

    # ------------------------------------------------------------------ the rest

    def version(self) -> str:
        """The server's version, as Kubernetes says it."""
        return str(self._json("GET", "/version").get("gitVersion", ""))

    def status(self) -> Json:
        """Every component and its health."""
        return self._json("GET", "/tsujiban/v1/status")

    def flows(self, *, follow: bool = False, parameters: dict[str, str] | None = None) -> Iterator[Json]:
        """Flow records, oldest first; with `follow`, new ones as they come."""
        given = dict(parameters or {})
        if follow:
            given["follow"] = "1"
        yield from self._lines("/tsujiban/v1/flows", given)

    def log(self, namespace: str, pod: str, parameters: dict[str, str]) -> Iterator[bytes]:
        """A container's log in pieces; `parameters` as PodLogOptions."""
        with self._open(f"/api/v1/namespaces/{namespace}/pods/{pod}/log", parameters) as answer:
            yield from answer.iter_bytes()

    def _lines(self, path: str, parameters: dict[str, str]) -> Iterator[Json]:
        with self._open(path, parameters) as answer:
            for line in answer.iter_lines():
                if line:
                    yield json.loads(line)

    @contextmanager
    def _open(self, path: str, parameters: dict[str, str]) -> Iterator[httpx.Response]:
        """A streamed answer; silence is no error, an end is the end."""
        timeout = httpx.Timeout(CONNECT_SECONDS, read=None)
        try:
            with self._http.stream("GET", path, params=parameters, timeout=timeout) as answer:
                if answer.status_code >= 400:
                    answer.read()
                    _check(answer)
                yield answer
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _json(self, method: str, path: str, **arguments: Any) -> Json:
        answer = self._reach(lambda: self._http.request(method, path, **arguments))
        _check(answer)
        found: Json = answer.json()
        return found

    def _reach(self, call: Callable[[], httpx.Response]) -> httpx.Response:
        try:
            return call()
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> Unreachable:
        return (self._silence() if self._silence else None) or unreachable(self.access, error)


def _check(answer: httpx.Response) -> None:
    if answer.status_code < 400:
        return
    try:
        status = answer.json()
    except ValueError:
        status = {"message": answer.text.strip()[:400]}
    raise ApiError(answer.status_code, status if isinstance(status, dict) else {"message": str(status)})
