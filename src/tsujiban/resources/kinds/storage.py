"""v1 PersistentVolume and PersistentVolumeClaim: storage that outlives a pod. Stored; nothing here provides
it, so that a claim stays pending. Source: Kubernetes API reference v1.34, of both kinds.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tsujiban.resources.kinds.core import ObjectReference
from tsujiban.resources.kinds.meta import LabelSelector, Object, Shape
from tsujiban.resources.kinds.parts import NodeSelector, ResourceRequirements

ACCESS_MODES = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")


class PersistentVolumeClaimSpec(Shape, frozen=True):
    """Storage of a size (`resources`) and kind (`storageClassName`), for those who use it in one of the
    `accessModes`; or the one volume that is named (`volumeName`) or selected (`selector`)."""

    access_modes: tuple[str, ...] = ()
    resources: ResourceRequirements | None = None
    selector: LabelSelector | None = None
    storage_class_name: str | None = None
    volume_attributes_class_name: str | None = None
    volume_mode: str | None = None
    volume_name: str = ""
    data_source: Any = None
    data_source_ref: Any = None


class PersistentVolumeClaim(Object, frozen=True):
    """v1 PersistentVolumeClaim."""

    spec: PersistentVolumeClaimSpec = PersistentVolumeClaimSpec()
    status: Any = None


class VolumeNodeAffinity(Shape, frozen=True):
    """Nodes that reach the volume (`required`)."""

    required: NodeSelector | None = None


class PersistentVolumeSpec(Shape, frozen=True):
    """Its size (`capacity`), whose it is (`claimRef`), what becomes of it afterwards
    (`persistentVolumeReclaimPolicy`), and where it is: one of the other fields."""

    capacity: dict[str, Any] = msgspec.field(default_factory=dict)
    access_modes: tuple[str, ...] = ()
    claim_ref: ObjectReference | None = None
    persistent_volume_reclaim_policy: str = ""
    storage_class_name: str = ""
    volume_attributes_class_name: str | None = None
    volume_mode: str | None = None
    mount_options: tuple[str, ...] = ()
    node_affinity: VolumeNodeAffinity | None = None
    aws_elastic_block_store: Any = None
    azure_disk: Any = None
    azure_file: Any = None
    cephfs: Any = None
    cinder: Any = None
    csi: Any = None
    fc: Any = None
    flex_volume: Any = None
    flocker: Any = None
    gce_persistent_disk: Any = None
    glusterfs: Any = None
    host_path: Any = None
    iscsi: Any = None
    local: Any = None
    nfs: Any = None
    photon_persistent_disk: Any = None
    portworx_volume: Any = None
    quobyte: Any = None
    rbd: Any = None
    scale_io: Any = msgspec.field(default=None, name="scaleIO")
    storageos: Any = None
    vsphere_volume: Any = None


class PersistentVolume(Object, frozen=True):
    """v1 PersistentVolume."""

    spec: PersistentVolumeSpec = PersistentVolumeSpec()
    status: Any = None
