import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tsujiban.network import bird

NODE = bird.BgpNode(
    router_id="172.31.255.11",
    addresses=("172.31.255.11", "fd31:255::11"),
    blocks=("10.244.0.0/26", "fd00::/122"),
    pools=("10.244.0.0/16", "fd00::/64"),
    peers=(bird.BgpPeer("node-2", "172.31.255.12"), bird.BgpPeer("node-2", "fd31:255::12")),
)


def _accepted(text: str, tmp_path: Path) -> str:
    """BIRD's own parser judges the file."""
    file = tmp_path / "bird.conf"
    file.write_text(text)
    done = subprocess.run(["bird", "-p", "-c", str(file)], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "node",
    [
        NODE,
        replace(NODE, peers=()),
        replace(NODE, blocks=(), pools=()),
        replace(NODE, pools=("10.244.0.0/16", "10.9.0.0/24")),
        replace(NODE, bfd=True),
        replace(NODE, as_number=65000),
    ],
)
def test_bird_accepts_what_is_rendered(node: bird.BgpNode, tmp_path: Path) -> None:
    assert _accepted(bird.render(node), tmp_path) == ""


def test_the_check_can_fail(tmp_path: Path) -> None:
    assert "syntax error" in _accepted("router id;", tmp_path)


def test_own_blocks_are_announced_and_not_believed_of_others() -> None:
    text = bird.render(NODE)
    assert "route 10.244.0.0/26 blackhole;" in text
    believe = text.split("filter believe4")[1]
    assert believe.index("10.244.0.0/26{26,32} ] then reject") < believe.index("then accept")


def test_without_pools_nothing_is_believed() -> None:
    believe = bird.render(replace(NODE, blocks=(), pools=())).split("filter believe4")[1].split("}")[0]
    assert "if false then accept" in believe


@pytest.mark.parametrize(
    "node",
    [
        replace(NODE, router_id="x; }"),
        replace(NODE, blocks=("10.244.0.1/26",)),
        replace(NODE, addresses=("172.31.255.11",)),
        replace(NODE, peers=(bird.BgpPeer("a", "10.0.0.1; include"),)),
        replace(NODE, peers=(bird.BgpPeer("a", "10.0.0.1"), bird.BgpPeer("a", "10.0.0.2"))),
    ],
)
def test_nothing_is_written_of_what_is_no_address(node: bird.BgpNode) -> None:
    with pytest.raises(bird.BirdError, match=r"bird\.conf"):
        bird.render(node)


def test_names_of_nodes_cannot_break_out_or_collide() -> None:
    names = {bird.protocol_name(name) for name in ("a-b", "a.b", "a_b", "a b;{", "A-b")}
    assert len(names) == 5
    assert all(name.replace("_", "").isalnum() for name in names)


def test_bird_has_three_capabilities() -> None:
    spec = bird.process("n/bird", "/c", "/s", "/run/netns/n")
    assert spec.bounding == ("net_admin", "net_bind_service", "net_raw")
    assert "-R" in spec.argv
