"""An operator, as people write them with kopf: it answers to ConfigMaps and policies that ask for it."""

from __future__ import annotations

import asyncio
from typing import Any

import kopf

ASKS = {"operator": "echo"}


@kopf.on.create("configmaps", labels=ASKS)
async def made(patch: kopf.Patch, **_: Any) -> None:
    patch.metadata.annotations["made"] = "yes"


@kopf.on.update("configmaps", labels=ASKS, field="data.word")
async def changed(new: Any, patch: kopf.Patch, **_: Any) -> None:
    patch.metadata.annotations["word"] = str(new)


@kopf.on.delete("configmaps", labels=ASKS)
async def gone(body: kopf.Body, **_: Any) -> None:
    kopf.info(body, reason="Farewell", message="the operator knows that it goes")


@kopf.on.create("projectcalico.org", "v3", "globalnetworkpolicies", labels=ASKS)
async def policy(patch: kopf.Patch, **_: Any) -> None:
    await asyncio.sleep(0)
    patch.metadata.annotations["made"] = "yes"
