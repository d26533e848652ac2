"""`python -m tsujiban.agent --config FILE`: the node process."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from tsujiban import daemon
from tsujiban.agent.config import load
from tsujiban.agent.node import Agent
from tsujiban.wire.pinned import JoinError


def main() -> int:
    """Run until told to stop; 1 when it cannot begin."""
    parser = argparse.ArgumentParser(prog="python -m tsujiban.agent")
    parser.add_argument("--config", type=Path, required=True, help="configuration file (JSON)")
    options = parser.parse_args()
    daemon.log_to_stderr()
    try:
        config = load(options.config)
    except (OSError, msgspec.MsgspecError) as error:
        print(f"{options.config}: {error}", file=sys.stderr)
        return 1
    try:
        daemon.run(Agent(config).run())
    except JoinError as error:
        print(f"cannot join: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
