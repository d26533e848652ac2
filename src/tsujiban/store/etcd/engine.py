"""The store in etcd: one key for one object, optimistic transactions.

A write reads what it depends on, at one revision, decides, and asks etcd to write if nothing of that has
changed; if something has, it begins again. So uid, generation and all other rules are the same as in
every engine, and any number of controllers may write.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence

from tsujiban.store.etcd import layout, messages
from tsujiban.store.etcd.client import CALL_SECONDS, PAUSE_SECONDS, EtcdClient, Gone, Unsure
from tsujiban.store.etcd.fence import WRITE_SECONDS, Fence, mark
from tsujiban.store.etcd.follower import batches, follow
from tsujiban.store.etcd.plan import Plan, decide, guessed, keys_of
from tsujiban.store.feed import Feed, FeedWatch, Kind
from tsujiban.store.protocol import (
    Compacted,
    Event,
    Features,
    Health,
    InvalidTransaction,
    Key,
    Listing,
    NotFound,
    Operation,
    Stored,
    StoreError,
    StoreUnavailable,
)
from tsujiban.store.single import SingleWrites

Results = tuple[Stored | None, ...]

COMPACT_SECONDS = 300.0  # how long history is kept at least
_PAGE = 500  # objects read from etcd at a time
_HISTORY = 256


class EtcdStore(SingleWrites):
    """A `Store` in the etcd cluster of `client`, below `prefix`. Make it with `open`."""

    features = Features(transactions=True, past=True)

    def __init__(self, client: EtcdClient, prefix: bytes, begin: int, compact_every: float) -> None:
        self._client = client
        self._prefix = prefix
        self._closed = False
        self._compacted = 0
        self._fence = Fence(client, prefix, begin)
        self._feed = Feed(layout.last(begin), self._history)
        self._tasks = [
            asyncio.create_task(self._follow(), name="etcd-follower"),
            asyncio.create_task(self._compact_now_and_then(compact_every), name="etcd-compaction"),
        ]

    @classmethod
    async def open(
        cls, client: EtcdClient, cluster: str, *, compact_every: float = COMPACT_SECONDS
    ) -> EtcdStore:
        """Use the objects of `cluster`. History of `compact_every` to twice as many seconds is kept.

        Raises:
            StoreUnavailable: no majority of etcd's members can be reached and written to.
        """
        prefix = f"/tsujiban/{cluster}/".encode()
        return cls(client, prefix, await mark(client, prefix), compact_every)

    # ------------------------------------------------------------ reading

    async def get(self, key: Key) -> Stored:
        """See `Store.get`."""
        self._check_open()
        answer = await self._client.range(key=layout.path(self._prefix, key))
        for pair in answer.kvs:
            return layout.unpack(pair.value, pair.key).stored(key, pair.mod_revision)
        raise NotFound(key)

    async def list(
        self,
        group: str,
        resource: str,
        namespace: str | None = None,
        *,
        limit: int = 0,
        after: Key | None = None,
        revision: int = 0,
    ) -> Listing:
        """See `Store.list`."""
        self._check_open()
        prefix = layout.kind_prefix(self._prefix, group, resource, namespace)
        # what comes before the prefix is another namespace's, whatever `after` says
        begin = prefix if after is None else max(prefix, layout.path(self._prefix, after) + b"\0")
        at = layout.of_etcd(revision)
        items: list[Stored] = []
        more = True
        while more and (not limit or len(items) < limit):
            count = min(_PAGE, limit - len(items)) if limit else _PAGE
            try:
                answer = await self._client.range(
                    key=begin, range_end=layout.range_end(prefix), limit=count, revision=at
                )
            except Gone:
                raise Compacted(revision or layout.last(at), await self.revision()) from None
            at = at or answer.header.revision
            more = answer.more
            for pair in answer.kvs:
                found = layout.stored(self._prefix, pair)
                if found is not None:
                    items.append(found)
                begin = pair.key + b"\0"
        return Listing(tuple(items), layout.last(at), more)

    async def revision(self) -> int:
        """See `Store.revision`."""
        self._check_open()
        return layout.last(await self._head())

    async def watch(self, after: int, group: str | None = None, resource: str | None = None) -> FeedWatch:
        """See `Store.watch`."""
        self._check_open()
        if after > self._feed.revision and after > (newest := await self.revision()):
            raise Compacted(after, newest)
        if layout.of_etcd(after) < self._compacted:
            raise Compacted(after, layout.first(self._compacted))
        if after < self._feed.floor:
            await self._still_known(after)
        kind = None if group is None or resource is None else (group, resource)
        return FeedWatch(self._feed, after, kind)

    async def _head(self) -> int:
        answer = await self._client.range(key=layout.mark(self._prefix), count_only=True)
        return int(answer.header.revision)

    async def _still_known(self, after: int) -> None:
        try:
            at = max(layout.of_etcd(after), 1)
            await self._client.range(key=layout.mark(self._prefix), count_only=True, revision=at)
        except Gone:
            raise Compacted(after, self._feed.floor) from None

    async def _history(self, after: int, kind: Kind | None) -> tuple[Sequence[Event], int]:
        """Changes after `after`, which is before the floor. A member that does not answer is no reason to
        give up: as long as for any call, others are asked, or it again."""
        deadline = asyncio.get_running_loop().time() + CALL_SECONDS
        while True:
            try:
                return await self._replay(after, kind)
            except StoreUnavailable:
                if asyncio.get_running_loop().time() >= deadline:
                    raise
                await asyncio.sleep(PAUSE_SECONDS)

    async def _replay(self, after: int, kind: Kind | None) -> tuple[Sequence[Event], int]:
        """The same, of one member. The floor is the revision of an event, so that there is an end to wait
        for."""
        floor = layout.of_etcd(self._feed.floor)
        whole = after == layout.last(layout.of_etcd(after))  # no change of its etcd revision is after it
        start = layout.of_etcd(after) if whole else layout.of_etcd(after) - 1
        found: list[Event] = []
        upto = after
        try:
            async with contextlib.aclosing(batches(self._client, self._prefix, max(start, 0))) as past:
                async for events, revision in past:
                    found += [event for event in events if event.revision > after and _of(kind, event)]
                    upto = layout.last(revision)
                    if revision >= floor or len(found) >= _HISTORY:
                        break
        except Gone:
            raise Compacted(after, self._feed.floor) from None
        return found, upto

    # ------------------------------------------------------------ writing

    async def transaction(self, operations: Sequence[Operation]) -> Results:
        """See `Store.transaction`."""
        self._check_open()
        return await _Attempt(self._client, self._prefix, self._fence, operations).run()

    async def compact(self, revision: int) -> None:
        """See `Store.compact`."""
        self._check_open()
        target = min(layout.of_etcd(revision), await self._head())
        try:
            await self._client.compact(target)
        except Gone:  # another controller was there before
            return
        self._compacted = max(self._compacted, target)

    async def health(self) -> tuple[Health, ...]:
        """See `Store.health`."""
        return tuple(_member(str(endpoint), status) for endpoint, status in await self._client.members())

    async def close(self) -> None:
        """See `Store.close`."""
        if self._closed:
            return
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._feed.close()
        self._client.close()

    async def _follow(self) -> None:
        try:
            await follow(self._client, self._prefix, self._feed, self._mark)
        finally:
            self._feed.close()  # however it ends: a watch must not wait for what will never come

    async def _mark(self) -> int:
        return await mark(self._client, self._prefix)

    async def _compact_now_and_then(self, seconds: float) -> None:
        before = 0
        while True:
            await asyncio.sleep(seconds)
            try:
                if before:
                    await self.compact(before)
                before = await self.revision()
            except StoreUnavailable:
                continue  # another time; the follower says what is wrong

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")


class _Attempt:
    """One transaction, until it is done or cannot be done."""

    def __init__(
        self, client: EtcdClient, prefix: bytes, fence: Fence, operations: Sequence[Operation]
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._fence = fence
        self._operations = tuple(operations)
        self._unsure: dict[bytes, Plan] = {}  # attempts that etcd has perhaps carried out
        self._deadline = asyncio.get_running_loop().time() + WRITE_SECONDS

    async def run(self) -> Results:
        """The results. Raises StoreError."""
        await self._fence.tighten()
        guess = guessed(self._operations)
        if guess is not None:  # one round trip, if it is right
            done = await self._write(self._decide(guess))
            if done is not None:
                return done
        while True:
            present = await self._look()
            done = self._done(present)
            if done is not None:
                return done
            plan = self._decide(present)
            if not plan.writes:
                return plan.results(0)
            done = await self._write(plan)
            if done is not None:
                return done
            if asyncio.get_running_loop().time() >= self._deadline:
                raise self._unknown() if self._unsure else StoreUnavailable("others write without pause")

    async def _look(self) -> dict[Key, tuple[layout.Packed, int]]:
        """What is there of all that the transaction names, at one revision."""
        keys = keys_of(self._operations)
        paths = [layout.mark(self._prefix), *(layout.path(self._prefix, key) for key in keys)]
        found: dict[Key, tuple[layout.Packed, int]] = {}
        answer = await self._client.look([messages.RangeRequest(key=path) for path in paths])
        marks, *responses = answer.responses
        self._fence.at = max((pair.mod_revision for pair in marks.response_range.kvs), default=0)
        for key, response in zip(keys, responses, strict=True):
            for pair in response.response_range.kvs:
                found[key] = layout.unpack(pair.value, pair.key), pair.mod_revision
        return found

    def _decide(self, present: dict[Key, tuple[layout.Packed, int]]) -> Plan:
        try:
            return decide(self._operations, present)
        except InvalidTransaction:
            raise
        except StoreError as error:
            if self._unsure:  # perhaps it was ourselves
                raise self._unknown() from error
            raise

    async def _write(self, plan: Plan) -> Results | None:
        """The results; None when something has changed meanwhile, or nobody knows."""
        transaction = os.urandom(8)
        left = max(0.0, self._deadline - asyncio.get_running_loop().time())
        try:
            request = plan.request(self._prefix, transaction, self._fence.at)
            answer = await self._client.write(request, left)
        except asyncio.CancelledError:
            self._fence.loosen()
            raise
        except Unsure:
            self._unsure[transaction] = plan
            self._fence.loosen()
            await self._tighten()
            return None
        return plan.results(answer.header.revision) if answer.succeeded else None

    async def _tighten(self) -> None:
        try:
            await self._fence.tighten()
        except StoreUnavailable as error:
            raise self._unknown() from error

    def _done(self, present: dict[Key, tuple[layout.Packed, int]]) -> Results | None:
        """The results of an earlier attempt, if what is there is its work."""
        for packed, revision in present.values():
            plan = self._unsure.get(packed.transaction)
            if plan is not None:
                return plan.results(revision)
        return None

    def _unknown(self) -> StoreUnavailable:
        keys = ", ".join(str(key) for key in keys_of(self._operations)[:5])
        return StoreUnavailable(f"it is not known whether etcd has written {keys}: read and try again")


def _of(kind: Kind | None, event: Event) -> bool:
    return kind is None or (event.stored.key.group, event.stored.key.resource) == kind


def _member(name: str, status: object) -> Health:
    if isinstance(status, str):
        return Health(name=f"etcd {name}", healthy=False, detail=status)
    leader = getattr(status, "leader", 0)
    header, version = status.header, status.version  # type: ignore[attr-defined]  # made at run time
    role = "leader" if leader == header.member_id else "follower" if leader else "has no leader"
    errors = "; ".join(status.errors)  # type: ignore[attr-defined]  # made at run time
    detail = f"{role}, {status.db_size / 1e6:.1f} MB{'; ' if errors else ''}{errors}"  # type: ignore[attr-defined]
    return Health(name=f"etcd {name}", healthy=bool(leader) and not errors, version=version, detail=detail)
