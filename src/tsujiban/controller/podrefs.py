"""What a pod refers to: the Secrets and ConfigMaps that its node must read for it.

A stored pod may hold anything where our model has no type (`volumes`), or had none when it was stored: what
is not of the right shape refers to nothing, and stops neither the controller nor the authorizer. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tsujiban.controller.world import Json, mapping, mappings

Named = tuple[str, str]  # resource, name

_VOLUME_SOURCES = (("secret", "secrets", "secretName"), ("configMap", "configmaps", "name"))
_PROJECTED_SOURCES = (("secret", "secrets", "name"), ("configMap", "configmaps", "name"))
_ENV_FROM = (("secretRef", "secrets", "name"), ("configMapRef", "configmaps", "name"))
_VALUE_FROM = (("secretKeyRef", "secrets", "name"), ("configMapKeyRef", "configmaps", "name"))
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")


def account(spec: Json) -> str:
    """Name of the service account that a pod runs as."""
    name = spec.get("serviceAccountName")
    return name if isinstance(name, str) and name else "default"


def references(spec: Json) -> Iterator[Named]:
    """All Secrets and ConfigMaps that a pod names: its node may read them."""
    yield from _named(({"secret": one} for one in mappings(spec.get("imagePullSecrets"))), _PROJECTED_SOURCES)
    yield from told(spec)


def told(spec: Json) -> Iterator[Named]:
    """The Secrets and ConfigMaps that a pod's volumes and variables are made of: its node is told of them."""
    for volume in mappings(spec.get("volumes")):
        yield from _named((volume,), _VOLUME_SOURCES)
        yield from _named(mappings(mapping(volume.get("projected")).get("sources")), _PROJECTED_SOURCES)
    for field in _CONTAINERS:
        for container in mappings(spec.get(field)):
            yield from _named(mappings(container.get("envFrom")), _ENV_FROM)
            values = (mapping(variable.get("valueFrom")) for variable in mappings(container.get("env")))
            yield from _named(values, _VALUE_FROM)


def audiences(spec: Json) -> set[str]:
    """Whom the tokens are for that a pod's volumes hold; "" is the API."""
    sources = (
        source
        for volume in mappings(spec.get("volumes"))
        for source in mappings(mapping(volume.get("projected")).get("sources"))
    )
    return {
        str(source["serviceAccountToken"].get("audience") or "")
        for source in sources
        if isinstance(source.get("serviceAccountToken"), dict)
    }


def _named(holders: Iterable[Json], sources: tuple[tuple[str, str, str], ...]) -> Iterator[Named]:
    for holder in holders:
        for field, resource, key in sources:
            name = mapping(holder.get(field)).get(key)
            if isinstance(name, str) and name:
                yield resource, name
