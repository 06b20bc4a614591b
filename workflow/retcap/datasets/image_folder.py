"""Your own pictures, sorted into one folder per class: no code needed.

    <folder>/train/<class>/*.jpg       to learn a probe from; a folder `valid` (or `val`) beside it to choose its C on
    <folder>/test/<class>/*.jpg        to judge on; test-<shift> for shifted versions, with the same file names
    <folder>/classnames.txt            if the folders' names are no words: one name per line, in their sorted order
    <folder>/zeroshot_classification_templates.txt     prompt templates of your own, {} for the name

Without the folder `test`, the classes lie in <folder> itself, and all pictures are test pictures.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from retcap.records import DatasetCard

if TYPE_CHECKING:
    from retcap.features.image_sets import Item, Labels

CARD = DatasetCard(
    name="image_folder",
    title="A folder of pictures per class",
    task="classification",
    licence="of the pictures",
    source="a folder",
    citation="of the pictures",
)
TEMPLATES = (  # for pictures of any kind
    "a photo of a {}.",
    "a picture that shows a {}.",
    "a close view of a {}.",
    "a {} seen from afar.",
    "a blurred picture of a {}.",
    "a drawing of a {}.",
    "one {} among other things.",
)
FOLDERS = {"valid": ("valid", "val"), "train": ("train",), "test": ("test",)}


def labels(source: Path) -> "Labels":
    """Names from classnames.txt, else the folders' own names with blanks for `_`."""
    from retcap.features.image_sets import Labels, checked

    found = _classes(source)
    own = source / "classnames.txt"
    names = tuple(name.replace("_", " ") for name in found)
    if own.is_file():
        names = tuple(line.strip() for line in own.read_text(encoding="utf-8").split("\n") if line.strip())
        if len(names) != len(found):
            raise ValueError(f"{own} has {len(names)} names, and there are {len(found)} folders of classes.")
    file = source / "zeroshot_classification_templates.txt"
    lines = file.read_text(encoding="utf-8").split("\n") if file.is_file() else TEMPLATES
    return checked(Labels(names, tuple(line.strip() for line in lines if line.strip())), source)


def splits(source: Path) -> list[str]:
    """Splits whose folders are there; all is test where there is no such folder."""
    if not (source / "test").is_dir():
        return ["test"]
    named = [split for split, folders in FOLDERS.items() if any((source / name).is_dir() for name in folders)]
    return sorted(named + [folder.name for folder in source.glob("test-*") if folder.is_dir()])


def items(source: Path, split: str) -> "Iterator[Item]":
    """Pictures in the order of their paths. Files of other kinds are passed over."""
    from retcap.features.image_sets import PICTURES, Item

    folder, numbers = _folder(source, split), {name: number for number, name in enumerate(_classes(source))}
    for own in _subfolders(folder):
        if own.name not in numbers:
            raise ValueError(f"{own}: no such class among the training pictures. Known: {', '.join(numbers)}.")
        for file in sorted(path for path in own.rglob("*") if path.suffix.lower() in PICTURES):
            name = file.relative_to(folder).as_posix()
            yield Item(name, name, numbers[own.name], (), file.read_bytes())


def _classes(source: Path) -> list[str]:
    """Folders of classes, sorted: those of the training pictures where there are any."""
    folder = next((source / name for name in ("train", "test") if (source / name).is_dir()), source)
    if not folder.is_dir():
        raise FileNotFoundError(f"No folder {folder}. It should hold one folder of pictures per class.")
    return [own.name for own in _subfolders(folder)]


def _folder(source: Path, split: str) -> Path:
    if not (source / "test").is_dir():
        return source
    return next((source / name for name in FOLDERS.get(split, ()) if (source / name).is_dir()), source / split)


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
