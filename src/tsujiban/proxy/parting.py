"""How a pod that ends takes leave of those who speak with it.

Its containers have been told to end, and answer what they have been asked; nobody should come anew. First
each request is the last one of its connection (HTTP/1 is told `Connection: close`, HTTP/2 GOAWAY), while new
connections are still taken, for others may not have heard yet that the pod goes. Then no tunnel is opened any
more. What is under way is never touched. Both come by ECDS: no listener changes, so none lets go of its
connections.
"""

from __future__ import annotations

from enum import Enum


class Parting(Enum):
    """How far a pod has come with it."""

    NONE = "it stays"
    CLOSING = "each request is its connection's last"
    CLOSED = "and no tunnel is opened"
