"""Classification and image-text sets in tar files, as CLIP_benchmark publishes them on the hub.

    <folder>/classnames.txt                            one name per line, in the order of the label numbers
    <folder>/zeroshot_classification_templates.txt     one template per line, {c} for the name
    <folder>/train/0.tar, test/0.tar, ...              <key>.jpg (webp, png) with <key>.cls (a number) and, for
                                                       image-text retrieval, <key>.txt (one caption per line)

A split named test-<shift> holds shifted versions of test pictures under the same keys.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from retcap.records import DatasetCard

if TYPE_CHECKING:
    from retcap.features.image_sets import Item, Labels

CARD = DatasetCard(
    name="webdataset_tars",
    title="Tar files in the layout of CLIP_benchmark",
    task="classification",
    licence="of the set",
    source="a folder; most sets of CLIP_benchmark are on the hub as clip-benchmark/wds_*",
    citation="of the set",
)
CLASSES, TEMPLATES = "classnames.txt", "zeroshot_classification_templates.txt"


def labels(source: Path) -> "Labels":
    """Names and templates from their files; a set of image-text pairs alone has neither."""
    from retcap.features.image_sets import Labels, checked

    classes = _lines(source / CLASSES)
    if not classes:
        return Labels((), ())
    return checked(Labels(classes, _lines(source / TEMPLATES)), source)


def splits(source: Path) -> list[str]:
    """Folders with tar files."""
    return sorted(folder.name for folder in source.iterdir() if folder.is_dir() and any(folder.glob("*.tar")))


def items(source: Path, split: str) -> "Iterator[Item]":
    """Pictures in the order of the tar files (0.tar, 1.tar, ... 10.tar) and of their members."""
    files = sorted((source / split).glob("*.tar"), key=lambda file: [int(n) for n in re.findall(r"\d+", file.stem)])
    if not files:
        raise FileNotFoundError(f"No tar file in {source / split}.")
    for file in files:
        yield from _read(file)


def _read(file: Path) -> "Iterator[Item]":
    """Samples of one tar file: neighbouring members whose names are equal up to the first dot."""
    import tarfile

    key, parts = "", {}
    try:
        with tarfile.open(file, "r:") as archive:
            for member in archive:
                if not member.isfile():
                    continue
                name, _, kind = member.name.removeprefix("./").partition(".")
                if name != key and parts:
                    yield _sample(file, key, parts)
                    parts = {}
                opened = archive.extractfile(member)
                assert opened is not None
                key, parts[f".{kind.lower()}"] = name, opened.read()
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(f"{file} is no whole tar file ({error}). Fetch it again.") from error
    if parts:
        yield _sample(file, key, parts)


def _sample(file: Path, key: str, parts: dict[str, bytes]) -> "Item":
    from retcap.features.image_sets import PICTURES, Item

    pictures = [kind for kind in parts if kind in PICTURES]
    if len(pictures) != 1:
        raise ValueError(f"{file}: the sample `{key}` has {len(pictures)} pictures ({', '.join(parts)}). It needs one.")
    label = None
    if ".cls" in parts:
        text = parts[".cls"].decode("utf-8", "replace").strip()
        if not text.isascii() or not text.isdigit():
            raise ValueError(f"{file}: the label of `{key}` is {text[:40]!r}. A .cls file holds the number of a class.")
        label = int(text)
    lines = parts.get(".txt", b"").decode("utf-8", "replace").split("\n")
    captions = tuple(line.strip() for line in lines if line.strip())
    return Item(key, key, label, captions, parts[pictures[0]])


def _lines(file: Path) -> tuple[str, ...]:
    if not file.is_file():
        return ()
    return tuple(line.strip() for line in file.read_text(encoding="utf-8").split("\n") if line.strip())
