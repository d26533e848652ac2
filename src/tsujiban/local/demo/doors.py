"""Opening the kernel's door by hand, as a bug in the kernel or root on a node might.

To show that the proxy refuses on its own, the demonstration forges the kernel's knowledge: it adds
an address to the very nftables sets that admit another pod, and takes it out again.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tsujiban.resources.names import node_namespace

Json = dict[str, Any]
FAMILY, TABLE = "inet", "tsujiban"


class Door:
    """On the node of pod `at`, pod `who` may pass wherever pod `like` passes, while it is held open.

    The node's agent notices within seconds that somebody has changed its table, and puts it right:
    whoever wants the door open has to push again and again. Methods raise OSError and
    subprocess.CalledProcessError when nft refuses.
    """

    def __init__(self, cluster: str, at: Json, like: Json, who: Json) -> None:
        self._namespace = node_namespace(cluster, at["spec"]["nodeName"])
        self._like = like["status"]["podIP"]
        self._who = who["status"]["podIP"]
        self._forged: set[str] = set()

    def push(self) -> list[str]:
        """Open it; the names of the sets that hold a forged address now."""
        for name in sets_with(self._namespace, self._like):
            if self._who not in elements(self._namespace, name):
                nft(self._namespace, "add", "element", FAMILY, TABLE, name, "{", self._who, "}")
                self._forged.add(name)
        return sorted(self._forged)

    def close(self) -> None:
        """Take out what was forged and is there still. The agent may do so at the same moment."""
        for name in sorted(self._forged):
            if self._who not in elements(self._namespace, name):
                continue
            try:
                nft(self._namespace, "delete", "element", FAMILY, TABLE, name, "{", self._who, "}")
            except subprocess.CalledProcessError:
                if self._who in elements(self._namespace, name):
                    raise


@contextmanager
def opened(cluster: str, at: Json, like: Json, who: Json) -> Iterator[Door]:
    """A door that is open now, and closed in the end."""
    door = Door(cluster, at, like, who)
    try:
        door.push()
        yield door
    finally:
        door.close()


def nft(namespace: str, *words: str) -> str:
    """Run nft in a node's namespace; its output."""
    argv = ["ip", "netns", "exec", namespace, "nft", "-j", *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def sets_with(namespace: str, address: str) -> list[str]:
    """Names of the node's sets of single addresses that hold `address`."""
    listed = json.loads(nft(namespace, "list", "sets", FAMILY))["nftables"]
    return [
        entry["set"]["name"]
        for entry in listed
        if "set" in entry and entry["set"]["table"] == TABLE and address in entry["set"].get("elem", [])
    ]


def elements(namespace: str, name: str) -> list[Any]:
    """Elements of one set."""
    for entry in json.loads(nft(namespace, "list", "set", FAMILY, TABLE, name))["nftables"]:
        if "set" in entry:
            found: list[Any] = entry["set"].get("elem", [])
            return found
    return []
