from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from envoy.extensions.filters.http.lua.v3 import lua_pb2

from tsujiban.policy.program import Mesh, Peer
from tsujiban.proxy import names, owners
from tsujiban.proxy.owners import Owners, bucket, taken
from tsujiban.proxy.peers import Peers
from tsujiban.proxy.site import SIDECAR, NodeSite, Site

WEB, SHOP = "spiffe://t.example/ns/a/sa/web", "spiffe://t.example/ns/a/sa/shop"


class Cluster:
    """Who owns what, and the agent's word of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.known: dict[str, Peer] = {}
        self.start()

    def start(self) -> None:
        """Another agent, which knows nothing yet."""
        self.owners, self.peers = Owners(self.directory), Peers()

    def say(self, **changes: str | None) -> dict[str, str]:
        """Addresses, with _ for a dot, and their identities; None is nobody. The former owners."""
        for name, identity in changes.items():
            address = name.strip("_").replace("_", ".")
            if identity is None:
                del self.known[address]
            else:
                mesh = Mesh.SIDECAR if identity else Mesh.NONE
                self.known[address] = Peer(address=address, endpoint="a/x", identity=identity, mesh=mesh)
        return self.owners.take(self.peers.take(self.known), self.peers)

    def lines(self, address: str) -> list[str]:
        file = self.directory / str(bucket(address))
        return file.read_text().splitlines()[1:] if file.exists() else []


def test_each_address_has_a_line_with_its_owner_and_since_when(tmp_path: Path) -> None:
    made = Cluster(tmp_path / "owners")
    assert made.say(_10_0_0_1=WEB, _10_0_0_2="") == {}
    assert made.say(_10_0_0_9=SHOP) == {}
    assert made.lines("10.0.0.1") == [f"10.0.0.1 {WEB} 1"]
    assert made.lines("10.0.0.9") == [f"10.0.0.9 {SHOP} 2"]
    assert made.lines("10.0.0.2") == []  # outside the mesh nobody proves an identity
    assert made.owners.sequence == 2
    assert stat.S_IMODE((tmp_path / "owners" / str(bucket("10.0.0.1"))).stat().st_mode) == 0o644


def test_who_had_an_address_before_is_told_and_has_no_line_any_more(tmp_path: Path) -> None:
    made = Cluster(tmp_path / "owners")
    made.say(_10_0_0_1=WEB, _10_0_0_2=WEB)
    assert made.say(_10_0_0_1=SHOP) == {"10.0.0.1": WEB}
    assert made.lines("10.0.0.1") == [f"10.0.0.1 {SHOP} 2"]
    assert made.say(_10_0_0_1=None, _10_0_0_2="") == {"10.0.0.1": SHOP, "10.0.0.2": WEB}
    assert made.lines("10.0.0.1") == made.lines("10.0.0.2") == []


def test_an_agent_that_is_restarted_goes_on_from_what_is_written(tmp_path: Path) -> None:
    made = Cluster(tmp_path / "owners")
    made.say(_10_0_0_1=WEB, _10_0_0_2=WEB, _10_0_0_3=WEB)
    made.say(_10_0_0_4=WEB)
    made.owners.took("a/x", 7)
    made.start()
    del made.known["10.0.0.2"]
    assert made.say(_10_0_0_3=SHOP, _10_0_0_5=SHOP) == {"10.0.0.2": WEB, "10.0.0.3": WEB}
    assert made.lines("10.0.0.1") == [f"10.0.0.1 {WEB} 1"]
    assert made.lines("10.0.0.4") == [f"10.0.0.4 {WEB} 2"]
    assert made.lines("10.0.0.5") == [f"10.0.0.5 {SHOP} 8"]
    assert made.lines("10.0.0.2") == []
    assert made.owners.sequence == 8


def test_what_cannot_be_written_is_a_problem_until_it_can(tmp_path: Path) -> None:
    made = Cluster(tmp_path / "missing" / "owners")
    made.say(_10_0_0_1=WEB)
    assert "cannot be written" in made.owners.problem
    made.owners.took("a/x", 1)
    (tmp_path / "missing").mkdir()
    assert made.say() == {}
    assert made.owners.problem == ""
    assert made.lines("10.0.0.1") == [f"10.0.0.1 {WEB} 1"]


def test_a_proxy_s_word_is_in_a_file_of_its_own_while_it_is_there(tmp_path: Path) -> None:
    made = Cluster(tmp_path / "owners")
    made.say(_10_0_0_1=WEB)
    made.owners.took("a/x", 1)
    file = tmp_path / "owners" / taken("a/x")
    assert file.read_text() == "1"
    assert taken("a/x") != taken("a/y")
    made.owners.forget("a/x")
    assert not file.exists()
    made.owners.forget("a/x")


def config(site: Site, *, asked: bool) -> Any:
    filter_message: Any = owners.resource(site, "a/x", asked=asked).message()
    lua = lua_pb2.Lua()
    assert filter_message.typed_config.Unpack(lua)
    return lua


def test_there_is_a_script_only_where_policy_asks_who_owns_an_address() -> None:
    assert not config(SIDECAR, asked=False).HasField("default_source_code")
    source = config(Site(owners="/there"), asked=True).default_source_code.inline_string
    assert '"/there/"' in source
    assert taken("a/x") in source
    assert f'"{names.OWNERS}", "{names.OWNED}", "{names.YES}"' in source


def test_a_pod_of_a_node_s_envoy_has_a_filter_of_its_own() -> None:
    site = NodeSite(namespace="/run/netns/a")
    assert owners.resource(site, "a/x", asked=True).name == site.name(names.OWNERS)
