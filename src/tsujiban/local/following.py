"""The running cluster's objects as they change, told by its API: a list of each kind, then a watch.

When the API is away what was known stays; when it is back the kind is listed again, and what has gone
meanwhile is told as gone.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import structlog

from tsujiban.local.client import ApiError, Client
from tsujiban.local.live import NOT_FOUND, PASSED_OVER, Json
from tsujiban.local.unreachable import Unreachable
from tsujiban.policy.graph import key_of
from tsujiban.policy.population import Key
from tsujiban.resources.load import LoadedObject, decode
from tsujiban.resources.registry import KINDS, Kind

log = structlog.get_logger(__name__)

AGAIN_SECONDS = 1.0
Change = tuple[Key, LoadedObject | None]


class Follower:
    """Tells `changed` every change, from threads of its own, one for each kind."""

    def __init__(self, client: Callable[[], Client], changed: Callable[[list[Change]], None]) -> None:
        self._client = client
        self._changed = changed
        self._stopped = threading.Event()

    def start(self) -> None:
        """Tell all there is, then go on. Raises Unreachable, ApiError when it cannot be told now."""
        for kind in KINDS:
            if kind.kind in PASSED_OVER:
                continue
            one = _Kind(kind, self._client(), self._changed, self._stopped)
            if one.list():
                threading.Thread(target=one.run, name=f"follow {kind.kind}", daemon=True).start()

    def stop(self) -> None:
        """Tell no more."""
        self._stopped.set()


class _Kind:
    """The objects of one kind."""

    def __init__(
        self,
        kind: Kind,
        client: Client,
        changed: Callable[[list[Change]], None],
        stopped: threading.Event,
    ) -> None:
        self._kind = kind
        self._client = client
        self._changed = changed
        self._stopped = stopped
        self._known: set[Key] = set()
        self._version = ""

    def list(self) -> bool:
        """Tell all there is, and what there is no more; False when the server has no such kind."""
        try:
            listed = self._client.list(self._kind)
        except ApiError as error:
            if error.http == NOT_FOUND:
                return False
            raise
        changes: dict[Key, LoadedObject | None] = dict(map(self._loaded, listed.get("items", ())))
        gone = self._known - changes.keys()
        self._known = set(changes)
        self._changed([*changes.items(), *((key, None) for key in gone)])
        self._version = listed["metadata"]["resourceVersion"]
        return True

    def run(self) -> None:
        """Until stopped."""
        while not self._stopped.is_set():
            with contextlib.suppress(Unreachable):
                try:
                    for event in self._client.watch(self._kind, since=self._version):
                        if self._stopped.is_set() or event["type"] == "ERROR":
                            break
                        self._take(event)
                except ApiError as error:
                    log.warning("cannot follow", kind=self._kind.kind, reason=str(error))
            self._stopped.wait(AGAIN_SECONDS)
            with contextlib.suppress(Unreachable, ApiError):
                self.list()

    def _take(self, event: Json) -> None:
        if event["type"] == "BOOKMARK":
            return
        key, loaded = self._loaded(event["object"])
        if event["type"] == "DELETED":
            self._known.discard(key)
            loaded = None
        else:
            self._known.add(key)
        self._changed([(key, loaded)])

    def _loaded(self, raw: Json) -> tuple[Key, LoadedObject | None]:
        loaded = LoadedObject(self._kind, decode(raw), raw)
        return key_of(loaded.object), loaded
