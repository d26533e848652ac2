"""What nearly every command begins with: which cluster, which namespace, which kind.

Heavy libraries are imported in the functions that need them, for `--help` and completion must be quick.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tsujiban.cli.errors import Exit, Failure

if TYPE_CHECKING:
    from tsujiban.local.client import Client
    from tsujiban.local.cluster import LocalCluster
    from tsujiban.resources.registry import Kind

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_CLUSTER = "local"
DEFAULT_NAMESPACE = "default"


def cluster_option(command: F) -> F:
    """`--cluster NAME`, or the environment's TSUJIBAN_CLUSTER."""
    from tsujiban.cli.complete import clusters

    return click.option(
        "--cluster",
        envvar="TSUJIBAN_CLUSTER",
        default=DEFAULT_CLUSTER,
        show_default=True,
        help="Which cluster of this machine.",
        shell_complete=clusters,
    )(command)


def namespace_option(command: F) -> F:
    """`-n NAMESPACE`."""
    from tsujiban.cli.complete import namespaces

    return click.option(
        "-n",
        "--namespace",
        default=DEFAULT_NAMESPACE,
        show_default=True,
        help="Namespace to look in.",
        shell_complete=namespaces,
    )(command)


def kubeconfig_path(cluster: str) -> Path:
    """Where `tsujiban up` writes the cluster's kubeconfig. Raises Failure for an impossible name."""
    from tsujiban.local.layout import Layout

    try:
        return Layout(cluster).kubeconfig
    except ValueError as error:
        raise Failure(str(error), code=Exit.USAGE) from error


def connect(cluster: str) -> Client:
    """A client of the API: as the file given with `--kubeconfig` says, or of the cluster of this machine.

    Raises Failure when there is no cluster, or it may not be read."""
    from tsujiban.local.client import Client
    from tsujiban.local.kubeconfig import KubeconfigError, read
    from tsujiban.local.silence import reason

    file, context = _given()
    if file:
        try:
            return Client(read(Path(file), context))
        except KubeconfigError as error:
            hint = "Check the file, or its contexts: `kubectl config get-contexts`."
            raise Failure(str(error), hint=hint, code=Exit.USAGE) from error
    path = _present(cluster)
    try:
        return Client(read(path), silence=lambda: reason(cluster))
    except KubeconfigError as error:
        raise Failure(
            str(error), hint="Start the cluster again: `tsujiban up`.", code=Exit.UNREACHABLE
        ) from error


def kubeconfig_of(cluster: str) -> tuple[str, str]:
    """File and context by which other programs reach the API that `connect` would. Raises Failure."""
    file, context = _given()
    return (file, context) if file else (str(_present(cluster)), "")


def shown_kubeconfig(cluster: str) -> str:
    """The file that `kubeconfig_of` names, whether it is there or not, for a message."""
    return _given()[0] or str(kubeconfig_path(cluster))


def _present(cluster: str) -> Path:
    """The kubeconfig of a cluster of this machine. Raises Failure."""
    path = kubeconfig_path(cluster)
    try:
        missing = not path.exists()
    except PermissionError as error:
        raise Failure(
            f"{path}: {error.strerror}", hint="Run as root, or with sudo.", code=Exit.UNREACHABLE
        ) from error
    if missing:
        option = "" if cluster == DEFAULT_CLUSTER else f" --cluster {cluster}"
        raise Failure(
            f"no cluster {cluster!r} runs on this machine",
            hint=f"Start one with `tsujiban up{option}`.",
            code=Exit.UNREACHABLE,
        )
    return path


def _given() -> tuple[str, str]:
    """What was said before the command: `tsujiban --kubeconfig FILE --context NAME ...`."""
    context = click.get_current_context(silent=True)
    said = context.find_root().params if context is not None else {}
    return str(said.get("kubeconfig") or ""), str(said.get("context") or "")


def open_local(cluster: str) -> LocalCluster:
    """The cluster's processes and namespaces on this machine; for exec and port-forward."""
    from tsujiban.local.cluster import open_cluster

    try:
        return open_cluster(cluster)
    except ValueError as error:
        raise Failure(str(error), code=Exit.USAGE) from error


def kind_of(word: str) -> Kind:
    """The kind that a person means. Raises Failure with near names."""
    from tsujiban.resources.registry import UnknownKind, resolve

    try:
        return resolve(word)
    except UnknownKind as error:
        hint = (
            f"Did you mean {' or '.join(error.suggestions)}?"
            if error.suggestions
            else "`tsujiban api-resources` lists the kinds."
        )
        raise Failure(str(error), hint=hint, code=Exit.USAGE) from error


ALL = ("pods", "services", "deployments", "replicasets", "statefulsets", "daemonsets", "jobs", "cronjobs")
"""What `all` means, to kubectl too: what runs, and what leads to it."""


def split_target(words: tuple[str, ...]) -> list[tuple[str, str]]:
    """(kind, name) pairs of `KIND`, `KIND NAME...`, `KIND/NAME...`, `KIND,KIND`; name "" is: all. The kind
    `all` is several.

    Raises Failure when the forms are mixed.
    """
    if any("/" in word for word in words):
        pairs = [word.partition("/")[::2] for word in words]
        if not all(kind and name for kind, name in pairs):
            raise Failure("write either KIND NAME or KIND/NAME, not both", code=Exit.USAGE)
        return [(kind, name) for kind, name in pairs]
    kinds = [kind for word in words[0].split(",") for kind in (ALL if word == "all" else (word,))]
    if len(words) == 1:
        return [(kind, "") for kind in kinds]
    if len(kinds) > 1:
        raise Failure("names cannot follow several kinds; write KIND/NAME", code=Exit.USAGE)
    return [(kinds[0], name) for name in words[1:]]


_WITH_PODS = ("Pod", "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "Service")


def find_pod(client: Client, namespace: str, target: str) -> dict[str, Any]:
    """A pod by name, or one pod of `deployment/NAME` and the like (or of a Deployment that has this name).

    A running pod goes before one that is not. Raises Failure.
    """
    from tsujiban.local.client import ApiError

    kind_word, separator, name = target.rpartition("/")
    if separator:
        kind = kind_of(kind_word)
        if kind.kind not in _WITH_PODS:
            raise Failure(f"{target}: a {kind.kind} has no pods", code=Exit.USAGE)
    else:
        kind = kind_of("pods")
    try:
        found = client.get(kind, namespace, name)
    except ApiError as error:
        if separator or error.http != 404:
            raise
        kind = kind_of("deployments")
        try:
            found = client.get(kind, namespace, name)
        except ApiError:
            raise error from None
    if kind.kind == "Pod":
        return found
    return _pod_of(client, namespace, kind, found)


def _pod_of(client: Client, namespace: str, kind: Kind, owner: dict[str, Any]) -> dict[str, Any]:
    from tsujiban.resources.selectorquery import as_query

    labels = as_query(owner["spec"].get("selector") or {})
    pods = client.list(kind_of("pods"), namespace, labels=labels).get("items", [])
    pods.sort(key=lambda pod: (pod.get("status", {}).get("phase") != "Running", pod["metadata"]["name"]))
    if not pods:
        raise Failure(f"{kind.singular}/{owner['metadata']['name']} has no pods")
    first: dict[str, Any] = pods[0]
    return first
