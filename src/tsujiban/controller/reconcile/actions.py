"""What a reconciler can ask for. Each action names the version of the object it was planned on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from tsujiban.controller.world import Json, Ref


@dataclass(frozen=True, slots=True)
class Create:
    """Write a new object; when it exists already, nothing is done. `uid` is a fresh one that the object
    already names within itself; "" for any."""

    ref: Ref
    obj: Json
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Update:
    """Replace an object, if it is still at the resourceVersion that `obj` carries."""

    ref: Ref
    obj: Json


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove an object; when it is gone already, or (with `uid`) another has its name, nothing is done."""

    ref: Ref
    uid: str = ""


Action = Create | Update | Delete


class Planned(NamedTuple):
    """What to write now, and when to look again though nothing has changed (UNIX seconds)."""

    actions: list[Action]
    again: float = math.inf
