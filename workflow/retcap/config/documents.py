"""One YAML or JSON document as a tree of nodes with their lines; what is wrong with it is said in sentences."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from retcap import spelling

DEEPEST = 50  # levels of keys and lists
EXPANDED = 100_000  # values of a file, those behind aliases counted at every use


SENTENCES = {  # of what PyYAML says, in the order they are tried -> what to do
    r"'\\t'": "is indented with a tab. YAML takes blanks only.",
    r"expected a single document": "begins a second document (`---`). One file is one configuration.",
    r"mapping values are not allowed": "has a colon where none can be: is the indentation wrong, is a colon missing in "
    "the line above, or does a text with a colon need quotation marks?",
    r"expected <block end>, but found": "does not fit the lines above: check its indentation.",
    r"found character '(.)' that cannot start": "has a text that begins with `{}`. Put it in quotation marks.",
    r"found undefined alias '(.*)'": "has `*{0}`, which refers to nothing. A text that begins with `*` needs quotation "
    "marks.",
    r"unhashable": "has a list or a mapping as a key. Keys are words.",
    r"constructor for the tag '(.*)'": "has the tag `{}`, which is not understood. Write plain values.",
    r"'<document start>'": "does not go on with what is above: check the indentation, and quote a text that begins "
    "with `%`.",
    r"unknown escape character '(.)'": "has `\\{}` between double quotation marks, where a backslash has a meaning. "
    "Use single ones.",
}
UNFINISHED = {  # told of the line in which it begins
    r"could not find expected ':'": "is no key: a colon and a blank are missing",
    r"parsing a flow sequence": "begins a list `[…]` that is not closed, or lacks a comma",
    r"parsing a flow mapping": "begins a mapping `{…}` that is not closed, or lacks a comma",
    r"scanning a quoted scalar": "begins a text whose closing quotation mark is missing",
}


class Broken(ValueError):
    """A file that cannot be read; `line` is None where no line is to blame."""

    def __init__(self, line: int | None, text: str):
        super().__init__(text)
        self.line = line


def content(path: Path) -> bytes:
    """The bytes of a file. Raises Broken."""
    if not path.exists():
        near = spelling.nearest(path.name, [other.name for other in _neighbours(path)])
        raise Broken(None, "is not there." + (f" Did you mean `{path.with_name(near)}`?" if near else ""))
    if path.is_dir():
        raise Broken(None, "is a folder. Name a file.")
    try:
        return path.read_bytes()
    except OSError as error:
        raise Broken(None, f"cannot be read: {error.strerror}.") from None


def _neighbours(path: Path) -> list[Path]:
    return sorted(path.parent.glob("*.[yj]*")) if path.parent.is_dir() else []


def compose(content: bytes) -> yaml.MappingNode:
    """The mapping that a document is, checked to hold values that exist. Raises Broken.

    Keys that `<<` merges into a mapping are not written into it.
    """
    text, root = _decoded(content), None
    source = text.replace("\t", " ") if _is_json(text) else text  # JSON may be indented with tabs
    try:
        root = yaml.SafeLoader(source).get_single_node()
        if root is not None:
            _check_aliases(root, [], {})
            yaml.SafeLoader(source).get_single_data()
    except Broken:
        raise
    except yaml.YAMLError as error:
        raise _broken(error, text) from None
    except RecursionError:
        raise Broken(None, f"is nested more than {DEEPEST} levels deep.") from None
    except (ValueError, OverflowError):
        raise Broken(*_culprit(root)) from None
    if root is None:
        raise Broken(None, "is empty. It needs keys, such as `seed: 1`.")
    if not isinstance(root, yaml.MappingNode):
        what = "a list" if isinstance(root, yaml.SequenceNode) else "text"
        text = f"holds {what} instead of keys. A key is followed by a colon and a blank: `seed: 1`."
        raise Broken(root.start_mark.line + 1, text)
    return root


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        number = content[: error.start].count(b"\n") + 1
        if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise Broken(None, "is in UTF-16. Save it as UTF-8.") from None
        byte = content[error.start]
        raise Broken(number, f"byte 0x{byte:02x} is no UTF-8. Save the file as UTF-8.") from None


def _is_json(text: str) -> bool:
    """Whether Snakemake would read it as JSON, which it tries first."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _broken(error: yaml.YAMLError, text: str) -> Broken:
    """PyYAML's error in a sentence, with the line where it was found."""
    if isinstance(error, yaml.reader.ReaderError):
        sign = f"U+{ord(error.character):04X}" if isinstance(error.character, str) else f"U+{error.character:04X}"
        return Broken(text.count("\n", 0, error.position) + 1, f"holds the control character {sign}. Remove it.")
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return Broken(None, f"is no valid YAML: {_short(error)}.")
    number, said = error.problem_mark.line + 1, f"{error.context or ''}, {error.problem}"
    for sign, sentence in SENTENCES.items():
        if found := re.search(sign, said):
            return Broken(number, sentence.format(*found.groups()))
    start = error.context_mark.line + 1 if error.context_mark else number
    for sign, sentence in UNFINISHED.items():
        if re.search(sign, said):
            return Broken(start, f"{sentence} (noticed in line {number}).")
    return Broken(number, f"is no valid YAML: {said.strip(', ')}.")


def _check_aliases(node: yaml.Node, above: list[yaml.Node], sizes: dict[int, int]) -> int:
    """Number of values below a node, itself included. Raises Broken where it holds itself or grows without bounds."""
    if any(node is one for one in above):
        raise Broken(node.start_mark.line + 1, "refers to itself: an alias (`*`) lies within its own anchor (`&`).")
    if len(above) > DEEPEST:
        raise Broken(node.start_mark.line + 1, f"is nested more than {DEEPEST} levels deep.")
    if id(node) not in sizes:
        inner: Iterable[yaml.Node] = ()
        if isinstance(node, yaml.MappingNode):
            inner = [part for entry in node.value for part in entry]
        elif isinstance(node, yaml.SequenceNode):
            inner = node.value
        sizes[id(node)] = 1 + sum(_check_aliases(part, [*above, node], sizes) for part in inner)
        if sizes[id(node)] > EXPANDED:
            text = f"grows to more than {EXPANDED:,} values. Is an alias (`*`) used within itself?"
            raise Broken(node.start_mark.line + 1, text)
    return sizes[id(node)]


def _culprit(root: yaml.Node | None) -> tuple[int | None, str]:
    """Line of the first value that Python cannot make, such as the date 2026-13-01."""
    for node in _scalars(root) if root is not None else ():
        try:
            value(node)
        except (ValueError, OverflowError):
            return node.start_mark.line + 1, "is no date or number that exists. Put a text in quotation marks."
    return None, "cannot be understood."


def value(node: yaml.Node) -> Any:
    """What a scalar means in Python."""
    return yaml.SafeLoader("").construct_object(node)


def _scalars(node: yaml.Node) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif isinstance(node, yaml.MappingNode):
        for entry in node.value:
            yield from (scalar for part in entry for scalar in _scalars(part))
    elif isinstance(node, yaml.SequenceNode):
        for part in node.value:
            yield from _scalars(part)


def _short(error: Exception) -> str:
    """An error's text in one line."""
    return " ".join(str(error).split()) or type(error).__name__
