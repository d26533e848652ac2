"""First process of an Envoy's room: as any sandbox's, but it stays, and hands Envoy over to Envoy.

On SIGWINCH (which nothing else here minds) it starts a second Envoy beside the first. The second takes over
the listening sockets, over a Unix socket and shared memory that only this room has; the first lets go of
its connections as they end, for as long as its command line says, then ends itself. A second one that
fails leaves the first as it was; but if it had taken the sockets already nobody listens any more, which
cannot be seen from here: so another one is tried, later and later. When the last one has ended, so does
this process, and with it the room: whoever started it starts it anew.

Run as a script, like `sandbox_init`; standard library only. When the room is built it becomes a shell, which
needs 0.1 MB where the interpreter would keep 5, for each pod. Source: Envoy's documentation, "Hot restart
Python wrapper".
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
from pathlib import Path
from types import ModuleType
from typing import Any

SHELL = "/bin/sh"
RENEW = signal.SIGWINCH

# Arguments: the command line of an Envoy. Their epochs count up; the highest one serves.
KEEPER = """
epoch=0 new= old= renew= stop= pause=0 begun=0
trap renew=1 WINCH
trap stop=TERM TERM
trap stop=INT INT
alive() { [ "$1" ] && kill -0 "$1" 2>/dev/null; }
start() { begun=$(date +%s); "$@" --restart-epoch "$epoch" & new=$!; }
start "$@"
while :; do
    wait "$new"; code=$?
    if alive "$new"; then  # it is a signal that has come
        if [ "$stop" ]; then kill -"$stop" "$new" $old 2>/dev/null
        elif [ "$renew" ] && ! alive "$old"; then old=$new epoch=$((epoch + 1)) pause=0; start "$@"
        fi
        renew=
    elif alive "$old" && [ "$stop" ]; then new=$old old=
    elif alive "$old"; then
        [ $(($(date +%s) - begun)) -gt 60 ] && pause=0
        echo "the new Envoy ended ($code); the old one goes on, and another begins in $pause s" >&2
        sleep "$pause" & wait "$!"
        alive "$old" || exit "$code"
        renew=
        [ "$stop" ] && continue
        [ "$pause" -lt 60 ] && pause=$((pause * 2 + 1))
        start "$@"
    else exit "$code"
    fi
done
"""


def sibling(name: str) -> ModuleType:
    """A module of this directory: `-I` keeps it off the path."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(name + ".py"))
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def keeper(argv: list[str]) -> list[str]:
    """The command line of who keeps the Envoys that `argv` starts; its exit code is the last one's."""
    return [SHELL, "-c", KEEPER, "envoys", *argv]


def main() -> None:
    """Do what the environment variable says; the exit code of the last Envoy, or as of `sandbox_init`."""
    init: Any = sibling("sandbox_init")
    config = json.loads(os.environ.pop(init.VARIABLE))
    init.settle(config)
    init.become(keeper(config["argv"]), config["env"])


if __name__ == "__main__":
    main()
