"""The ConfigMaps and Secrets that a pod's files and variables are made of, as this node knows them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tsujiban.resources.kinds.core import ConfigMap

Values = Mapping[str, bytes]


class ConfigError(ValueError):
    """A container that cannot be made from what was written; `reason` is a Kubernetes reason."""

    reason = "CreateContainerConfigError"


class NotKnown(ConfigError):
    """What something is made of has not been told to this agent yet: what is there may stay."""

    reason = "ContainerCreating"


@dataclass(frozen=True, slots=True)
class Objects:
    """Those of one namespace. A Secret that is None is not there; one that is missing has not been told of.
    `tokens` are those of one pod, by volume and path."""

    config_maps: Mapping[str, ConfigMap] = field(default_factory=dict)
    secrets: Mapping[str, Values | None] = field(default_factory=dict, repr=False)
    tokens: Mapping[tuple[str, str], bytes] = field(default_factory=dict, repr=False)

    def secret(self, name: str) -> Values | None:
        """The values of a Secret; None: there is none. Raises NotKnown."""
        if name not in self.secrets:
            raise NotKnown(f"secret {name!r}: the controller has not sent it yet")
        return self.secrets[name]
