"""Runs every measurement of the data plane: `bench/dataplane_*.py`, one after the other.

make bench-dataplane
make bench-dataplane ARGS="--only l4"
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> int:
    """The exit code: that of the first part that failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", default="*", help="one part, such as l4")
    options, rest = parser.parse_known_args()
    environment = os.environ | {"PYTHONPATH": str(HERE.parent)}  # for tests/support
    for part in sorted(HERE.glob(f"dataplane_{options.only}.py")):
        code = subprocess.run([sys.executable, str(part), *rest], env=environment).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
