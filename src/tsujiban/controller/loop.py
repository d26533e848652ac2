"""The control loop: keeps the world current, asks the planners, carries out what they say.

A planner, or a call, that meets what nobody thought of is told in the log and passed over: one object must
not end the control of all others, and would end it again at every start. What the store says, and a lead
that is lost, end the loop.

One task, one event at a time: a plan always sees what the last plan wrote, because every write
goes into the world at once and its echo from the watch is recognised by its revision. A write
that loses a race needs no retry here: the winner's event brings the object back into the queue. Where the
race was about something else than the object (a service's address), it is planned again at once.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence

import msgspec
import structlog

from tsujiban.controller.reconcile.actions import Action, Create, Delete, Update
from tsujiban.controller.serviceclaims import Taken
from tsujiban.controller.stored import mended
from tsujiban.controller.world import Json, Ref, World
from tsujiban.store.protocol import (
    AlreadyExists,
    Compacted,
    Conflict,
    Event,
    EventType,
    InvalidValue,
    Key,
    NotFound,
    Store,
    Stored,
    Watch,
)

log = structlog.get_logger(__name__)


MODIFY_ATTEMPTS = 10
DEFECTS = (  # what Python raises for data of a form that was not expected
    LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError, msgspec.MsgspecError,
)  # fmt: skip
TURN = 2000  # plans and writes, after which others are heard: what one user asks for may be endless
SHARE_SECONDS = 0.01  # of planning, after which others of this process have their turn


class Change(msgspec.Struct, frozen=True):
    """One change of the world. `new` is None for a deletion, `old` for a creation."""

    ref: Ref
    old: Json | None
    new: Json | None
    revision: int


# what to look at again when something has changed: (planner, reference) pairs
Work = tuple[str, Ref]
Route = Callable[[World, Change], Iterable[Work]]
Planner = Callable[[World, Ref], list[Action]]
Observer = Callable[[World, Sequence[Change]], Awaitable[None]]
Call = Callable[[], Awaitable[None]]


class Loop:
    """Runs `planners` over a store. `observe` sees every batch of changes, after it is in the world."""

    def __init__(
        self,
        store: Store,
        kinds: Iterable[tuple[str, str]],
        route: Route,
        planners: dict[str, Planner],
        observe: Observer,
    ) -> None:
        self.world = World()
        self._store = store
        self._kinds = tuple(kinds)
        self._route = route
        self._planners = planners
        self._observe = observe
        self._revisions: dict[Ref, int] = {}
        self._gone: deque[tuple[int, Ref]] = deque()  # deletions whose echo may still come
        self._listed = 0  # revision of the last list: older events say nothing new
        self._queue: dict[Work, None] = {}  # a set that keeps its order
        self._unseen: list[Change] = []  # changes not yet shown to the observer
        self._inbox: asyncio.Queue[Sequence[Event] | Call] = asyncio.Queue(maxsize=1000)
        self.synced = asyncio.Event()

    async def submit(self, call: Call) -> None:
        """Have `call` run in the loop's own task, between two batches; waits while the loop is behind."""
        await self._inbox.put(call)

    def enqueue(self, planner: str, ref: Ref) -> None:
        """Have a planner look at an object. Only from within the loop's task (see `submit`)."""
        self._queue[planner, ref] = None

    async def create(self, ref: Ref, obj: Json, uid: str = "") -> None:
        """Write a new object, and know it. Only from within the loop's task. Raises StoreError."""
        self._learn(await self._store.create(Key(*ref), msgspec.json.encode(obj), uid), gone=False)

    async def update(self, ref: Ref, obj: Json) -> None:
        """Replace an object at the resourceVersion that `obj` carries, and know it. Only from within
        the loop's task. Raises StoreError."""
        expected = int(obj["metadata"]["resourceVersion"])
        self._learn(await self._store.update(Key(*ref), msgspec.json.encode(obj), expected), gone=False)

    async def modify(self, ref: Ref, change: Callable[[Json], Json | None]) -> None:
        """Write what `change` makes of the newest version of an object (None: nothing); nothing happens
        when it does not exist. Only from within the loop's task. Raises StoreError; Conflict when others
        write without pause."""
        for attempts_left in reversed(range(MODIFY_ATTEMPTS)):
            old = self.world.get(ref)
            new = None if old is None else change(old)
            if new is None:
                return
            try:
                await self.update(ref, new)
                return
            except NotFound:
                return  # its event follows
            except Conflict:
                if not attempts_left:
                    raise
            try:
                self._learn(await self._store.get(Key(*ref)), gone=False)
            except NotFound:
                return

    async def run(self) -> None:
        """Until cancelled. Lists and starts over when the watch's history is gone."""
        while True:
            revision = await self._load()
            watch = await self._store.watch(revision)
            await self._work()
            self.synced.set()
            pump = asyncio.create_task(self._pump(watch))
            try:
                await self._serve(pump)
            except Compacted:
                log.warning("watch history gone, listing again")
            finally:
                pump.cancel()
                watch.close()

    async def _pump(self, watch: Watch) -> None:
        while True:
            await self._inbox.put(await watch.next())

    async def _serve(self, pump: asyncio.Task[None]) -> None:
        while True:
            busy = self._queue or self._unseen
            item = await self._next(pump) if not busy or not self._inbox.empty() else ()
            if callable(item):
                await self._called(item)
            else:
                for event in item:
                    if event.stored.revision > self._listed:
                        self._learn(event.stored, gone=event.type is EventType.DELETED)
                if item:
                    self._forget(item[-1].stored.revision)
            await self._work(TURN)

    async def _next(self, pump: asyncio.Task[None]) -> Sequence[Event] | Call:
        """What the store or somebody else says next. Raises what ended the watch."""
        get = asyncio.ensure_future(self._inbox.get())
        try:
            await asyncio.wait({get, pump}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not get.done():
                get.cancel()
        if not get.done():
            pump.result()
        return get.result()

    async def _load(self) -> int:
        revision = self._listed = await self._store.revision()
        present: set[Ref] = set()
        for group, resource in self._kinds:
            for stored in (await self._store.list(group, resource, revision=revision)).items:
                present.add(_ref(stored.key))
                self._learn(stored, gone=False)
        for ref, obj in list(self.world.everything()):
            if ref not in present:
                self._change(ref, obj, None, revision)
        return revision

    def _learn(self, stored: Stored, *, gone: bool) -> None:
        ref = _ref(stored.key)
        if stored.revision <= self._revisions.get(ref, 0):
            return  # the echo of our own write
        new = None if gone else _read(stored)
        self._change(ref, self.world.get(ref), new, stored.revision)

    def _change(self, ref: Ref, old: Json | None, new: Json | None, revision: int) -> None:
        if old is not None and new is not None and old["metadata"].get("uid") != new["metadata"].get("uid"):
            self._change(ref, old, None, revision)  # another object of the same name: the old one has gone
            old = None
        self._revisions[ref] = revision
        if new is None:
            self.world.drop(ref)
            self._gone.append((revision, ref))
        else:
            self.world.put(ref, new)
        change = Change(ref, old, new, revision)
        self._unseen.append(change)
        try:
            self._queue.update(dict.fromkeys(self._route(self.world, change)))
        except DEFECTS:
            log.exception("nobody looks at a change: it cannot be told who would", object=str(Key(*ref)))

    def _forget(self, revision: int) -> None:
        """Forget deleted objects of which no event can come any more: all up to `revision` have come."""
        while self._gone and self._gone[0][0] <= revision:
            deleted, ref = self._gone.popleft()
            if self._revisions.get(ref) == deleted and self.world.get(ref) is None:
                del self._revisions[ref]

    async def _work(self, most: float = math.inf) -> None:
        """Plan and write until the queue is empty, or for some `most` plans and writes, showing the observer
        each step's changes. Whoever shares the event loop is let in now and then."""
        clock = asyncio.get_running_loop().time
        while (self._queue or self._unseen) and most > 0:
            changes, self._unseen = self._unseen, []
            if changes:
                await self._observe(self.world, changes)
            queue, self._queue = self._queue, {}
            let_in = clock()
            while queue and most > 0:
                planner, ref = next(iter(queue))
                del queue[planner, ref]
                actions = self._planned(planner, ref)
                # together: one durable commit serves them all
                settled = await asyncio.gather(*(self._carry_out(action) for action in actions))
                most -= 1 + len(actions)
                if not all(settled):
                    self.enqueue(planner, ref)
                if clock() - let_in > SHARE_SECONDS:
                    await asyncio.sleep(0)
                    let_in = clock()
            self._queue = {**queue, **self._queue}

    def _planned(self, planner: str, ref: Ref) -> list[Action]:
        try:
            return self._planners[planner](self.world, ref)
        except DEFECTS:
            log.exception(
                "an object is left as it is: its planner failed", planner=planner, object=str(Key(*ref))
            )
            return []

    async def _called(self, call: Call) -> None:
        try:
            await call()
        except DEFECTS:
            log.exception("something that was to be done in the loop is left undone")

    async def _carry_out(self, action: Action) -> bool:
        """Whether that is all there is to do."""
        try:
            if isinstance(action, Delete):
                self._learn(await self._store.delete(Key(*action.ref), uid=action.uid), gone=True)
            elif isinstance(action, Create):
                await self.create(action.ref, action.obj, action.uid)
            else:
                await self.update(action.ref, action.obj)
        except (Conflict, NotFound, AlreadyExists) as error:
            log.debug("lost a race; the winner's event follows", error=str(error))
        except InvalidValue as error:  # a user's object was as large as may be, before something was added
            log.error("an object is not written", object=str(Key(*action.ref)), reason=str(error))
        except Taken as error:
            log.info("an address is not given", reason=str(error))
            return not isinstance(action, Update)  # who gave it finds another one; who must have it does not
        return True


def _read(stored: Stored) -> Json:
    found, wrong = mended(msgspec.json.decode(stored.value))
    if wrong:
        log.error("a stored object is malformed", object=str(stored.key), ignored="; ".join(wrong[:8]))
    return found


def _ref(key: Key) -> Ref:
    return Ref(key.group, key.resource, key.namespace, key.name)
