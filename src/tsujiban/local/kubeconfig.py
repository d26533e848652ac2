"""How a client finds the API of a cluster: a kubeconfig file, the form that kubectl reads too.

`tsujiban up` writes one into the cluster's state directory; the command line reads it, or any other with a
client certificate or a token. Plug-ins that make credentials (`exec`, `auth-provider`) are kubectl's.
Source: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Pem = Path | bytes  # a file, or its content


class KubeconfigError(ValueError):
    """The file is missing, unreadable or says too little; the text says which."""


@dataclass(frozen=True, slots=True)
class Access:
    """Address of the API server and what proves both sides' identity. Without certificate: a token."""

    server: str  # https://address:port
    ca_file: Pem | None
    certificate_file: Pem | None = None
    key_file: Pem | None = None
    token: str = ""

    def ssl_context(self) -> ssl.SSLContext:
        """TLS 1.3 with the client's certificate; trusts the cluster's CA only. Raises OSError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        if isinstance(self.ca_file, bytes):
            context.load_verify_locations(cadata=self.ca_file.decode("ascii", "replace"))
        elif self.ca_file is not None:
            context.load_verify_locations(self.ca_file)
        else:
            context.load_default_certs()
        if self.certificate_file is not None and self.key_file is not None:
            _load_chain(context, self.certificate_file, self.key_file)
        return context

    def headers(self) -> dict[str, str]:
        """What every request must carry."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def with_content(self) -> Access:
        """The same with the files' content in their place. Raises OSError."""

        def content(pem: Pem | None) -> Pem | None:
            return pem.read_bytes() if isinstance(pem, Path) else pem

        return Access(
            self.server,
            content(self.ca_file),
            content(self.certificate_file),
            content(self.key_file),
            self.token,
        )


def _load_chain(context: ssl.SSLContext, certificate: Pem, key: Pem) -> None:
    """ssl takes files only: what is no file becomes one that only this process sees."""
    opened = []
    try:
        names = []
        for pem in (certificate, key):
            if isinstance(pem, bytes):
                descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
                opened.append(descriptor)
                os.write(descriptor, pem)
                names.append(f"/proc/self/fd/{descriptor}")
            else:
                names.append(str(pem))
        context.load_cert_chain(*names)
    finally:
        for descriptor in opened:
            os.close(descriptor)


def document(name: str, access: Access) -> dict[str, Any]:
    """The file's content: files are named, content is held."""
    cluster = {"server": access.server} | _field("certificate-authority", access.ca_file)
    user = _field("client-certificate", access.certificate_file) | _field("client-key", access.key_file)
    if access.token:
        user["token"] = access.token
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }


def _field(name: str, pem: Pem | None) -> dict[str, str]:
    if pem is None:
        return {}
    if isinstance(pem, bytes):
        return {f"{name}-data": base64.b64encode(pem).decode()}
    return {name: str(pem)}


def render(name: str, access: Access) -> str:
    """The file's text."""
    return yaml.safe_dump(document(name, access), sort_keys=False)


def merged(old: Any, new: dict[str, Any], *, switch: bool) -> dict[str, Any]:
    """`old`, a kubeconfig or nothing, with the entries of `new`, which replace those of their names; with
    `switch`, or when there was none, its context becomes the current one. Raises KubeconfigError."""
    found: dict[str, Any] = dict(old) if isinstance(old, dict) else {"apiVersion": "v1", "kind": "Config"}
    if old is not None and not isinstance(old, dict):
        raise KubeconfigError("it is no kubeconfig")
    for key in ("clusters", "users", "contexts"):
        entries = found.get(key) or []
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise KubeconfigError(f"{key} is not a list of entries")
        ours = {entry["name"] for entry in new[key]}
        found[key] = [entry for entry in entries if entry.get("name") not in ours] + new[key]
    if switch or not found.get("current-context"):
        found["current-context"] = new["current-context"]
    return found


def write(path: Path, name: str, access: Access) -> None:
    """Write the file with mode 0600, whole or not at all. Raises OSError."""
    write_document(path, document(name, access))


def write_document(path: Path, content: dict[str, Any]) -> None:
    """As `write`, of any content."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        yaml.safe_dump(content, file, sort_keys=False)
    temporary.replace(path)


def parse(path: Path) -> Any:
    """The file's content, whatever it is. Raises KubeconfigError."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise KubeconfigError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise KubeconfigError(f"{path}: not YAML: {error}") from error


def contexts_of(path: Path) -> list[str]:
    """Names of the file's contexts. Raises KubeconfigError."""
    try:
        return [str(entry["name"]) for entry in parse(path)["contexts"]]
    except (KeyError, TypeError) as error:
        raise KubeconfigError(f"{path}: it is no kubeconfig") from error


def read(path: Path, context: str = "") -> Access:
    """A context of a kubeconfig file, the current one by default. Raises KubeconfigError."""
    found = parse(path)
    try:
        name = context or found["current-context"]
        chosen = _named(found, "contexts", name)["context"]
        cluster = _named(found, "clusters", chosen["cluster"])["cluster"]
        user = _named(found, "users", chosen["user"])["user"] or {}
        if "exec" in user or "auth-provider" in user:
            raise KubeconfigError(
                f"{path}: user {chosen['user']!r} needs a plug-in: use kubectl with this file"
            )
        return Access(
            str(cluster["server"]),
            _pem(path, cluster, "certificate-authority"),
            _pem(path, user, "client-certificate"),
            _pem(path, user, "client-key"),
            token=str(user.get("token") or ""),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise KubeconfigError(
            f"{path}: has no {error}" if isinstance(error, KeyError) else f"{path}: {error}"
        ) from error


def _pem(path: Path, entry: dict[str, Any], name: str) -> Pem | None:
    if data := entry.get(f"{name}-data"):
        try:
            return base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError, TypeError) as error:
            raise KubeconfigError(f"{path}: {name}-data is not base64: {error}") from error
    file = entry.get(name)
    return path.parent / file if file else None  # an absolute path stays as it is


def _named(document: dict[str, Any], key: str, name: str) -> dict[str, Any]:
    for entry in document[key] or ():
        if entry["name"] == name:
            found: dict[str, Any] = entry
            return found
    raise KeyError(f"{key} entry {name!r}")
