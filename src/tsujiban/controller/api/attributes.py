"""What a request asks for, in RBAC's words: the question to the authorizer, and what the audit tells."""

from __future__ import annotations

import msgspec

# verbs and subresources of what may last for hours
LONG_RUNNING = frozenset({"watch", "exec", "attach", "portforward", "log"})


class Attributes(msgspec.Struct, frozen=True, kw_only=True):
    """Either a resource or, when `path` is set, a plain path. `name` of a list or watch is the one
    that its field selector demands; `node` the one that a list of pods confines itself to so."""

    verb: str  # get, list, watch, create, update, patch, delete, deletecollection, or one of a kind's own
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    node: str = ""
    followed: bool = False  # a plain path, and the answer goes on with what is new

    @property
    def follows(self) -> bool:
        """Whether the answer goes on with what is new: it is made at once, and then costs what happens."""
        return self.followed or self.verb == "watch"

    @property
    def long_running(self) -> bool:
        """Whether the answer may take hours."""
        return self.follows or not LONG_RUNNING.isdisjoint((self.verb, self.subresource))

    @property
    def title(self) -> str:
        """`deployments.apps`, as messages name kinds."""
        return f"{self.resource}.{self.group}" if self.group else self.resource

    def __str__(self) -> str:
        """As a real server words it: `get resource "pods/log" in API group "" in the namespace "x"`."""
        if self.path:
            return f'{self.verb} path "{self.path}"'
        sub = f"/{self.subresource}" if self.subresource else ""
        where = f'in the namespace "{self.namespace}"' if self.namespace else "at the cluster scope"
        return f'{self.verb} resource "{self.resource}{sub}" in API group "{self.group}" {where}'
