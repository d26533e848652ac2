"""Where a container's environment comes from.

Source: Kubernetes API reference v1.34, "EnvVar", "EnvFromSource".
"""

from __future__ import annotations

from tsujiban.resources.kinds.meta import Shape


class ObjectFieldSelector(Shape, frozen=True):
    """A field of the pod."""

    api_version: str = ""
    field_path: str = ""


class ResourceFieldSelector(Shape, frozen=True):
    """A container's request or limit; `container_name` "" is the container itself, `divisor` its unit."""

    container_name: str = ""
    resource: str = ""
    divisor: int | str | None = None


class KeySelector(Shape, frozen=True):
    """One key of an object of the same namespace; without it the container waits, unless it is `optional`."""

    name: str = ""
    key: str = ""
    optional: bool | None = None


class FileKeySelector(Shape, frozen=True):
    """One key of a file in a volume."""

    volume_name: str = ""
    path: str = ""
    key: str = ""
    optional: bool | None = None


class EnvVarSource(Shape, frozen=True):
    """Where a variable's value comes from: one of these."""

    field_ref: ObjectFieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    config_map_key_ref: KeySelector | None = None
    secret_key_ref: KeySelector | None = None
    file_key_ref: FileKeySelector | None = None


class EnvVar(Shape, frozen=True):
    """One environment variable."""

    name: str = ""
    value: str = ""
    value_from: EnvVarSource | None = None


class EnvSource(Shape, frozen=True):
    """An object of the same namespace, which may be `optional`."""

    name: str = ""
    optional: bool | None = None


class EnvFromSource(Shape, frozen=True):
    """All keys of a ConfigMap or Secret as variables, their names after a `prefix`."""

    prefix: str = ""
    config_map_ref: EnvSource | None = None
    secret_ref: EnvSource | None = None
