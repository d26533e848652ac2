"""The mark: a key that is no object, and that every write depends on.

A write that nobody answered may lie with its member for a long time, and be done when that one is well
again: an object that was made a second time and removed since would be back. So whoever gave a write up
writes the mark before anything else, and the late one, which depends on the mark before that, fails. Others'
writes that are on their way fail too, and are tried again.
"""

from __future__ import annotations

import asyncio
import os

from tsujiban.store.etcd import layout, messages
from tsujiban.store.etcd.client import EtcdClient, Unsure
from tsujiban.store.protocol import StoreUnavailable

WRITE_SECONDS = 15.0  # how long a write is tried
MARK_ATTEMPTS = 5


class Fence:
    """What one process knows of the mark."""

    def __init__(self, client: EtcdClient, prefix: bytes, at: int) -> None:
        """`at`: etcd's revision of the mark, as `mark` has given it."""
        self.at = at
        self._client = client
        self._prefix = prefix
        self._loose = False  # some write may be done late
        self._lock = asyncio.Lock()

    def loosen(self) -> None:
        """A write was given up that may be done yet."""
        self._loose = True

    async def tighten(self) -> None:
        """See to it that no write is done any more that was given up before. Raises StoreUnavailable."""
        async with self._lock:
            if not self._loose:
                return
            self._loose = False  # what is given up from now on is another's to see to
            try:
                self.at = await mark(self._client, self._prefix)
            except BaseException:  # also when this was cancelled: it is still to be done
                self._loose = True
                raise


async def mark(client: EtcdClient, prefix: bytes) -> int:
    """Write the mark; returns etcd's revision of that. Raises StoreUnavailable."""
    put = messages.RequestOp(request_put={"key": layout.mark(prefix), "value": os.urandom(8)})
    request = messages.TxnRequest(success=[put])
    why = ""
    for _ in range(MARK_ATTEMPTS):
        try:
            return int((await client.write(request, WRITE_SECONDS)).header.revision)
        except Unsure as error:  # harmless to write twice, or late
            why = str(error)
    raise StoreUnavailable(why)
