"""ConfigMaps that something here reads: a line that would be passed over is refused where it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tsujiban.resources import revoked
from tsujiban.resources.kinds import core
from tsujiban.resources.validate.report import Report


def check_config_map(config: core.ConfigMap, _raw: Mapping[str, Any], report: Report) -> None:
    """The list of revoked certificates; of others nothing is known."""
    if (config.metadata.namespace, config.metadata.name) != (revoked.NAMESPACE, revoked.NAME):
        return
    path = ("data", revoked.FIELD)
    listed = revoked.read(config.data.get(revoked.FIELD, ""))
    for fault in listed.faults:
        report.error(path, "bad-value", str(fault), "put '#' before what is a comment")
    if len(listed.serials) > revoked.MAX_SERIALS:
        report.error(
            path,
            "out-of-range",
            f"{len(listed.serials)} serial numbers are more than {revoked.MAX_SERIALS}",
            "take out those of certificates that have expired",
        )
