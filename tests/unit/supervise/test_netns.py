import socket

import pytest
from tests.support.wait import PATIENCE

from tsujiban.supervise import netns


@pytest.mark.parametrize(
    ("text", "expected"),
    [("10.0.0.1:80", ("10.0.0.1", 80)), ("[::1]:0", ("::1", 0)), (":80", ("", 80))],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert netns.split_address(text) == expected


@pytest.mark.parametrize("text", ["80", "::1:80", "a:b", "a:65536", "a:", "a:-1"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|ADDRESS"):
        netns.split_address(text)


def test_listener_in_the_own_namespace() -> None:
    with netns.open_listener("", "127.0.0.1:0") as listener:
        host, port = listener.getsockname()
        with socket.create_connection((host, port), timeout=PATIENCE):
            pass


def test_a_namespace_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        netns.call_in("/run/netns/no-such-namespace", lambda: None)
