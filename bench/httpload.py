"""A light load and a light origin, so that the proxies between them are what is measured: wrk and nginx
(`.ci/setup bench` installs them). The proxies are put on the first core and all else on the last: where these
are two, the rate is what one core carries of proxies.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_CORES = sorted(os.sched_getaffinity(0))
PROXIES, OTHERS = {_CORES[0]}, {_CORES[-1]}
_ORIGIN = """\
daemon off; master_process off; worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/errors;
events {{ worker_connections 1024; }}
http {{
  access_log off; server_tokens off; keepalive_requests 100000000; keepalive_timeout 1h;
  client_body_temp_path {directory}; proxy_temp_path {directory}; fastcgi_temp_path {directory};
  uwsgi_temp_path {directory}; scgi_temp_path {directory};
  server {{ listen {port}; location / {{ default_type text/plain; return 200 "ok\\n"; }} }}
}}
"""


class Load(NamedTuple):
    """What a load has found."""

    rate: float  # requests per second
    requests: int


def origin(namespace: str, directory: Path, port: int) -> subprocess.Popen[bytes]:
    """An HTTP server in a network namespace that answers everything with `ok`."""
    directory.mkdir()
    config = directory / "nginx.conf"
    config.write_text(_ORIGIN.format(directory=directory, port=port))
    command = [*_inside(namespace), _tool("nginx"), "-c", str(config), "-e", str(directory / "errors")]
    return subprocess.Popen(command)


def load(namespace: str, address: str, port: int, connections: int, seconds: int) -> Load:
    """Ask over so many connections, each for the next when it has been answered."""
    command = [*_inside(namespace), _tool("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s"]
    command.append(f"http://{address}:{port}/")
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"(\d+) requests in [\s\S]*Requests/sec:\s+([0-9.]+)", told)
    if found is None or "Non-2xx" in told or "Socket errors" in told:
        raise SystemExit(f"wrong answers; the figures would mean nothing:\n{told}")
    return Load(float(found[2]), int(found[1]))


def cpu_seconds(pids: Iterable[int]) -> float:
    """What all threads of these processes have used, in user and kernel; they are put on their core."""
    spent = 0
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), PROXIES)
            spent += int((thread / "schedstat").read_text().split()[0])
    return spent / 1e9


def _inside(namespace: str) -> list[str]:
    return ["taskset", "--cpu-list", str(*OTHERS), "ip", "netns", "exec", namespace]


def _tool(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        raise SystemExit(f"{name} is not installed. Remedy: run `.ci/setup bench`.")
    return found
