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


@contextmanager
def opened(cluster: str, at: Json, like: Json, who: Json) -> Iterator[list[str]]:
    """On the node of pod `at`, let pod `who` pass wherever pod `like` passes. Yields the sets' names.

    Raises OSError, subprocess.CalledProcessError when nft refuses.
    """
    namespace = node_namespace(cluster, at["spec"]["nodeName"])
    sets = sets_with(namespace, like["status"]["podIP"])
    newcomer = who["status"]["podIP"]
    missing = [name for name in sets if newcomer not in elements(namespace, name)]
    for name in missing:
        nft(namespace, "add", "element", FAMILY, TABLE, name, "{", newcomer, "}")
    try:
        yield missing
    finally:
        for name in missing:
            if newcomer in elements(namespace, name):
                nft(namespace, "delete", "element", FAMILY, TABLE, name, "{", newcomer, "}")


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
