"""A container's environment, command and arguments as Kubernetes makes them. Pure.

Sources: Kubernetes API reference (EnvVar, EnvFromSource), "Define Dependent Environment Variables":
`$(NAME)` stands for a variable defined before, `$$(NAME)` for the text `$(NAME)`, and what names no variable
stays as it is. That an object is missing is said in the kubelet's words.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

from tsujiban.agent import podresources
from tsujiban.agent.objects import ConfigError, Objects
from tsujiban.resources.kinds.core import Container, Pod
from tsujiban.resources.kinds.env import EnvFromSource, EnvVar, EnvVarSource, KeySelector

REFERENCE = re.compile(r"\$\$|\$\(([^()$]+)\)")
KEYED = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)`."""

    def replace(match: re.Match[str]) -> str:
        if match.group(1) is None:
            return "$"
        return variables.get(match.group(1), match.group())

    return REFERENCE.sub(replace, text)


def named(container: Container) -> Iterator[tuple[str, str]]:
    """The ConfigMaps and Secrets that its variables come from, as (plural, name)."""
    for source in container.env_from:
        if source.config_map_ref is not None:
            yield "configmaps", source.config_map_ref.name
        if source.secret_ref is not None:
            yield "secrets", source.secret_ref.name
    for entry in container.env:
        if (found := entry.value_from) is not None:
            if found.config_map_key_ref is not None:
                yield "configmaps", found.config_map_key_ref.name
            if found.secret_key_ref is not None:
                yield "secrets", found.secret_key_ref.name


def environment(
    pod: Pod,
    container: Container,
    fields: Mapping[str, str],
    given: Mapping[str, str] | None = None,
    objects: Objects | None = None,
) -> dict[str, str]:
    """The variables of one container. `fields` are the values of `status.` and `spec.` field paths, `given`
    the variables that every container has, unless it says otherwise itself, `objects` those of its namespace.

    Values are text, with a lone surrogate for each byte that is none (PEP 383). Raises ConfigError, NotKnown.
    """
    objects = objects or Objects()
    variables: dict[str, str] = dict(given or {})
    for source in container.env_from:
        variables |= {source.prefix + key: value for key, value in _all_of(source, objects).items()}
    for entry in container.env:
        value = (
            expand(entry.value, variables)
            if entry.value_from is None
            else _from(pod, container, entry, entry.value_from, fields, objects)
        )
        if value is not None:
            variables[entry.name] = value
    for name, value in variables.items():
        if not name or "=" in name or "\0" in name:
            raise ConfigError(f"env: {name!r} is not a variable's name")
        if "\0" in value:
            raise ConfigError(f"env {name}: a variable cannot hold a NUL byte")
    return variables


def _all_of(source: EnvFromSource, objects: Objects) -> Mapping[str, str]:
    """Every key of an object."""
    if (of_config_map := source.config_map_ref) is not None:
        found = _config_map(of_config_map.name, objects)
        title, optional = f'configmap "{of_config_map.name}"', of_config_map.optional
    elif (of_secret := source.secret_ref) is not None:
        found = _secret(of_secret.name, objects)
        title, optional = f'secret "{of_secret.name}"', of_secret.optional
    else:
        raise ConfigError("envFrom: must be of a configMapRef or a secretRef")
    if found is None and not optional:
        raise ConfigError(f"{title} not found")
    return found or {}


def _from(
    pod: Pod,
    container: Container,
    entry: EnvVar,
    source: EnvVarSource,
    fields: Mapping[str, str],
    objects: Objects,
) -> str | None:
    """What a variable is; None: it is not set."""
    where = f"{pod.metadata.namespace}/"
    if source.field_ref is not None:
        try:
            return field(pod, source.field_ref.field_path, fields)
        except ConfigError as error:
            raise ConfigError(f"env {entry.name}: {error}") from None
    if source.resource_field_ref is not None:
        return podresources.value(pod, container, source.resource_field_ref)
    if (key := source.config_map_key_ref) is not None:
        return _key(key, f'configmap "{key.name}"', f"ConfigMap {where}", _config_map(key.name, objects))
    if (secret := source.secret_key_ref) is not None:
        return _key(secret, f'secret "{secret.name}"', f"Secret {where}", _secret(secret.name, objects))
    raise ConfigError(
        f"env {entry.name}: valueFrom must be a fieldRef, resourceFieldRef, configMapKeyRef or secretKeyRef"
    )


def _key(
    reference: KeySelector,
    title: str,
    kind: str,
    found: Mapping[str, str] | None,
) -> str | None:
    if found is not None and reference.key in found:
        return found[reference.key]
    if reference.optional:
        return None
    if found is None:
        raise ConfigError(f"{title} not found")
    raise ConfigError(f"couldn't find key {reference.key} in {kind}{reference.name}")


def _config_map(name: str, objects: Objects) -> Mapping[str, str] | None:
    found = objects.config_maps.get(name)
    return None if found is None else found.data


def _secret(name: str, objects: Objects) -> Mapping[str, str] | None:
    found = objects.secret(name)
    return None if found is None else {key: os.fsdecode(value) for key, value in found.items()}


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
    Docker."""
    return tuple(expand(part, variables) for part in (*container.command, *container.args))
