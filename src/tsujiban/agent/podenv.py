"""A container's environment, command and arguments as Kubernetes makes them. Pure.

Sources: Kubernetes API reference (EnvVar, `fieldRef`), and "Define Dependent Environment
Variables": `$(NAME)` stands for a variable defined before, `$$(NAME)` for the text `$(NAME)`,
and what names no variable stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from tsujiban.resources.kinds.core import Container, EnvVar, Pod

REFERENCE = re.compile(r"\$\$|\$\(([^()$]+)\)")
KEYED = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


class ConfigError(ValueError):
    """A container that cannot be made from what was written; `reason` is a Kubernetes reason."""

    reason = "CreateContainerConfigError"


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)`."""

    def replace(match: re.Match[str]) -> str:
        if match.group(1) is None:
            return "$"
        return variables.get(match.group(1), match.group())

    return REFERENCE.sub(replace, text)


def of_api(address: str) -> dict[str, str]:
    """What says where the API is: clients in a pod look for the first two; the rest is what the kubelet
    writes of the service `kubernetes`. Nothing without an address."""
    if not address:
        return {}
    url = f"tcp://{address}:443"
    return {
        "KUBERNETES_SERVICE_HOST": address,
        "KUBERNETES_SERVICE_PORT": "443",
        "KUBERNETES_SERVICE_PORT_HTTPS": "443",
        "KUBERNETES_PORT": url,
        "KUBERNETES_PORT_443_TCP": url,
        "KUBERNETES_PORT_443_TCP_PROTO": "tcp",
        "KUBERNETES_PORT_443_TCP_PORT": "443",
        "KUBERNETES_PORT_443_TCP_ADDR": address,
    }


def environment(
    pod: Pod, container: Container, fields: Mapping[str, str], given: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The variables of one container. `fields` are the values of `status.` and `spec.` field paths, `given`
    the variables that every container has, unless it says otherwise itself.

    Raises ConfigError.
    """
    if container.env_from:
        raise ConfigError("envFrom is not supported: write env with values")
    variables: dict[str, str] = dict(given or {})
    for entry in container.env:
        variables[entry.name] = (
            expand(entry.value, variables) if entry.value_from is None else _from_field(pod, entry, fields)
        )
    return variables


def _from_field(pod: Pod, entry: EnvVar, fields: Mapping[str, str]) -> str:
    reference = entry.value_from.field_ref if entry.value_from is not None else None
    if not isinstance(reference, dict):
        raise ConfigError(f"env {entry.name}: only value and valueFrom.fieldRef are supported")
    try:
        return field(pod, str(reference.get("fieldPath", "")), fields)
    except ConfigError as error:
        raise ConfigError(f"env {entry.name}: {error}") from None


def field(pod: Pod, path: str, fields: Mapping[str, str]) -> str:
    """What a field path of a pod stands for; `fields` are the values of those that are not in it.

    Raises ConfigError.
    """
    keyed = KEYED.fullmatch(path)
    if keyed:
        table = pod.metadata.labels if keyed.group(1) == "labels" else pod.metadata.annotations
        return table.get(keyed.group(2), "")
    known = {
        "metadata.name": pod.metadata.name,
        "metadata.namespace": pod.metadata.namespace,
        "metadata.uid": pod.metadata.uid,
        "spec.nodeName": pod.spec.node_name,
        "spec.serviceAccountName": pod.spec.service_account_name or "default",
        **fields,
    }
    if path not in known:
        raise ConfigError(f"unknown fieldPath {path!r}; one of {', '.join(sorted(known))}")
    return known[path]


def command(container: Container, variables: Mapping[str, str]) -> tuple[str, ...]:
    """What is run: the image `host` has no entry point, so arguments alone are a command, as they are to
    Docker. Raises ConfigError."""
    words = (*container.command, *container.args)
    if not words:
        raise ConfigError('command: it or args is required, for the image "host" has none of its own')
    return tuple(expand(part, variables) for part in words)
