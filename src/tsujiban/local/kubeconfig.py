"""How a client finds the API of a cluster: a kubeconfig file, the form that kubectl reads too.

`tsujiban up` writes one into the cluster's state directory; the command line reads it. Only what
Tsujiban uses is understood: one server, its CA, a client certificate and key, all as files.
Source: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


class KubeconfigError(ValueError):
    """The file is missing, unreadable or says too little; the text says which."""


@dataclass(frozen=True, slots=True)
class Access:
    """Address of the API server and the files that prove both sides' identity."""

    server: str  # https://address:port
    ca_file: Path
    certificate_file: Path
    key_file: Path

    def ssl_context(self) -> ssl.SSLContext:
        """TLS 1.3 with the client's certificate; trusts the cluster's CA only. Raises OSError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(self.ca_file)
        context.load_cert_chain(self.certificate_file, self.key_file)
        return context


def render(name: str, access: Access) -> str:
    """The file's text. It names the key's file and does not hold the key."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": name,
                "cluster": {"server": access.server, "certificate-authority": str(access.ca_file)},
            }
        ],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate": str(access.certificate_file),
                    "client-key": str(access.key_file),
                },
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    return yaml.safe_dump(document, sort_keys=False)


def write(path: Path, name: str, access: Access) -> None:
    """Write the file with mode 0600, whole or not at all. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(render(name, access))
    temporary.replace(path)


def read(path: Path) -> Access:
    """Read the current context of a kubeconfig file. Raises KubeconfigError."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise KubeconfigError(f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise KubeconfigError(f"{path}: not YAML: {error}") from error
    try:
        context = _named(document, "contexts", document["current-context"])["context"]
        cluster = _named(document, "clusters", context["cluster"])["cluster"]
        user = _named(document, "users", context["user"])["user"]
        files = [
            path.parent / entry  # an absolute path stays as it is
            for entry in (cluster["certificate-authority"], user["client-certificate"], user["client-key"])
        ]
        return Access(str(cluster["server"]), *files)
    except (KeyError, TypeError) as error:
        raise KubeconfigError(
            f"{path}: has no {error}" if isinstance(error, KeyError) else f"{path}: {error}"
        ) from error


def _named(document: dict[str, Any], key: str, name: str) -> dict[str, Any]:
    for entry in document[key]:
        if entry["name"] == name:
            found: dict[str, Any] = entry
            return found
    raise KeyError(f"{key} entry {name!r}")
