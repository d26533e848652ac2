"""`/metrics` of the API server: who waits, who was turned away, and how full it is, in Prometheus' text form.

The names are those of the real server (`apiserver_flowcontrol_…`), so that dashboards and alerts for it read
ours; users are not among the labels, for there may be any number of them.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.responses import Response

from tsujiban.controller.api.crowds import Crowds
from tsujiban.controller.api.places import Places
from tsujiban.controller.api.turns import Turns

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_FLOW = "apiserver_flowcontrol_"

Samples = Iterable[tuple[str, int]]  # labels and value


def answer(turns: Turns, crowds: Crowds, places: Places) -> Response:
    """All of them."""
    queues = turns.queues.items()

    def by_level(attribute: str) -> Samples:
        return ((_labels(priority_level=level), getattr(queue, attribute)) for level, queue in queues)

    rejected = (
        (_labels(priority_level=level, reason=reason), count)
        for (level, reason), count in sorted(turns.rejected.items())
    )
    parts = (
        _metric(_FLOW + "current_executing_requests", "gauge", "Requests at work", by_level("running")),
        _metric(_FLOW + "current_executing_seats", "gauge", "Seats that they take", by_level("seats")),
        _metric(_FLOW + "current_inqueue_requests", "gauge", "Requests that wait", by_level("waiting")),
        _metric(
            _FLOW + "dispatched_requests_total",
            "counter",
            "Requests that had their turn",
            ((_labels(priority_level=level), turns.dispatched[level]) for level, _ in queues),
        ),
        _metric(_FLOW + "rejected_requests_total", "counter", "Requests answered with 429", rejected),
        _metric(
            "apiserver_longrunning_requests",
            "gauge",
            "Watches (and flows that are followed), and sessions into pods",
            ((_labels(kind=kind), crowds.open[kind]) for kind in ("watches", "sessions")),
        ),
        _metric(
            "tsujiban_api_connections",
            "gauge",
            "Connections, by whether they have shown a user",
            (
                (_labels(proven="true"), len(places) - places.unproven),
                (_labels(proven="false"), places.unproven),
            ),
        ),
    )
    return Response("".join(parts), media_type=CONTENT_TYPE)


def _metric(name: str, kind: str, text: str, samples: Samples) -> str:
    lines = [f"# HELP {name} {text}.", f"# TYPE {name} {kind}"]
    lines += [f"{name}{{{labels}}} {value}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _labels(**labels: str) -> str:
    return ",".join(f'{name}="{value}"' for name, value in labels.items())
