"""Which store a controller uses, as it stands in its configuration, and how that one is opened."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from tsujiban.store.etcd.client import Endpoint, EtcdClient
from tsujiban.store.etcd.engine import EtcdStore
from tsujiban.store.protocol import Store, StoreUnavailable
from tsujiban.store.sqlite import SqliteStore

_ETCD_PORT = 2379


class SqliteConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="sqlite"):
    """The embedded store, in the controller's state directory."""


class EtcdConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="etcd"):
    """An etcd cluster. All files are PEM; the key's may be readable by its owner only."""

    endpoints: tuple[str, ...]  # https://HOST:PORT of each member
    ca_file: str = ""  # who signs the members' certificates
    cert_file: str = ""  # who we are
    key_file: str = ""


StoreConfig = SqliteConfig | EtcdConfig


async def open_store(config: StoreConfig, state: Path, cluster: str) -> Store:
    """The store of `cluster`; `state` is the controller's state directory.

    Raises:
        StoreUnavailable: it cannot be opened or reached, or a file of the configuration is not usable.
    """
    if isinstance(config, SqliteConfig):
        return await SqliteStore.open(state / "store.db")
    client = connect(config)
    try:
        return await EtcdStore.open(client, cluster)
    except BaseException:
        client.close()
        raise


def connect(config: EtcdConfig) -> EtcdClient:
    """A client of the etcd cluster. Raises StoreUnavailable for what is wrong with the configuration."""
    return EtcdClient(*checked(config))


def checked(config: EtcdConfig) -> tuple[list[Endpoint], ssl.SSLContext | None]:
    """The members, and how to prove who we are to them. Raises StoreUnavailable."""
    if not config.endpoints:
        raise StoreUnavailable("no etcd endpoint is configured")
    parsed = [endpoint(text) for text in config.endpoints]
    schemes = {scheme for scheme, _ in parsed}
    if len(schemes) > 1:
        raise StoreUnavailable("etcd endpoints must all be https:// or all http://")
    if schemes == {"https"}:
        return [where for _, where in parsed], _context(config)
    if config.ca_file or config.cert_file or config.key_file:
        raise StoreUnavailable("certificates are given for etcd, but its endpoints are http://: use https://")
    return [where for _, where in parsed], None


def endpoint(text: str) -> tuple[str, Endpoint]:
    """Scheme and address of `https://HOST:PORT`. Raises StoreUnavailable."""
    parts = urlsplit(text)
    try:
        port = parts.port or _ETCD_PORT
    except ValueError:
        port = 0
    if parts.scheme not in ("http", "https") or not parts.hostname or not port or parts.path.strip("/"):
        raise StoreUnavailable(f"etcd endpoint {text!r} is not of the form https://HOST:PORT")
    if parts.username or parts.query or parts.fragment:
        raise StoreUnavailable("an etcd endpoint holds no user and no query: use a client certificate")
    loopback = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if parts.scheme == "http" and not loopback:
        raise StoreUnavailable(f"etcd endpoint {text!r} is not encrypted: use https://")
    return parts.scheme, Endpoint(parts.hostname, port)


def _context(config: EtcdConfig) -> ssl.SSLContext:
    for name, value in (("ca", config.ca_file), ("cert", config.cert_file), ("key", config.key_file)):
        if not value:
            raise StoreUnavailable(f"etcd over TLS needs a {name} file")
    _refuse_shared(Path(config.key_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    try:
        context.load_verify_locations(config.ca_file)
        context.load_cert_chain(config.cert_file, config.key_file)
    except OSError as error:  # SSLError is one
        files = f"{config.ca_file}, {config.cert_file}, {config.key_file}"
        raise StoreUnavailable(f"cannot use the certificates for etcd ({files}): {error}") from error
    return context


def _refuse_shared(key: Path) -> None:
    try:
        mode = key.stat().st_mode
    except OSError as error:
        raise StoreUnavailable(f"cannot read the key for etcd {key}: {error.strerror}") from error
    if stat.S_IMODE(mode) & 0o077:
        raise StoreUnavailable(f"the key for etcd {key} is open to others; do: chmod 0600 {key}")
