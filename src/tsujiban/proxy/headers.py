"""Headers that rules name must be readable in one way: given once, without white space around the value, and
under no name that differs in punctuation alone.

Envoy's matchers see one text for a header that is given twice, its values joined by commas, and
an application may well read the first or the last one alone; HTTP/2 lets white space through that
applications cut off; and behind CGI or WSGI `X_Role` is `X-Role`. A clause on the exact value would not
see through any of it. So a script of a few lines marks such a request, where rules name headers, and
authorization refuses what is marked.
It marks first and clears the mark last, so that a script that fails refuses.

In a pod that ends the script has each connection closed after its request (`proxy.parting`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tsujiban.proxy import names
from tsujiban.proxy.matchers import typed
from tsujiban.proxy.resource import Kind, Resource
from tsujiban.proxy.site import Site

MESSAGE = "envoy.extensions.filters.http.lua.v3.Lua"
_TOKEN = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_SCRIPT = """\
local named = {{{names}}}
local exact, alike = {{}}, {{}}
for _, name in ipairs(named) do
  exact[name] = true
  alike[name:gsub("%W", "-")] = true
end
local function read(handle)
  local metadata = handle:streamInfo():dynamicMetadata()
  metadata:set("{where}", "{key}", "not read yet")
  local headers = handle:headers()
  for _, name in ipairs(named) do
    local value = headers:get(name)
    if value ~= nil and (headers:getNumValues(name) > 1 or value:find("^%s") or value:find("%s$")) then
      metadata:set("{where}", "{key}", name)
      return
    end
  end
  for name in pairs(headers) do
    if not exact[name] and alike[name:gsub("%W", "-")] then
      metadata:set("{where}", "{key}", name)
      return
    end
  end
  metadata:set("{where}", "{key}", "")
end
"""
_READ = "  read(handle)\n"
_LAST = "  handle:streamInfo():drainConnectionUponCompletion()\n"


def resource(site: Site, named: Iterable[str], *, closing: bool = False) -> Resource:
    """The filter's configuration; `named` are in lower case. Without any it does nothing, unless the pod
    is `closing`."""
    name = site.name(names.HEADERS)
    listed = sorted({one for one in named if _TOKEN.fullmatch(one)})  # no request has others
    config = typed(MESSAGE)
    if listed or closing:
        config["default_source_code"] = {"inline_string": _script(listed, closing)}
    return Resource(Kind.EXTENSION, name, {"name": name, "typed_config": config})


def _script(listed: list[str], closing: bool) -> str:
    quoted = ", ".join(f'"{one}"' for one in listed)
    script = _SCRIPT.format(names=quoted, where=names.HEADERS, key=names.UNREADABLE) if listed else ""
    steps = (_READ if listed else "") + (_LAST if closing else "")
    return f"{script}function envoy_on_request(handle)\n{steps}end\n"
