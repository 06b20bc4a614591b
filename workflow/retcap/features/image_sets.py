"""Sets of pictures with labels or captions: what a plugin of `datasets/` whose card says `classification` gives.

    labels(source)          Labels: names of the classes, prompt templates, the metric that the set's authors use
    splits(source)          names of the splits that are there
    items(source, split)    the pictures of one split, as bytes of a file, with label and captions

`train`, `valid` and `test` are the splits of a set. Any one named `test-<shift>` holds test pictures under a shift of
their distribution; a picture and its shifted version have one `group`. A set that is by itself a shifted version of
another one (ImageNet-R of ImageNet) names that one in the configuration, and its classes must be among the other's.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from retcap import plugins, spelling

Metric = Literal["top-1", "mean per class"]
SPLITS = ("train", "valid", "test")
SHIFTED = "test-"
WORDNET = re.compile(r"n\d{8}")
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


class Labels(NamedTuple):
    """What the numbers of a set mean. `templates` hold `{}` where the name of the class goes."""

    classes: tuple[str, ...]
    templates: tuple[str, ...]
    metric: Metric = "top-1"
    warnings: tuple[str, ...] = ()


class Item(NamedTuple):
    """One picture. `name` is its own within the split; pictures of one `group` are resampled together."""

    name: str
    group: str
    label: int | None
    captions: tuple[str, ...]
    picture: bytes


@runtime_checkable
class Plugin(Protocol):
    """A module of `datasets/` for this study. `source`: folder of the files, None for a set that needs none."""

    def labels(self, source: Path | None) -> Labels: ...

    def splits(self, source: Path | None) -> list[str]: ...

    def items(self, source: Path | None, split: str) -> Iterator[Item]: ...


def load(name: str) -> Plugin:
    """The plugin of a set."""
    plugins.check("datasets", name, "classification")
    module: Any = plugins.load("datasets", name)
    return module


def checked(labels: Labels, place: object) -> Labels:
    """The labels, with a warning where names look like WordNet ids. ValueError for a wrong name or template."""
    if not labels.classes:
        raise ValueError(f"{place}: no class. A classification set needs at least two.")
    repeated = sorted({name for name in labels.classes if labels.classes.count(name) > 1})
    if repeated:
        raise ValueError(
            f"{place}: two classes are named `{repeated[0]}`. Zero-shot classification tells classes by their names: "
            "give each one its own in classnames.txt."
        )
    empty = [number for number, name in enumerate(labels.classes) if not name.strip()]
    if empty:
        raise ValueError(f"{place}: class {empty[0]} has no name.")
    ids = [name for name in labels.classes if WORDNET.fullmatch(name)]
    if not ids:
        return labels._replace(templates=templates(labels.templates, place))
    said = (
        f"{len(ids)} of {len(labels.classes)} classes are named like WordNet ids (`{ids[0]}`), which no text tower "
        "knows. Put their English names into classnames.txt, one per line, in the order of the folders."
    )
    return labels._replace(templates=templates(labels.templates, place), warnings=(*labels.warnings, said))


def templates(lines: Sequence[str], place: object) -> tuple[str, ...]:
    """Templates with `{}` for the name; `{c}`, as CLIP_benchmark writes it, means the same.

    >>> templates(["a photo of a {c}."], "here")
    ('a photo of a {}.',)
    """
    found = tuple(line.replace("{c}", "{}") for line in lines)
    for line in found:
        if line.count("{}") != 1:
            raise ValueError(f"{place}: the template `{line}` needs one {{}} where the name of the class goes.")
    return found


def among(shifted: Sequence[str], base: Sequence[str], shift: str, of: str) -> list[int]:
    """Numbers of a shifted set's classes in its base set. ValueError where one is not there."""
    known = {name: number for number, name in enumerate(base)}
    missing = [name for name in shifted if name not in known]
    if missing:
        hint = spelling.did_you_mean(missing[0], base)
        raise ValueError(
            f"`{shift}` is a shift of `{of}`, which has no class `{missing[0]}`.{hint} ({len(missing)} of "
            f"{len(shifted)} classes are missing. Both need the same names: see their classnames.txt.)"
        )
    return [known[name] for name in shifted]


def tested(splits: Sequence[str]) -> list[str]:
    """Splits that are only looked at: the test split, then its shifted versions in the order of their names."""
    return [split for split in ("test",) if split in splits] + sorted(
        split for split in splits if split.startswith(SHIFTED)
    )
