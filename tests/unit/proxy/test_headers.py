from __future__ import annotations

from typing import Any

from envoy.extensions.filters.http.lua.v3 import lua_pb2

from tsujiban.proxy import headers, names
from tsujiban.proxy.site import SIDECAR, NodeSite


def config(*named: str) -> Any:
    filter_message: Any = headers.resource(SIDECAR, named).message()
    lua = lua_pb2.Lua()
    assert filter_message.typed_config.Unpack(lua)
    return lua


def test_no_named_header_is_no_script() -> None:
    assert not config().HasField("default_source_code")


def test_names_are_told_to_the_script_in_order_and_only_names_that_a_request_can_have() -> None:
    source = config("x-b", "x-a", '"] os.exit()', "x a", "").default_source_code.inline_string
    assert source.startswith('local named = {"x-a", "x-b"}\n')


def test_the_mark_is_set_first_and_cleared_last_so_that_a_script_that_fails_refuses() -> None:
    source = config("x-a").default_source_code.inline_string
    marks = [line.strip() for line in source.splitlines() if "metadata:set" in line]
    where = f'"{names.HEADERS}", "{names.UNREADABLE}"'
    assert marks == [f"metadata:set({where}, {text})" for text in ('"not read yet"', "name", "name", '""')]


def test_a_pod_of_a_node_s_envoy_has_a_configuration_of_its_own() -> None:
    site = NodeSite(namespace="/run/netns/a")
    assert headers.resource(site, ["x-a"]).name == site.name(names.HEADERS)


def test_a_pod_that_ends_has_each_connection_closed_after_headers_were_read() -> None:
    last = "handle:streamInfo():drainConnectionUponCompletion()"

    def source(*named: str) -> str:
        message: Any = headers.resource(SIDECAR, named, closing=True).message()
        lua = lua_pb2.Lua()
        assert message.typed_config.Unpack(lua)
        return str(lua.default_source_code.inline_string)

    assert source() == f"function envoy_on_request(handle)\n  {last}\nend\n"
    assert source("x-a").endswith(f"function envoy_on_request(handle)\n  read(handle)\n  {last}\nend\n")
    assert last not in config("x-a").default_source_code.inline_string
