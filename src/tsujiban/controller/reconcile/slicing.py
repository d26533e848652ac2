"""Which endpoint is in which EndpointSlice: no slice is long, and a change rewrites as few as may be. Pure.

Whoever follows slices is sent a whole one at each change, so they are short. An endpoint stays where it is;
what is new goes first into slices that are written anyhow, then into slices of its own or, what is left of
it, into the fullest one that has room. Slices are never merged for their own sake: that costs more writes
than it saves.
Source: Kubernetes documentation, "EndpointSlices", "Distribution of EndpointSlices".
"""

from __future__ import annotations

from collections.abc import Sequence

from tsujiban.controller.world import Json, mapping

MOST = 100  # endpoints of a slice, as in Kubernetes


def distributed(slices: Sequence[Sequence[Json]], wanted: Sequence[Json]) -> list[list[Json]]:
    """What each slice is to hold (nothing: it is not needed any more), and behind them what further ones
    are. Endpoints are told apart by whom they lead to; `wanted` has each once, with what it is to say."""
    left = {_identity(endpoint): endpoint for endpoint in wanted}
    held: list[list[Json]] = []
    for endpoints in slices:
        stay = [found for one in endpoints if (found := left.pop(_identity(one), None)) is not None]
        for one in stay[MOST:]:  # written when there was no bound
            left[_identity(one)] = one
        held.append(stay[:MOST])
    further = list(left.values())
    for before, now in zip(slices, held, strict=True):
        if now and now != list(before):
            room = MOST - len(now)
            now += further[:room]
            further = further[room:]
    whole = len(further) - len(further) % MOST
    made = [further[start : start + MOST] for start in range(0, whole, MOST)]
    rest = further[whole:]
    if rest:
        fitting = [now for now in held if now and len(now) + len(rest) <= MOST]
        if fitting:
            max(fitting, key=len).extend(rest)
        else:
            made.append(rest)
    return [*held, *made]


def _identity(endpoint: Json) -> tuple[str, ...]:
    target = mapping(endpoint.get("targetRef"))
    return tuple(str(target.get(field)) for field in ("kind", "namespace", "name", "uid"))
