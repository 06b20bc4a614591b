"""COCO captions, in the files that are around:

    dataset_coco.json                     Karpathy's: pictures with their sentences and a split of their own
    {train,val,test}_caption.json         the same split as lists of captions (Oscar's, which ClipCap reads)
    captions_{train,val}2014.json         COCO's own (also 2017); there is no test split then

The first kind that is found is read, in the folder itself or in `annotations/`. Pictures lie in the folder or in
`images/`, under `train2014/`, `val2014/` and so on. `restval` counts as training, as Karpathy & Fei-Fei 2015 have it.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from retcap.captions.whitespace import collapse
from retcap.records import DatasetCard, Rejected

if TYPE_CHECKING:
    from retcap.features.image_sets import Item, Labels

CARD = DatasetCard(
    name="coco",
    title="COCO captions",
    task="classification",
    licence="captions CC-BY-4.0; the pictures have their own Flickr licences. Do not redistribute them",
    source="https://cocodataset.org; Karpathy's split: https://cs.stanford.edu/people/karpathy/deepimagesent/",
    citation="Chen et al. 2015, Microsoft COCO Captions; Karpathy & Fei-Fei 2015, Deep Visual-Semantic Alignments",
    notes="pictures with captions and no classes. Karpathy's split: 113,287 / 5,000 / 5,000 pictures of 2014, five "
    "captions each, some have six or seven",
)
SPLITS = {"train": "train", "restval": "train", "val": "valid", "valid": "valid", "test": "test"}
MISSING = frozenset({"", "None", "NaN", "nan", "NULL", "null", "N/A", "n/a"})
LONGEST = 2_000  # characters of a caption; the longest of COCO has under 300
SHOWN = 500


class Picture(NamedTuple):
    """A picture of the annotations: the paths it may have, and its captions as they stand there."""

    name: str
    paths: tuple[str, ...]
    split: str  # as the file says it
    captions: tuple[Any, ...]


def labels(source: Path) -> "Labels":
    """No classes: pictures and captions alone."""
    from retcap.features.image_sets import Labels

    files(source)
    return Labels((), ())


def splits(source: Path) -> list[str]:
    """Splits that have pictures."""
    return sorted({SPLITS[one.split] for one in _pictures(source) if one.split in SPLITS})


def items(source: Path, split: str) -> "Iterator[Item | Rejected]":
    """Pictures of a split with their captions, in the order of the file; what cannot be used, with its reason."""
    from retcap.features.image_sets import Item

    where, seen = str(files(source)[0]), set()
    for one in _pictures(source):
        if one.split not in SPLITS and split == "test":
            yield _reject(where, one, "unknown_split", f"the split is {one.split!r}; known: {', '.join(SPLITS)}")
        if SPLITS.get(one.split) != split:
            continue
        if one.name in seen:
            yield _reject(where, one, "repeated_image", "the picture stands in the file before")
            continue
        seen.add(one.name)
        captions = []
        for number, raw in enumerate(one.captions):
            problem = _problem(raw)
            if problem is None:
                captions.append(collapse(raw))
            else:
                yield _reject(where, one, problem[0], f"caption {number + 1}: {problem[1]}")
        if not captions:
            yield _reject(where, one, "no_caption", "the picture has no caption that can be used")
            continue
        found = _located(source, one.paths)
        if isinstance(found, Path):
            yield Item(one.name, one.name, None, tuple(captions), found.read_bytes())
        else:
            yield _reject(where, one, *found)


def files(source: Path) -> list[Path]:
    """The annotation files that are read. FileNotFoundError where there is none."""
    for pattern in ("dataset*.json", "*_caption.json", "captions_*.json"):
        for folder in (source, source / "annotations"):
            if found := sorted(folder.glob(pattern)):
                return found
    raise FileNotFoundError(
        f"No annotations in {source}. Put Karpathy's dataset_coco.json there, or {{train,val,test}}_caption.json, or "
        "COCO's captions_*.json."
    )


def _pictures(source: Path) -> list[Picture]:
    found = []
    for file in files(source):
        stat = file.stat()
        found += _read(file, stat.st_mtime_ns, stat.st_size)
    return found


@lru_cache(maxsize=4)  # every split asks for the same file
def _read(file: Path, mtime_ns: int, size: int) -> list[Picture]:
    import json

    try:
        content = json.loads(file.read_bytes())
    except ValueError as error:
        raise ValueError(f"{file} is no JSON file: {error}") from error
    if isinstance(content, list):
        return _of_list(content, _split_of(file))
    if isinstance(content, dict) and isinstance(content.get("images"), list):
        return _of_coco(content, _split_of(file)) if "annotations" in content else _of_karpathy(content)
    raise ValueError(f"{file}: neither a list of captions nor an object with `images`. See retcap/datasets/coco.py.")


def _split_of(file: Path) -> str:
    """The split that a file's name says.

    >>> _split_of(Path("captions_val2014.json")), _split_of(Path("train_caption.json"))
    ('val', 'train')
    """
    found = re.search(r"(?<![a-z])(train|val|test)", file.stem)
    if found is None:
        raise ValueError(f"{file}: the name says no split. Name it as the original, such as captions_val2014.json.")
    return found[1]


def _of_karpathy(content: Mapping[str, Any]) -> list[Picture]:
    pictures = []
    for number, image in enumerate(content["images"]):
        image = image if isinstance(image, dict) else {}
        sentences = image.get("sentences")
        raws = [one.get("raw") if isinstance(one, dict) else one for one in sentences or []]
        name = str(image.get("filename") or "")
        path = str(PurePosixPath(str(image.get("filepath") or "."), name)) if name else ""
        pictures.append(Picture(path or f"image {number}", (path,) * bool(path), str(image.get("split")), tuple(raws)))
    return pictures


def _of_coco(content: Mapping[str, Any], split: str) -> list[Picture]:
    captions: dict[Any, list[Any]] = {}
    for one in content["annotations"]:
        if isinstance(one, dict):
            captions.setdefault(one.get("image_id"), []).append(one.get("caption"))
    pictures = []
    for image in content["images"]:
        name = str(image.get("file_name") or f"image {image.get('id')}")
        year = re.search(r"_(?:train|val|test)(\d{4})_", name)
        folders = [f"{split}{year[1] if year else 2017}"]
        paths = (*(f"{folder}/{name}" for folder in folders), name)
        pictures.append(Picture(name, paths, split, tuple(captions.pop(image.get("id"), ()))))
    # captions of a picture that the file does not list: there is nothing to show them beside
    pictures += [Picture(f"image {key}", (), split, tuple(texts)) for key, texts in captions.items()]
    return pictures


def _of_list(content: list[Any], split: str) -> list[Picture]:
    """Captions with the number of their picture, which lies in train2014 or val2014 (ClipCap, parse_coco.py)."""
    captions: dict[Any, list[Any]] = {}
    for number, one in enumerate(content):
        own = one if isinstance(one, dict) else {}
        captions.setdefault(own.get("image_id", f"record {number}"), []).append(own.get("caption"))
    return [Picture(str(key), _paths_2014(key), split, tuple(texts)) for key, texts in captions.items()]


def _paths_2014(key: Any) -> tuple[str, ...]:
    if not str(key).isdigit():
        return ()
    return tuple(f"{part}2014/COCO_{part}2014_{int(key):012d}.jpg" for part in ("train", "val"))


def _problem(raw: Any) -> tuple[str, str] | None:
    """Why a caption cannot be used."""
    if not isinstance(raw, str) or collapse(raw) in MISSING:
        return "empty_caption", f"the caption is {str(raw)[:SHOWN]!r}"
    return ("caption_too_long", f"it has {len(raw)} characters, more than {LONGEST}") if len(raw) > LONGEST else None


def _located(source: Path, paths: tuple[str, ...]) -> Path | tuple[str, str]:
    """The file of a picture, or reason and detail."""
    for path in paths:
        if ".." in PurePosixPath(path).parts or PurePosixPath(path).is_absolute() or "\0" in path:
            return "outside_folder", f"the path {path!r} leads out of {source}"
        for folder in (source, source / "images"):
            if (folder / path).is_file():
                return folder / path
    return "missing_image", f"no file at {' or '.join(paths) or 'any path'} below {source} or {source / 'images'}"


def _reject(file: str, one: Picture, reason: str, detail: str) -> Rejected:
    return Rejected(file, 0, reason, f"{one.name}: {detail}", str(one.captions)[:SHOWN])
