"""Who owns which address, in files that all proxies of a node share.

Where policy lets anybody in, a proxy would have to know everybody's addresses: the identity that a client
has proven must be the one that owns the address it comes from. A table of that in each proxy would grow with
the cluster, and be sent whole for each pod that comes or goes, anywhere. So the agent keeps it in a
directory, and a script of a few lines looks one address up when a tunnel is opened. What has no line is
nobody's.

An address is looked for in one small file of many. A line says since which change of the table it is there; a
proxy believes it when that change is one of those that its own tables were made with (`took`), for until
then they may not know what policy says of who has come. Files are exchanged by rename, and outlive the agent.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from tsujiban.proxy import names
from tsujiban.proxy.matchers import typed
from tsujiban.proxy.peers import Peers
from tsujiban.proxy.resource import Kind, Resource
from tsujiban.proxy.site import Site

MESSAGE = "envoy.extensions.filters.http.lua.v3.Lua"
BUCKETS = 256
_FACTOR = 31
_TAKEN = "taken-"
_SCRIPT = """\
local function read(name)
  local file = io.open("{directory}/" .. name, "rb")
  if file == nil then return "" end
  local text = file:read("*a")
  file:close()
  return text or ""
end
local function owns(address, identity)
  local bucket = 0
  for index = 1, #address do bucket = (bucket * {factor} + address:byte(index)) % {buckets} end
  local lines = read(bucket)
  local _, last = lines:find("\\n" .. address .. " " .. identity .. " ", 1, true)
  if last == nil then return false end
  local since, took = tonumber(lines:match("^(%d+)\\n", last + 1)), tonumber(read("{taken}"))
  return since ~= nil and took ~= nil and since <= took
end
function envoy_on_request(handle)
  local info = handle:streamInfo()
  local proven = info:downstreamSslConnection():uriSanPeerCertificate()
  local address = info:downstreamDirectRemoteAddress():match("^%[?(.-)%]?:%d+$")
  if #proven == 1 and not proven[1]:find("[%s%c]") and address ~= nil and owns(address, proven[1]) then
    info:dynamicMetadata():set("{where}", "{key}", "{yes}")
  end
end
"""


class Owners:
    """The directory. `seen` is where proxies see it, if not where it is."""

    def __init__(self, directory: Path, seen: str = "") -> None:
        self.seen = seen or str(directory)
        self.sequence = -1  # of changes; below zero before anything is known
        self.problem = ""  # what could not be written
        self._directory = directory
        self._lines: dict[str, tuple[str, int]] | None = None  # identity and change, by address
        self._buckets: dict[int, set[str]] = {}
        self._unwritten: set[int] = set()
        self._taken: dict[str, int] = {}

    def take(self, changed: Iterable[str], peers: Peers) -> dict[str, str]:
        """Write down who owns these addresses now; the former owners of those that changed hands. What could
        not be written (`problem`) is tried again with the next call."""
        if self._lines is None:
            self._lines = {}
            self.sequence = self._read(self._lines)
            changed = {*self._lines, *(address for address, _ in peers.items())}
        former: dict[str, str] = {}
        following = self.sequence + 1
        for address in changed:
            identity = peers.owner(address) or ""
            known, _ = self._lines.get(address, ("", 0))
            if identity == known:
                continue
            self.sequence = following
            number = bucket(address)
            self._unwritten.add(number)
            if known:
                former[address] = known
            if identity:
                self._lines[address] = identity, following
                self._buckets.setdefault(number, set()).add(address)
            else:
                del self._lines[address]
                self._buckets[number].discard(address)
        self._write(self._lines)
        return former

    def took(self, endpoint: str, sequence: int) -> None:
        """The proxy of an endpoint has tables that were made with all changes up to this one."""
        if self._taken.get(endpoint) == sequence:
            return
        try:
            self._replace(taken(endpoint), str(sequence))
        except OSError as error:
            self.problem = f"who owns which address cannot be written: {error}"
        else:
            self._taken[endpoint] = sequence

    def forget(self, endpoint: str) -> None:
        """There is no such proxy any more."""
        self._taken.pop(endpoint, None)
        (self._directory / taken(endpoint)).unlink(missing_ok=True)

    def _read(self, lines: dict[str, tuple[str, int]]) -> int:
        """What an agent before this one has written, and its newest change of which anything is left: no
        proxy may take a new one for one that it has heard of. A line that cannot be read is not there."""
        newest = 0
        for file in self._directory.glob(f"{_TAKEN}*"):
            text = file.read_text()
            newest = max(newest, int(text) if text.isdigit() else 0)
        for number in range(BUCKETS):
            with contextlib.suppress(FileNotFoundError):
                for line in (self._directory / str(number)).read_text().splitlines():
                    address, _, rest = line.partition(" ")
                    identity, _, since = rest.partition(" ")
                    if identity and since.isdigit():
                        lines[address] = identity, int(since)
                        self._buckets.setdefault(number, set()).add(address)
                        newest = max(newest, int(since))
        return newest

    def _write(self, lines: dict[str, tuple[str, int]]) -> None:
        self.problem = ""
        try:
            self._directory.mkdir(mode=0o755, exist_ok=True)
            self._directory.chmod(0o755)  # whatever the umask: proxies have users of their own
            for number in sorted(self._unwritten):
                listed = sorted(self._buckets.get(number, ()))
                told = (f"{address} {lines[address][0]} {lines[address][1]}\n" for address in listed)
                self._replace(str(number), "\n" + "".join(told))
                self._unwritten.discard(number)
        except OSError as error:
            self.problem = f"who owns which address cannot be written: {error}"

    def _replace(self, name: str, text: str) -> None:
        made = self._directory / f"{name}.new"
        made.write_text(text)
        made.chmod(0o644)
        os.replace(made, self._directory / name)


def bucket(address: str) -> int:
    """In which file an address is. The script reckons the same."""
    number = 0
    for byte in address.encode():
        number = (number * _FACTOR + byte) % BUCKETS
    return number


def taken(endpoint: str) -> str:
    """The name of the file that says which changes the tables of an endpoint's proxy were made with."""
    return f"{_TAKEN}{hashlib.sha256(endpoint.encode()).hexdigest()[:20]}"


def resource(site: Site, endpoint: str, *, asked: bool) -> Resource:
    """The configuration of the filter that looks whether a client owns its address, if it is `asked` to."""
    name = site.name(names.OWNERS)
    config = typed(MESSAGE)
    if asked:
        script = _SCRIPT.format(
            directory=site.owners,
            taken=taken(endpoint),
            factor=_FACTOR,
            buckets=BUCKETS,
            where=names.OWNERS,
            key=names.OWNED,
            yes=names.YES,
        )
        config["default_source_code"] = {"inline_string": script}
    # it marks before anybody looks for the mark, and as long as somebody does
    turn = -1 if asked else 1
    return Resource(Kind.EXTENSION, name, {"name": name, "typed_config": config}, turn=turn)
