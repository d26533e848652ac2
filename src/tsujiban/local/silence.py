"""Why the controller of a cluster of this machine does not answer, as far as this machine knows.

What TCP says ("connection refused") helps nobody at three in the morning. Here are the supervisor, which
knows what became of the process, and its log, whose last words say why.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tsujiban.local.cluster import LocalCluster, NotRunning, open_cluster
from tsujiban.local.specs import CONTROLLER
from tsujiban.local.unreachable import Unreachable
from tsujiban.supervise.client import ProcessStatus

ANEW = "`tsujiban down --keep-state{option}`, then `tsujiban up{option}`: its objects and its CA are kept."
RECENT_SECONDS = 30.0  # an end that is longer ago is not why there is no answer now
_WORDS = 400  # of the last line


def last_words(process: ProcessStatus) -> str:
    """The last line of a process's log, or its state when it says nothing."""
    try:
        lines = Path(process.log).read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1][:_WORDS] if lines else process.state


def reason(cluster: str) -> Unreachable | None:
    """What is wrong with the controller of a cluster of this machine; None when it is not to be seen from
    here. Raises ValueError for a name that is none. Blocks."""
    with ThreadPoolExecutor(1) as elsewhere:  # whoever asks may be in an event loop
        return elsewhere.submit(_reason, cluster).result()


def _reason(cluster: str) -> Unreachable | None:
    option = "" if cluster == "local" else f" --cluster {cluster}"
    try:
        found = open_cluster(cluster)
    except NotRunning:
        return None
    try:
        return _of(found, option)
    except NotRunning:
        return Unreachable(
            f"the controller of cluster {cluster!r} does not answer, nor does the supervisor that would "
            "start it again",
            ANEW.format(option=option),
        )


def _of(cluster: LocalCluster, option: str) -> Unreachable | None:
    process = cluster.process(CONTROLLER)
    if process.state == "running" and time.time() - process.exited_at > RECENT_SECONDS:
        return None
    ended = (
        f"has ended {process.restarts + 1} times" if process.restarts else f"does not run ({process.state})"
    )
    return Unreachable(
        f"the controller of cluster {cluster.layout.cluster!r} {ended}; "
        f"it said at last: {last_words(process)}",
        f"Its log is {process.log}. When the cause is mended it comes back by itself within seconds.\n"
        f"  Or {ANEW.format(option=option)}",
    )
