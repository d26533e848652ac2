"""What a pod's volumes and their mounts may say: what the API judges them by, and the node reads.

A pod keeps them as plain data (`core.PodSpec.volumes`), so that one that was stored before these were known
stops nobody from reading it. Source: Kubernetes API reference v1.34, "Volume", "VolumeMount".
"""

from __future__ import annotations

from typing import Any

import msgspec

from tsujiban.resources.kinds.env import ObjectFieldSelector, ResourceFieldSelector
from tsujiban.resources.kinds.meta import Shape

MIN_SECONDS, DEFAULT_SECONDS = 600, 3600  # of a projected token's life


class KeyToPath(Shape, frozen=True):
    """One key of an object as a file."""

    key: str = ""
    path: str = ""
    mode: int | None = None


class ConfigMapVolumeSource(Shape, frozen=True):
    """All or some keys of a ConfigMap."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int | None = None
    optional: bool | None = None


class SecretVolumeSource(Shape, frozen=True):
    """All or some keys of a Secret."""

    secret_name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int | None = None
    optional: bool | None = None


class DownwardAPIVolumeFile(Shape, frozen=True):
    """One thing that is known of the pod, as a file."""

    path: str = ""
    field_ref: ObjectFieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    mode: int | None = None


class DownwardAPIVolumeSource(Shape, frozen=True):
    """What is known of the pod."""

    items: tuple[DownwardAPIVolumeFile, ...] = ()
    default_mode: int | None = None


class ConfigMapProjection(Shape, frozen=True):
    """As ConfigMapVolumeSource, in a projected volume."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    optional: bool | None = None


class SecretProjection(Shape, frozen=True):
    """As SecretVolumeSource, in a projected volume."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    optional: bool | None = None


class DownwardAPIProjection(Shape, frozen=True):
    """As DownwardAPIVolumeSource, in a projected volume."""

    items: tuple[DownwardAPIVolumeFile, ...] = ()


class ServiceAccountTokenProjection(Shape, frozen=True):
    """A token of the pod's account for one audience ("": the API); seconds that it lives."""

    audience: str = ""
    expiration_seconds: int | None = None
    path: str = ""

    @property
    def seconds(self) -> int:
        """Seconds that it is to live."""
        return DEFAULT_SECONDS if self.expiration_seconds is None else self.expiration_seconds


class VolumeProjection(Shape, frozen=True):
    """One source of a projected volume."""

    secret: SecretProjection | None = None
    config_map: ConfigMapProjection | None = None
    downward_api: DownwardAPIProjection | None = msgspec.field(default=None, name="downwardAPI")
    service_account_token: ServiceAccountTokenProjection | None = None
    cluster_trust_bundle: Any = None
    pod_certificate: Any = None


class ProjectedVolumeSource(Shape, frozen=True):
    """Several sources in one place."""

    sources: tuple[VolumeProjection, ...] = ()
    default_mode: int | None = None


class EmptyDirVolumeSource(Shape, frozen=True):
    """A directory that lives as long as the pod."""

    medium: str = ""
    size_limit: Any = None


class Volume(Shape, frozen=True):
    """A name, and one source. Of sources that no node here has, only the name is known."""

    name: str = ""
    empty_dir: EmptyDirVolumeSource | None = None
    config_map: ConfigMapVolumeSource | None = None
    secret: SecretVolumeSource | None = None
    downward_api: DownwardAPIVolumeSource | None = msgspec.field(default=None, name="downwardAPI")
    projected: ProjectedVolumeSource | None = None
    host_path: Any = None
    persistent_volume_claim: Any = None
    ephemeral: Any = None
    csi: Any = None
    nfs: Any = None
    iscsi: Any = None
    image: Any = None
    fc: Any = None
    git_repo: Any = None
    glusterfs: Any = None
    rbd: Any = None
    cephfs: Any = None
    cinder: Any = None
    flex_volume: Any = None
    flocker: Any = None
    aws_elastic_block_store: Any = None
    gce_persistent_disk: Any = None
    azure_disk: Any = None
    azure_file: Any = None
    photon_persistent_disk: Any = None
    portworx_volume: Any = None
    quobyte: Any = None
    scale_io: Any = msgspec.field(default=None, name="scaleIO")
    storageos: Any = None
    vsphere_volume: Any = None

    @property
    def sources(self) -> tuple[str, ...]:
        """The fields that say what it is of: one, when it is right."""
        return tuple(
            encoded
            for field, encoded in zip(self.__struct_fields__, self.__struct_encode_fields__, strict=True)
            if field != "name" and getattr(self, field) is not None
        )


class VolumeMount(Shape, frozen=True):
    """Where a container sees a volume."""

    name: str = ""
    mount_path: str = ""
    read_only: bool | None = None
    sub_path: str = ""
    sub_path_expr: str = ""
    recursive_read_only: str | None = None
    mount_propagation: str | None = None
