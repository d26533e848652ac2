"""Make the README's picture: `tsujiban demo bank -o json | python docs/capture.py > docs/demo.svg`.

The picture shows what was observed in that very run.
"""

from __future__ import annotations

import io
import json
import re
import sys

import msgspec
from rich.console import Console
from rich.terminal_theme import MONOKAI

from tsujiban.local.demo.programme import PROGRAMME
from tsujiban.local.demo.record import ActRecord
from tsujiban.local.demo.show import Show

SHOWN = (2, 3, 4, 5, 6, 7)
WIDTH = 118


def main() -> None:
    """Replay some acts of the record on standard input."""
    evening = json.load(sys.stdin)
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print("$ [bold]tsujiban demo bank[/]")
    with Show(console) as show:
        for entry in evening["acts"]:
            act = msgspec.convert({key: entry[key] for key in entry if key != "ok"}, ActRecord)
            if act.number in SHOWN:
                show.begins(act, PROGRAMME[act.number - 1].story)
                for check in act.checks:
                    show.checked(check)
    good, count = sum(entry["ok"] for entry in evening["acts"]), len(evening["acts"])
    text = f"{good} of {count} acts came out right, in {evening['seconds']:.0f} s."
    console.print(f"\n[bold green]{text}[/]")
    picture = console.export_svg(title="make demo", theme=MONOKAI)
    # no font from elsewhere: a picture must not call home
    print(re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL))


if __name__ == "__main__":
    main()
