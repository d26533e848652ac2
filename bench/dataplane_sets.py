"""The part of `make bench-dataplane` about large sets: what it costs a proxy when a member of one comes.

A sidecar whose policy lets it reach, and be reached by, the members of one set. Scattered addresses are the
worst case, for no two of them make a network; pods have addresses beside each other. Times are
medians: from the change until the proxy has taken it, the agent's CPU of it, and Envoy's.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.dataplane_l7 import (  # noqa: E402
    BenchBed,
    bed,
    first_envoy,
    pid_of,
    private_megabytes,
    strangers,
)
from bench.httpload import cpu_seconds  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table as Grid  # noqa: E402
from tests.support.proxybed import tier  # noqa: E402

from tsujiban.policy.program import (  # noqa: E402
    Action,
    AddressSet,
    Member,
    Mesh,
    PolicyProgram,
    Rule,
    Side,
)

NAME = "s:many"
SCATTER = 40503  # an odd number: the addresses of a block of 65 536, in another order


class Cost(NamedTuple):
    """Of one change, in ms."""

    taken: float
    agent: float
    envoy: float


def scattered(count: int) -> list[Member]:
    """Addresses of which no two are neighbours."""
    found = []
    for number in range(count):
        low = number * SCATTER % 32768 * 2
        found.append(Member(net=f"{20 + number // 32768}.7.{low >> 8}.{low & 255}"))
    return found


def pods(made: BenchBed, count: int) -> list[Member]:
    """Pods of other nodes."""
    made.state.peers.update(strangers(made, count))
    return [Member(net=one.address, identity=one.identity) for one in strangers(made, count).values()]


def change(made: BenchBed, members: list[Member]) -> Cost:
    """Make these the members, and wait until the proxy has them."""
    pids = [pid_of(first_envoy(made))]
    many = AddressSet(id=NAME, members=frozenset(members))
    envoy, agent, begun = cpu_seconds(pids), time.process_time(), time.perf_counter()
    if made.update(sets={NAME: many}):
        raise SystemExit("a proxy has refused its configuration")
    ended = time.perf_counter(), time.process_time(), cpu_seconds(pids)
    return Cost((ended[0] - begun) * 1e3, (ended[1] - agent) * 1e3, (ended[2] - envoy) * 1e3)


def measure(form: str, size: int, changes: int) -> tuple[Cost, float]:
    """Medians of changes by one, and the sidecar's memory in MB."""
    with bed(Mesh.SIDECAR) as made:
        # one more for each change: no state comes twice, for the agent remembers some
        members = pods(made, size + changes) if form == "pods" else scattered(size + changes)
        incoming = Rule(id="default/many/0", action=Action.ALLOW, src=Side(sets=(NAME,)))
        outward = Rule(id="default/many/1", action=Action.ALLOW, dst=Side(sets=(NAME,)))
        policy = PolicyProgram(id="default/many", ingress=(incoming,), egress=(outward,))
        made.state.policies[policy.id] = policy
        made.state.sets[NAME] = AddressSet(id=NAME, members=frozenset(members[:size]))
        made.pod("pod-0", ingress=(tier(policy.id),), egress=(tier(policy.id, direction="egress"),))
        made.settle()
        found = [change(made, members[: size + number + 1]) for number in range(changes)]
        median = Cost(*(statistics.median(column) for column in zip(*found, strict=True)))
        return median, private_megabytes(first_envoy(made))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--changes", type=int, default=5)
    parser.add_argument("--largest", type=int, default=10_000, help="members")
    options, _ = parser.parse_known_args()
    grid = Grid(title="One member of a set comes (a sidecar; medians in ms)", title_justify="left")
    for heading in ("members", "of them", "until taken", "agent's CPU", "Envoy's CPU", "MB"):
        grid.add_column(heading, justify="left" if heading == "members" else "right")
    for form in ("scattered addresses", "pods"):
        for size in (100, 1000, 10_000):
            if size <= options.largest:
                cost, megabytes = measure(form, size, options.changes)
                figures = (f"{one:.0f}" for one in (*cost, megabytes))
                grid.add_row(form, f"{size:,}", *figures)
    Console(width=120).print(grid)


if __name__ == "__main__":
    main()
