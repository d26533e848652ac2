"""Random worlds on the real kernel and the real Envoy, compared with the evaluator, for as long as asked.

    make soak MINUTES=10

Runs every `tests/system/*/test_equality*.py` in turn, each time with another seed, until the time is
up, and says how many flows were compared, of which commit and when. The tests add a line for each world
to the file that TSUJIBAN_SOAK_REPORT names; TSUJIBAN_SOAK is how many worlds one run tries,
TSUJIBAN_SOAK_SEED where those begin that are made from numbers. A failure ends the soak: pytest has
printed the smallest world it found, and the seed that leads there. However a run ends, its seed, its end
(an exit code, or the signal that killed it) and what first differed are told here, too.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
DIFFERS = "differs "  # see tests/support/soaking.py
STOPPED_SECONDS = 60.0  # for a run that is asked to end to take its namespaces down


class Stopped(Exception):
    """Somebody ends the soak; the signal."""


def main() -> int:
    """The exit code: 0 when nothing differed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="how long (default 10)")
    parser.add_argument("--worlds", type=int, default=200, help="worlds of one run (default 200)")
    parser.add_argument("--only", default="*", help="one room of tests/system")
    options = parser.parse_args()
    tests = sorted(ROOT.glob(f"tests/system/{options.only}/test_equality*.py"))
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    print(f"commit {commit or 'unknown'}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC", flush=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    end = time.monotonic() + options.minutes * 60
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "flows")
        code = 0
        while code == 0 and time.monotonic() < end:
            for test in tests:
                code = code or run(test, options.worlds, report)
                print(totals(report), flush=True)
        print(conclusion(code, report), flush=True)
    return code if code >= 0 else 128 - code


def _stop(number: int, _: FrameType | None) -> None:
    raise Stopped(signal.Signals(number).name)


def totals(report: Path) -> str:
    """How many flows were compared until now."""
    flows: Counter[str] = Counter()
    worlds: Counter[str] = Counter()
    for line in _lines(report):
        if not line.startswith(DIFFERS):
            room, number = line.split()
            flows[room] += int(number)
            worlds[room] += 1
    found = (f"{room}: {compared} flows in {worlds[room]} worlds" for room, compared in sorted(flows.items()))
    return "; ".join(found) + f"; {flows.total()} in all"


def conclusion(code: int, report: Path) -> str:
    """What is to be said in the end: what differed when it was found, and when the search for a smaller
    world ended."""
    differences = [line for line in _lines(report) if line.startswith(DIFFERS)]
    if differences:
        return "\n".join(("something differed: see above. First, and last:", differences[0], differences[-1]))
    return "the last run did not come to its end: nothing differed until then" if code else "nothing differed"


def _lines(report: Path) -> list[str]:
    return report.read_text().splitlines() if report.exists() else []


def run(test: Path, worlds: int, report: Path) -> int:
    """One run of one file; how pytest ended, as `subprocess` has it. Asked to end, it asks pytest to."""
    seed = int.from_bytes(os.urandom(4), "big")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-x", str(test)]
    environment = os.environ | {
        "PYTHONUNBUFFERED": "1",
        "TSUJIBAN_SOAK": str(worlds),
        "TSUJIBAN_SOAK_SEED": str(seed),
        "TSUJIBAN_SOAK_REPORT": str(report),
    }
    name = f"{test.parent.name}/{test.name}"
    print(f"{name}: {worlds} worlds, seed {seed}", flush=True)
    begun = time.monotonic()
    process = subprocess.Popen([*command, f"--hypothesis-seed={seed}"], env=environment, cwd=ROOT)
    try:
        code = process.wait()
    except Stopped as stopped:
        print(f"{name}: the soak is ended by {stopped}", flush=True)
        process.send_signal(signal.SIGINT)
        code = process.wait(STOPPED_SECONDS)
    took = time.monotonic() - begun
    print(f"{name}: seed {seed}, {took:.0f} s, ended {ending(code)}", flush=True)
    return code


def ending(code: int) -> str:
    """How a process has ended, in words."""
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"


if __name__ == "__main__":
    sys.exit(main())
