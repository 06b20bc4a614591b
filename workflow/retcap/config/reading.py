"""Reads configuration files strictly: what Snakemake lets pass, or cannot explain, gets its file and line.

Snakemake takes the last of two equal keys, and says of broken YAML neither where it is broken nor in which file.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import yaml

from retcap.config import documents
from retcap.config.documents import Broken


class Fault(NamedTuple):
    """What is wrong with a file itself, before anybody asks what its keys mean."""

    line: int | None
    text: str


def faults(file: str | Path) -> list[Fault]:
    """What is wrong with a file itself, in the order of its lines. A pipe is no file: it can be read only once."""
    path = Path(file)
    if path.exists() and not path.is_file() and not path.is_dir():
        return []
    try:
        return list(_document(path)[1])
    except Broken as error:
        return [Fault(error.line, str(error))]


def argument_faults(arguments: Iterable[str]) -> list[Fault]:
    """Keys that the arguments of `--config` set more than once; `a={x: 1} a={y: 2}` sets two keys."""
    found: list[Fault] = []
    seen: set[tuple[str, ...]] = set()
    for argument in arguments:
        name, _, text = argument.partition("=")
        try:
            node = yaml.SafeLoader(text).get_single_node()
        except yaml.YAMLError:
            node = None
        within = [] if node is None else list(_repeated(node, (name,), set()))
        leaves = set(_leaves(node, (name,)))
        again = sorted(leaf for leaf in leaves if any(_overlap(leaf, other) for other in seen))
        found += [fault._replace(line=None) for fault in within]
        found += [Fault(None, f"{'.'.join(leaf)}: is given twice. Keep one.") for leaf in again]
        seen |= leaves
    return found


def _leaves(node: yaml.Node | None, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Paths of all keys below a node that hold no further keys."""
    if isinstance(node, yaml.MappingNode) and node.value:
        for key, value in node.value:
            yield from _leaves(value, (*path, str(key.value)))
    else:
        yield path


def _overlap(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def line(file: str | Path, place: tuple[str | int, ...]) -> int | None:
    """Line of a key, or None where the file does not hold it."""
    try:
        node: yaml.Node = _document(Path(file))[0]
    except Broken:
        return None
    found = None
    for part in place:
        if isinstance(node, yaml.MappingNode):
            entry = next((entry for entry in reversed(node.value) if entry[0].value == str(part)), None)
            if entry is None:
                return None
            found, node = entry[0].start_mark.line + 1, entry[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            found = node.start_mark.line + 1
        else:
            return None
    return found


def text(file: str | Path, key: str) -> str | None:
    """A value of the top level as it is written."""
    try:
        root = _document(Path(file))[0]
    except Broken:
        return None
    return next((value.value for name, value in root.value if name.value == key), None)


def _document(path: Path) -> tuple[yaml.MappingNode, tuple[Fault, ...]]:
    """The file as a tree of nodes with their lines, and what is repeated in it. Raises Broken."""
    return _parsed(documents.content(path))


@lru_cache(maxsize=32)
def _parsed(content: bytes) -> tuple[yaml.MappingNode, tuple[Fault, ...]]:
    root = documents.compose(content)
    return root, tuple(_repeated(root, (), set()))


def _repeated(node: yaml.Node, path: tuple[str, ...], done: set[int]) -> Iterator[Fault]:
    """Keys that stand twice in one mapping, of which Snakemake would take the last without a word."""
    if id(node) in done:  # behind an alias
        return
    done.add(id(node))
    if isinstance(node, yaml.MappingNode):
        lines: dict[tuple[str, str], int] = {}
        for key, value in node.value:
            name, number = str(key.value), key.start_mark.line + 1
            if (key.tag, name) in lines:
                first = lines[key.tag, name]
                where = "in the same line" if first == number else f"first in line {first}"
                yield Fault(number, f"{'.'.join((*path, name))}: is given twice, {where}. Keep one.")
            lines.setdefault((key.tag, name), number)
            yield from _repeated(value, (*path, name), done)
    elif isinstance(node, yaml.SequenceNode):
        for at, value in enumerate(node.value):
            yield from _repeated(value, (*path[:-1], f"{path[-1] if path else ''}[{at}]"), done)
