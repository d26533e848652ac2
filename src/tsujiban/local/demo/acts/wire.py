"""Act 2: what a tap on the cable between the nodes sees, with the mesh and without."""

from __future__ import annotations

import base64

from tsujiban.local.demo import manifests, tlsrecords
from tsujiban.local.demo.hands import address
from tsujiban.local.demo.packets import Streams
from tsujiban.local.demo.stage import Stage
from tsujiban.local.demo.world import HOLDER, MESH_OFF, World

BANK = ("visitor", "customer", "summary", "database")


async def the_wire(world: World, stage: Stage) -> None:
    """Send a known name across the wire twice and look for it in the captured bytes."""
    stage.step("the same bank once more, without the mesh")
    plain = manifests.without_mesh(manifests.objects("apps.yaml", "bank.yaml"), MESH_OFF)
    await world.apply(plain)
    await world.open_page(MESH_OFF)
    addresses = [address(await world.pod(app, MESH_OFF)) for app in BANK]
    streams = world.capture.streams(*addresses)
    stage.check(
        "mesh off: the wire",
        expected=f"holds {HOLDER!r}, readable",
        observed=f"{volume(streams)}; {sightings(streams, HOLDER)} sightings of the name",
        ok=sightings(streams, HOLDER) > 0,
    )
    await world.delete("namespace", None, MESH_OFF)

    stage.step("the bank in the mesh")
    await world.open_page()
    addresses = [address(await world.pod(app)) for app in BANK]
    streams = world.capture.streams(*addresses)
    stage.check(
        "mesh on: the wire",
        expected="never holds the name",
        observed=f"{volume(streams)}; {sightings(streams, HOLDER)} sightings of the name",
        ok=sightings(streams, HOLDER) == 0 and volume_bytes(streams) > 0,
    )
    connections, problems = judge(streams)
    stage.check(
        "mesh on: every byte",
        expected="TLS 1.3 records",
        observed="; ".join(problems) or f"{connections} connections, TLS 1.3 records and nothing else",
        ok=connections > 0 and not problems,
    )
    stage.same("frames that the capture lost", 0, world.capture.lost)


def needles(text: str) -> list[bytes]:
    """A text as it may be met on a wire: itself, and the three ways base64 may hold it."""
    found = [text.encode()]
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + text.encode())
        # the first and last characters depend on what stands beside the text
        found.append(encoded[4 if shift else 0 : -4])
    return found


def sightings(streams: Streams, text: str) -> int:
    """How often a text is met in all streams."""
    datas = [stream.data() for stream in streams.streams]
    return sum(data.count(needle) for data in datas for needle in needles(text))


def volume_bytes(streams: Streams) -> int:
    """Bytes in all streams."""
    return sum(len(stream.data()) for stream in streams.streams)


def volume(streams: Streams) -> str:
    """How much was captured, in words."""
    return f"{volume_bytes(streams)} bytes"


def judge(streams: Streams) -> tuple[int, list[str]]:
    """How many connections are TLS 1.3, and what is wrong with the others."""
    by_way = {stream.way: stream.data() for stream in streams.streams}
    problems = [f"{way.source} → {way.destination}: began before the capture" for way in streams.headless]
    good = 0
    for way, data in by_way.items():
        if way.source_port < way.destination_port or not data:
            continue  # the server's direction is judged with its client's
        try:
            tlsrecords.check_tls13(data, by_way.get(way.back, b""))
        except tlsrecords.NotTls as error:
            problems.append(f"{way.source} → {way.destination}:{way.destination_port}: {error}")
        else:
            good += 1
    return good, problems
