"""The smallest transaction that turns what the kernel holds into what is wanted.

Objects are compared by name; a chain is rewritten only when its rules differ, a set changes by
elements. What is in the table and not wanted is removed: the table is ours alone. What cannot be
changed in place (a base chain's hook, a set's type) makes the whole table anew, in the same one
transaction, so that there is no moment without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tsujiban.kernel.elementwriter import Change
from tsujiban.kernel.held import Held
from tsujiban.kernel.names import digest
from tsujiban.kernel.table import FAMILY, Chain, Set, Table
from tsujiban.policy.versions import difference

_CHUNK = 4096  # elements in one command


def transaction(held: Held | None, wanted: Table) -> str:
    """Commands that make `wanted` out of `held` (None: no such table); "" when nothing differs."""
    if held is None or _rigid(held, wanted):
        return rebuild(wanted)
    where = f"{FAMILY} {wanted.name}"
    new = wanted.chains.keys() - held.chains.keys()
    changed = [
        chain
        for chain in wanted.chains.values()
        if chain.name in held.chains and held.chains[chain.name].marks != chain.marks
    ]
    gone = held.chains.keys() - wanted.chains.keys()
    lines: list[str] = [
        *_counters(wanted, wanted.counters.keys() - held.counters),
        *(_declare(where, wanted.sets[name]) for name in sorted(wanted.sets.keys() - held.sets.keys())),
        *(_chain(where, wanted.chains[name]) for name in sorted(new)),
        *(f"flush chain {where} {chain.name}" for chain in changed),
        *(f"flush chain {where} {name}" for name in sorted(gone)),
    ]
    for item in wanted.sets.values():
        lines += _elements(where, held.sets.get(item.name), item)
    for chain in (*(wanted.chains[name] for name in sorted(new)), *changed):
        lines += _rules(where, chain)
    lines += [
        f"delete {held.sets[name].kind} {where} {name}"
        for name in sorted(held.sets.keys() - wanted.sets.keys())
    ]
    lines += [f"delete chain {where} {name}" for name in sorted(gone)]
    lines += [f"delete counter {where} {name}" for name in sorted(held.counters - wanted.counters.keys())]
    return "".join(line + "\n" for line in lines)


def elements_only(held: Held | None, wanted: Table) -> list[Change] | None:
    """The changes of elements that make `wanted` out of `held`; None when more than elements differs."""
    if held is None or held.flags or held.sets.keys() != wanted.sets.keys():
        return None
    if held.made_of is not wanted.chains and (
        _rigid(held, wanted)
        or held.chains.keys() != wanted.chains.keys()
        or held.counters != wanted.counters.keys()
        or any(held.chains[name].marks != chain.marks for name, chain in wanted.chains.items())
    ):
        return None
    found = (
        (item, *difference(held.sets[item.name].elements, item.elements)) for item in wanted.sets.values()
    )
    return [Change(item, gone, come) for item, gone, come in found if gone or come]


def rebuild(wanted: Table) -> str:
    """Commands that replace the table, whatever it holds, by `wanted`."""
    where = f"{FAMILY} {wanted.name}"
    start = f"add table {where}\ndelete table {where}\nadd table {where}\n"
    return start + transaction(Held(), wanted)


def remove(name: str) -> str:
    """Commands after which there is no table of that name."""
    return f"add table {FAMILY} {name}\ndelete table {FAMILY} {name}\n"


def _rigid(held: Held, wanted: Table) -> bool:
    """Whether something differs that cannot be changed in place."""
    if held.flags:
        return True
    hooks = any(
        chain.name in held.chains and held.chains[chain.name].hook != chain.hook
        for chain in wanted.chains.values()
    )
    return hooks or any(
        item.name in held.sets and held.sets[item.name].shape() != item.shape()
        for item in wanted.sets.values()
    )


def _counters(wanted: Table, names: Iterable[str]) -> Iterator[str]:
    for name in sorted(names):
        yield f'add counter {FAMILY} {wanted.name} {name} {{ comment "{wanted.counters[name]}"; }}'


def _declare(where: str, item: Set) -> str:
    return f"add {item.kind} {where} {item.name} {{ {item.declaration()} }}"


def _chain(where: str, chain: Chain) -> str:
    return f"add chain {where} {chain.name}" + (f" {{ {chain.hook.text()} }}" if chain.hook else "")


def _rules(where: str, chain: Chain) -> Iterator[str]:
    for rule in chain.rules:
        yield f'add rule {where} {chain.name} {rule} comment "{digest(rule)}"'


def _elements(where: str, held: Set | None, wanted: Set) -> Iterator[str]:
    gone, come = difference(held.elements if held else {}, wanted.elements)
    for verb, elements in (("delete", gone), ("add", come)):
        texts = [_element(wanted, key, data) for key, data in elements.items()]
        for start in range(0, len(texts), _CHUNK):
            yield f"{verb} element {where} {wanted.name} {{ {', '.join(texts[start : start + _CHUNK])} }}"


def _element(item: Set, key: str, data: str) -> str:
    if "ifname" in item.type:  # names of interfaces may look like anything: they are quoted
        pairs = zip(item.type.split(" . "), key.split(" . "), strict=True)
        key = " . ".join(f'"{part}"' if of == "ifname" else part for of, part in pairs)
    return f"{key} : {data}" if item.data else key
