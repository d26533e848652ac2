import asyncio
from pathlib import Path

import pytest

from tsujiban.network import birdc

SHOW = """\
2002-Name       Proto      Table      State  Since         Info
1002-device1    Device     ---        up     14:20:21.377  \n\
 node4_b    BGP        ---        up     14:20:22.342  Established   \n\
 node4_c    BGP        ---        start  14:20:21.378  Active        Socket: Connection refused
0000 \
""".splitlines()


def test_protocols() -> None:
    found = {state.name: state for state in birdc.protocols(birdc.parse(SHOW))}
    assert found["device1"].kind == "Device"
    assert found["node4_b"].established
    assert not found["node4_c"].established
    assert "Connection refused" in found["node4_c"].info


def test_the_end_of_an_answer() -> None:
    assert birdc.finished("0013 done")
    assert not birdc.finished("1002-more")
    assert not birdc.finished(" more")


@pytest.mark.parametrize("line", ["8002 bad.conf, line 1: syntax error", "9001 Parse error"])
def test_errors_are_raised_with_birds_words(line: str) -> None:
    with pytest.raises(birdc.BirdcError, match="error"):
        birdc.parse(["0002-Reading configuration", line])


def test_a_conversation(tmp_path: Path) -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"0001 BIRD 2.0.12 ready.\n")
            assert await reader.readline() == b"show protocols\n"
            writer.write(("\n".join(SHOW) + "\n").encode())

        async with await asyncio.start_unix_server(serve, tmp_path / "ctl"):
            assert len(await birdc.show_protocols(tmp_path / "ctl")) == 3

    asyncio.run(main())


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(birdc.BirdcError, match="cannot be reached"):
        asyncio.run(birdc.show_protocols(tmp_path / "none"))


def test_hung_up(tmp_path: Path) -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        async with await asyncio.start_unix_server(serve, tmp_path / "ctl"):
            with pytest.raises(birdc.BirdcError, match=r"hung up|reached"):
                await birdc.configure(tmp_path / "ctl")

    asyncio.run(main())
