"""The processes of a local cluster that `up` itself starts: the controller and the agents. Pure."""

from __future__ import annotations

import sys

from tsujiban.local.layout import (
    API_PORT,
    CONTROLLER_ADDRESS,
    NODE_STREAM_PORT,
    Layout,
)
from tsujiban.resources.names import fabric_namespace, node_namespace
from tsujiban.supervise.netns import namespace_path
from tsujiban.supervise.spec import Listener, ProcessSpec

CONTROLLER = "controller"
_PYTHON = (sys.executable, "-I", "-m")  # isolated: nothing of the environment, nothing of the user's
_ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


def agent_name(node: str) -> str:
    """The supervisor's name of a node's agent."""
    return f"{node}/agent"


def controller(layout: Layout, api_port: int) -> ProcessSpec:
    """The controller: in the host's namespace, with its node-facing sockets in the fabric."""
    fabric = namespace_path(fabric_namespace(layout.cluster))
    return ProcessSpec(
        name=CONTROLLER,
        argv=(*_PYTHON, "tsujiban.controller", "--config", str(layout.controller_config)),
        env=_ENV,
        bounding=(),
        listen=(
            Listener(address=f"127.0.0.1:{api_port}", name="api"),
            Listener(address=f"{CONTROLLER_ADDRESS}:{API_PORT}", netns=fabric, name="api-fabric"),
            Listener(address=f"{CONTROLLER_ADDRESS}:{NODE_STREAM_PORT}", netns=fabric, name="nodes"),
        ),
        backoff_max=5.0,
        grace=10.0,
        order=0,
    )


def agent(layout: Layout, node: str) -> ProcessSpec:
    """A node's agent: root in the node's network namespace."""
    return ProcessSpec(
        name=agent_name(node),
        argv=(*_PYTHON, "tsujiban.agent", "--config", str(layout.agent_config(node))),
        env=_ENV,
        netns=namespace_path(node_namespace(layout.cluster, node)),
        backoff_max=5.0,
        grace=20.0,
        order=10,
    )
