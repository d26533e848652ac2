"""Random worlds on the real kernel and the real Envoy, compared with the evaluator, for as long as asked.

    make soak MINUTES=10

Runs every `tests/system/*/test_equality*.py` in turn, each time with another seed, until the time is
up, and says how many flows were compared, of which commit and when. The tests add a line for each world
to the file that TSUJIBAN_SOAK_REPORT names; TSUJIBAN_SOAK is how many worlds one run tries,
TSUJIBAN_SOAK_SEED where those begin that are made from numbers. A failure ends the soak: pytest has
printed the smallest world it found, and the seed that leads there.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


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
    end = time.monotonic() + options.minutes * 60
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "flows")
        code = 0
        while code == 0 and time.monotonic() < end:
            for test in tests:
                code = code or run(test, options.worlds, report)
                print(totals(report), flush=True)
    print("something differed: see above" if code else "nothing differed")
    return code


def totals(report: Path) -> str:
    """How many flows were compared until now."""
    flows: Counter[str] = Counter()
    worlds: Counter[str] = Counter()
    for line in report.read_text().splitlines() if report.exists() else ():
        room, number = line.split()
        flows[room] += int(number)
        worlds[room] += 1
    found = (f"{room}: {compared} flows in {worlds[room]} worlds" for room, compared in sorted(flows.items()))
    return "; ".join(found) + f"; {flows.total()} in all"


def run(test: Path, worlds: int, report: Path) -> int:
    """One run of one file; the exit code of pytest."""
    seed = int.from_bytes(os.urandom(4), "big")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-x", str(test)]
    environment = os.environ | {
        "TSUJIBAN_SOAK": str(worlds),
        "TSUJIBAN_SOAK_SEED": str(seed),
        "TSUJIBAN_SOAK_REPORT": str(report),
    }
    print(f"{test.parent.name}/{test.name}: {worlds} worlds, seed {seed}", flush=True)
    return subprocess.run([*command, f"--hypothesis-seed={seed}"], env=environment, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
