"""From a Kubernetes pod to processes: what runs, as whom, with what in sight.

One image exists: `host`, the machine's own file system, read-only. Every container runs as uid
and gid 300000 + the pod's slot, without capabilities, whatever its securityContext says: there
is no way to ask for more. What cannot be run is said per container, with Kubernetes' reasons.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from tsujiban.agent import (
    cgroups,
    envfiles,
    etcfiles,
    hooks,
    podenv,
    podservices,
    podtokens,
    probes,
    terminationmessage,
    volumes,
)
from tsujiban.agent.cgroups import Group, Groups
from tsujiban.agent.hooks import Hooks
from tsujiban.agent.objects import ConfigError, Objects
from tsujiban.agent.sandbox import MESSAGES, Console, Mount, Sandbox
from tsujiban.agent.terminationmessage import LastWords
from tsujiban.policy.program import ServiceProgram
from tsujiban.resources.kinds.core import Container, Pod
from tsujiban.supervise.spec import ProcessSpec, Restart

CONTAINER_UID = 300_000
SIDECAR_UID = 200_000
MAX_SLOTS = 100_000
IMAGE = "host"
SANDBOXES = "sandboxes"  # directory of the pods' sandboxes, in a node's run directory
DEFAULT_GRACE = 30  # seconds; Kubernetes' terminationGracePeriodSeconds
_RESTART = {
    "": Restart.ALWAYS,
    "Always": Restart.ALWAYS,
    "OnFailure": Restart.ON_FAILURE,
    "Never": Restart.NEVER,
}


class ImageError(ConfigError):
    """An image that is not here, and never will be."""

    reason = "ErrImagePull"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a pod is put: its node, its directory there, its addresses, its slot.

    The slot is a number that no other pod of this machine has while this one exists.
    """

    cluster: str
    node: str
    node_run: Path  # the node's run directory
    slot: int
    addresses: tuple[str, ...]
    host_ip: str = ""
    dns_address: str = ""
    cluster_domain: str = "cluster.local"
    objects: Objects = field(default_factory=Objects)  # of the pod's namespace
    trust_bundle_pem: str = ""  # what a pod verifies the API by
    groups: Groups = field(default_factory=Groups)  # what the machine can limit
    api_address: str = ""  # service address of the API; "": pods do not reach it

    @property
    def container_uid(self) -> int:
        """User and group of the pod's containers."""
        return CONTAINER_UID + self.slot

    @property
    def sidecar_uid(self) -> int:
        """User and group of the pod's sidecar."""
        return SIDECAR_UID + self.slot


class Stage(StrEnum):
    """When a container has its turn: one after the other and to its end; one after the other and on beside
    all others (an init container with `restartPolicy: Always`); all together after those."""

    INIT = "init"
    SIDECAR = "sidecar"
    MAIN = "main"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerPlan:
    """One container: its process, or why there is none."""

    name: str
    image: str
    stage: Stage = Stage.MAIN
    hooks: Hooks = field(default_factory=Hooks)
    process: ProcessSpec | None = None
    readiness: probes.Probe | None = None
    liveness: probes.Probe | None = None
    startup: probes.Probe | None = None
    last_words: LastWords | None = None
    group: Group | None = None
    reason: str = ""  # Kubernetes' reason: ErrImagePull, CreateContainerConfigError
    message: str = ""


def process_name(node: str, pod_uid: str, process: str) -> str:
    """The supervisor's name of a process of a pod; `process` is a container's name, or `sidecar.`"""
    return f"{node}/pods/{pod_uid}/{process}"


def pod_prefix(node: str, pod_uid: str) -> str:
    """What the supervisor's names of all processes of a pod start with."""
    return process_name(node, pod_uid, "")


def sandbox_of(pod: Pod, place: Place) -> Sandbox:
    """The pod's sandbox."""
    return Sandbox(
        cluster=place.cluster,
        uid=pod.metadata.uid,
        directory=place.node_run / SANDBOXES / pod.metadata.uid,
        names=etcfiles.Names(
            hostname=(pod.spec.hostname or pod.metadata.name)[:63].rstrip("-."),
            subdomain=pod.spec.subdomain,
            namespace=pod.metadata.namespace or "default",
            cluster_domain=place.cluster_domain,
            dns_address=place.dns_address,
            addresses=place.addresses,
            **etcfiles.asked(pod.spec),
        ),
    )


def plan(pod: Pod, place: Place) -> tuple[ContainerPlan, ...]:
    """All containers of a pod, in the order of their turns. Pure; a container that cannot run says why."""
    sandbox = sandbox_of(pod, place)
    plans = []
    for container, stage in _turns(pod):
        try:
            plans.append(_plan(pod, container, stage, place, sandbox))
        except ConfigError as error:
            plans.append(
                ContainerPlan(
                    name=container.name,
                    image=container.image,
                    stage=stage,
                    reason=error.reason,
                    message=str(error),
                )
            )
    return tuple(plans)


def _turns(pod: Pod) -> Iterator[tuple[Container, Stage]]:
    for container in pod.spec.init_containers:
        yield container, Stage.SIDECAR if container.restart_policy == "Always" else Stage.INIT
    for container in pod.spec.containers:
        yield container, Stage.MAIN


def given(
    pod: Pod, container: str, place: Place, services: Iterable[ServiceProgram]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """What a container is given when it starts: its command and its variables. Pure.

    Raises ConfigError, NotKnown."""
    found = next(one for one, _ in _turns(pod) if one.name == container)
    known = podservices.of_api(place.api_address)
    if pod.spec.enable_service_links is not False:
        known = podservices.of_namespace(services, pod.metadata.namespace or "default") | known
    variables = podenv.environment(pod, found, _fields(place), known, place.objects)
    return podenv.command(found, variables), variables


def named(pod: Pod) -> set[tuple[str, str]]:
    """The ConfigMaps and Secrets that a pod's volumes and variables are made of, as (plural, name)."""
    found = {one for container, _ in _turns(pod) for one in podenv.named(container)}
    try:
        return found | volumes.named(pod)
    except ConfigError:  # which its containers' plans tell
        return found


def prepare(pod: Pod, place: Place, tokens: Mapping[tuple[str, str], bytes]) -> None:
    """Make the pod's sandbox and volumes; may be repeated. `tokens` are those that its volumes hold, by
    volume and path. Raises ConfigError, OSError, NamespaceError."""
    sandbox = sandbox_of(pod, place)
    sandbox.prepare()
    for planned in plan(pod, place):
        if planned.group is not None:
            place.groups.make(planned.group)
    objects = replace(place.objects, tokens=tokens)
    volumes.materialise(pod, volumes_of(pod, place), place.container_uid, objects)


def volumes_of(pod: Pod, place: Place) -> Path:
    """Where the pod's volumes are."""
    return sandbox_of(pod, place).directory / "volumes"


def _plan(pod: Pod, container: Container, stage: Stage, place: Place, sandbox: Sandbox) -> ContainerPlan:
    if container.image != IMAGE:
        raise ImageError(
            f'image {container.image!r}: only "{IMAGE}", the machine\'s own file system, can be run'
        )
    if pod.spec.ephemeral_containers:
        raise ConfigError("ephemeralContainers are not supported")
    if pod.spec.host_network or pod.spec.host_pid or pod.spec.host_ipc:
        raise ConfigError("hostNetwork, hostPID and hostIPC are not allowed: a pod has its own namespaces")
    if not 0 <= place.slot < MAX_SLOTS:
        raise ConfigError(f"slot {place.slot} is not between 0 and {MAX_SLOTS - 1}")
    if not (container.command or container.args):
        raise ConfigError('command: it or args is required, for the image "host" has none of its own')
    grace = pod.spec.termination_grace_period_seconds
    lifecycle = hooks.parse(container)
    group = _group(pod, container, place)
    count = len(pod.spec.containers) + len(pod.spec.init_containers)
    last_words = terminationmessage.parse(container, sandbox.directory / MESSAGES / container.name, count)
    mounts = volumes.mounts(pod, container, volumes_of(pod, place))
    message = Mount(str(last_words.path), last_words.target, writable=True)
    process = sandbox.process(
        process_name(place.node, pod.metadata.uid, container.name),
        uid=place.container_uid,
        gid=place.container_uid,
        given=str(envfiles.path_of(sandbox.directory, container.name)),
        cwd=container.working_dir or "/",
        mounts=(*podtokens.with_token(pod, sandbox.directory, mounts), message),
        restart=_restart(pod, stage),
        stop_signal=lifecycle.stop_signal,
        grace=DEFAULT_GRACE if grace is None else grace,
        console=_console(container, sandbox),
        message=str(last_words.path),
        group=group,
    )
    process.check()
    return ContainerPlan(
        name=container.name,
        image=container.image,
        stage=stage,
        hooks=lifecycle,
        process=process,
        readiness=probes.parse(container, container.readiness_probe),
        liveness=probes.parse(container, container.liveness_probe),
        startup=probes.parse(container, container.startup_probe),
        last_words=last_words,
        group=group,
    )


def _group(pod: Pod, container: Container, place: Place) -> Group | None:
    limits = cgroups.limits_of(container)
    return place.groups.group(place.cluster, pod.metadata.uid, container.name, limits)


def _console(container: Container, sandbox: Sandbox) -> Console | None:
    if not (container.stdin or container.tty):
        return None
    return Console(
        path=sandbox.shim_socket(container.name),
        stdin=container.stdin,
        once=container.stdin_once,
        terminal=container.tty,
    )


def _restart(pod: Pod, stage: Stage) -> Restart:
    if stage is Stage.SIDECAR:
        return Restart.ALWAYS
    try:
        found = _RESTART[pod.spec.restart_policy]
        return Restart.ON_FAILURE if stage is Stage.INIT and found is Restart.ALWAYS else found
    except KeyError:
        raise ConfigError(f"restartPolicy {pod.spec.restart_policy!r}: Always, OnFailure or Never") from None


def _fields(place: Place) -> dict[str, str]:
    return {
        "spec.nodeName": place.node,
        "status.hostIP": place.host_ip,
        "status.hostIPs": place.host_ip,
        "status.podIP": place.addresses[0] if place.addresses else "",
        "status.podIPs": ",".join(place.addresses),
    }
