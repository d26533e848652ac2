"""Whose request is next: seats shared fairly among users, whatever each of them asks for. Pure.

Each user is a flow. A flow runs in a share of the seats only, and its next requests wait in its own short
queue. Which flow is served when a seat is free is decided by what each has had so far (start-time fair
queuing): who has sent a thousand requests waits behind itself, and who has sent one waits for a few others.

Source: Goyal, Vin, Cheng, "Start-time Fair Queuing" (1996); Kubernetes' "API Priority and Fairness".
"""

from __future__ import annotations

from collections import deque

import msgspec


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """Of one level. A request takes one seat or more, its width."""

    seats: int
    of_flow: int  # seats of them that one flow may take
    waiting_of_flow: int
    waiting: int


class Full(Exception):
    """There is no room to wait; `whose` is "flow" or "level"."""

    def __init__(self, whose: str) -> None:
        super().__init__(f"the queue of the {whose} is full")
        self.whose = whose


class Ticket:
    """One request: waiting, then running, then done."""

    __slots__ = ("flow", "running", "width")

    def __init__(self, flow: str, width: int) -> None:
        self.flow = flow
        self.width = width
        self.running = False


class _Flow:
    __slots__ = ("had", "seats", "waiting")

    def __init__(self, had: int) -> None:
        self.had = had  # seats given so far, as if it had always been there
        self.seats = 0  # taken now
        self.waiting: deque[Ticket] = deque()


class FairQueue:
    """The seats of one level and who waits for them."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.seats = 0  # taken
        self.running = 0
        self.waiting = 0
        self._flows: dict[str, _Flow] = {}
        self._now = 0  # what the flow that was served last had had

    def ask(self, flow: str, width: int = 1) -> Ticket:
        """Queue up. Raises Full."""
        ticket = Ticket(flow, min(width, self.bounds.of_flow))
        found = self._flows.get(flow) or _Flow(self._now)
        if not found.waiting:
            found.had = max(found.had, self._now)  # nobody saves up for later
        if found.waiting or not self._fits(found, ticket):
            if len(found.waiting) >= self.bounds.waiting_of_flow:
                raise Full("flow")
            if self.waiting >= self.bounds.waiting:
                raise Full("level")
        self._flows[flow] = found
        found.waiting.append(ticket)
        self.waiting += 1
        return ticket

    def next(self) -> Ticket | None:
        """Who may run now; to be asked until there is nobody."""
        ready = [
            flow
            for flow in self._flows.values()
            if flow.waiting and flow.seats + flow.waiting[0].width <= self.bounds.of_flow
        ]
        best = min(ready, key=lambda flow: flow.had, default=None)
        # nobody narrower goes first, or who is wide would wait for ever
        if best is None or not self._fits(best, best.waiting[0]):
            return None
        ticket = best.waiting.popleft()
        ticket.running = True
        self._now = best.had
        best.had += ticket.width
        best.seats += ticket.width
        self.seats += ticket.width
        self.running += 1
        self.waiting -= 1
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """It is done, or waits no more."""
        flow = self._flows[ticket.flow]
        if ticket.running:
            ticket.running = False
            flow.seats -= ticket.width
            self.seats -= ticket.width
            self.running -= 1
        else:
            flow.waiting.remove(ticket)
            self.waiting -= 1
        if not flow.seats and not flow.waiting:
            del self._flows[ticket.flow]

    def _fits(self, flow: _Flow, ticket: Ticket) -> bool:
        bounds = self.bounds
        return flow.seats + ticket.width <= bounds.of_flow and self.seats + ticket.width <= bounds.seats
