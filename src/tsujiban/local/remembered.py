"""What `up` was told, remembered with the cluster's state for the next `up`.

A cluster that is started again must find the objects that it had: an `up` that forgot `--store etcd`
would begin an empty cluster beside them, and one that forgot a node would leave its pods nowhere.
"""

from __future__ import annotations

import msgspec

from tsujiban.identity.files import PrivateFileError, read_private, write_private
from tsujiban.local.layout import Layout
from tsujiban.store.config import EtcdConfig, SqliteConfig, StoreConfig

EMBEDDED = "store.db"
NODES, TRUST_DOMAIN = 2, "cluster.local"


class RememberedError(ValueError):
    """What is asked for contradicts what is there, or that cannot be read; the text says what to do."""


class Remembered(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `up` decided about a cluster."""

    nodes: int = NODES
    trust_domain: str = TRUST_DOMAIN
    store: StoreConfig = SqliteConfig()


def recall(layout: Layout) -> Remembered | None:
    """What the cluster was last started with; None when nobody wrote it down. Raises RememberedError."""
    if not layout.remembered.exists():
        return None
    try:
        return msgspec.json.decode(read_private(layout.remembered), type=Remembered)
    except (PrivateFileError, msgspec.MsgspecError) as error:
        raise RememberedError(
            f"{layout.remembered}, which says how cluster {layout.cluster!r} was started, cannot be used "
            f"({error}): delete it, and give `tsujiban up` the same options as then"
        ) from error


def choose(
    layout: Layout, nodes: int | None, trust_domain: str | None, store: StoreConfig | None
) -> Remembered:
    """What `up` does: what is asked for, else what was. The number of nodes, and members and certificates of
    etcd may change; the kind of store and the trust domain may not. Raises RememberedError."""
    before = recall(layout)
    held = before or Remembered()
    found = Remembered(
        nodes=held.nodes if nodes is None else nodes,
        trust_domain=held.trust_domain if trust_domain is None else trust_domain,
        store=held.store if store is None else store,
    )
    away = f"or take the cluster away first, `tsujiban down --cluster {layout.cluster}`"
    if (there := _there(layout, before)) is not None and type(found.store) is not type(there):
        raise RememberedError(
            f"the objects of cluster {layout.cluster!r} are in {named(there)}, and would not be in "
            f"{named(found.store)}: leave --store out to go on with them, {away}"
        )
    if before is not None and found.trust_domain != before.trust_domain:
        raise RememberedError(
            f"the trust domain of cluster {layout.cluster!r} is {before.trust_domain!r}, and so are all its "
            f"identities: leave --trust-domain out, {away}"
        )
    return found


def _there(layout: Layout, before: Remembered | None) -> StoreConfig | None:
    """Where objects are already; a restored backup brings a file and no word of it."""
    if before is not None:
        return before.store
    return SqliteConfig() if (layout.controller_state / EMBEDDED).exists() else None


def remember(layout: Layout, what: Remembered) -> None:
    """Keep it with the cluster's state. Raises OSError."""
    write_private(layout.remembered, msgspec.json.encode(what))


def in_etcd(layout: Layout) -> EtcdConfig | None:
    """Where the objects are, when they are in etcd. Raises RememberedError."""
    found = recall(layout)
    return found.store if found is not None and isinstance(found.store, EtcdConfig) else None


def named(store: StoreConfig) -> str:
    """For a person."""
    if isinstance(store, EtcdConfig):
        return f"etcd ({', '.join(store.endpoints)})"
    return "a file of this machine (SQLite)"
