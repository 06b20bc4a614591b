"""Configuration of the retrieval study's data: files, hold-outs, pictures, downloads, the generated world."""

from typing import Any, ClassVar, Literal

from retcap import plugins
from retcap.config.limits import ROWS, SEEDS, WEIGHT
from retcap.config.parts import (
    DataPath,
    Fraction,
    NotNegative,
    NotNegativeNumber,
    Positive,
    Repository,
    Revision,
    Section,
    key,
)
from retcap.config.study import SharedFolder

SEED = "the TinyCLIP-ReT-2 study"
WORLD = "<m2kr_world>/"


class HoldOut(Section):
    """Validation rows taken out of the training rows, where a data set has no validation split of its own."""

    rows: Positive = key(5000, "training rows to hold out", "rows", SEED, most=ROWS)
    by: Literal["passage", "image", "row"] = key("passage", "what stays together; `passage` makes its entities unseen")


class RetrievalSet(Section):
    """Files of one M2KR data set; lists, because the releases are split in several files."""

    train: list[DataPath] = key([], "JSONL files of training queries", "paths")
    train_passages: list[DataPath] = key(
        [], "corpus of the training queries; empty: the passages in the query lines", "paths"
    )
    valid: list[DataPath] = key([], "JSONL files of validation queries; with `holdout` they are only audited", "paths")
    valid_passages: list[DataPath] = key(
        [], "corpus of the validation queries; empty: the test corpus and what the lines bring", "paths"
    )
    test: list[DataPath] = key([], "JSONL files of test queries", "paths")
    passages: list[DataPath] = key([], "JSONL files of the corpus that test queries search", "paths")
    roots: DataPath | dict[str, DataPath] = key("", "folder of the images, or path prefix → folder", "path")
    valid_limit: Positive | None = key(
        5000, "validation queries used, drawn at random; null: all", "queries", SEED, most=ROWS
    )
    holdout: HoldOut | None = key(None, "hold validation rows out of training; null: the set has its own")
    weight: NotNegativeNumber = key(1.0, "how often an epoch shows each training row", "", SEED, most=WEIGHT)

    def files(self) -> dict[str, list[str]]:
        """Every input file by key."""
        names = ("train", "train_passages", "valid", "valid_passages", "test", "passages")
        return {name: getattr(self, name) for name in names}

    def root_folders(self) -> list[str]:
        """Every folder of pictures."""
        return list(self.roots.values()) if isinstance(self.roots, dict) else [self.roots]


def world_sets() -> dict[str, RetrievalSet]:
    """The four sets of the generated world; as published, InfoSeek has no validation split and OKVQA's leaks."""
    sets = {}
    for name, splits in plugins.load("datasets", "m2kr_world").FILES.items():
        found = {split: parts["queries"] for split, parts in splits.items()}
        found |= {"train_passages": splits["train"]["passages"], "passages": splits["test"]["passages"]}
        values: dict[str, Any] = {part: [WORLD + path for path in paths] for part, paths in found.items()}
        group = getattr(plugins.load("datasets", name), "HOLD_OUT", None)
        values["holdout"] = HoldOut(rows=100, by=group) if group else None
        sets[name] = RetrievalSet(**values, roots=f"{WORLD}images")
    return sets


class Pack(Section):
    """Images are decoded and resized once for every side that a backbone takes."""

    resize: Literal["cover", "squash"] = key("squash", "`cover`: shortest side, centre crop; `squash`: exact size")
    encoding: Literal["raw", "jpeg", "png"] = key("raw", "how the pack stores pixels")
    shrink_on_load: bool = key(
        False, "decode large JPEGs at a fraction of their size, at least twice the side: faster, pixels differ a little"
    )


class MissingImages(Section):
    """Rows whose picture is missing or broken. They are counted either way, per split and for queries and passages."""

    policy: Literal["mask", "drop"] = key(
        "mask", "`mask`: the row counts as one without a picture; `drop`: a query is left out, a passage is masked"
    )
    max_share: Fraction = key(0.5, "an error where a larger share of a split's pictures is missing; 1: never")


class MaxRejected(Section):
    """Lines that may be set aside before the run stops: a share of the query lines, and one of the corpus lines."""

    train: Fraction = key(0.01, "share of the training lines")
    valid: Fraction = key(0.01, "share of the validation lines")
    test: Fraction = key(0.001, "share of the test lines: fewer queries or passages make another test")


class Download(SharedFolder):
    """Where the published JSONL files come from."""

    PLACEHOLDER: ClassVar[str] = "m2kr"

    repository: Repository = key("aimagelab/ReT-M2KR", "data set on the hub, owner/name", "", "ReT-2")
    revision: Revision | None = key(None, "its revision (commit); null: the newest, which may change under you")

    def folder_name(self) -> str:
        """Repository and revision."""
        return f"{self.repository}/{self.revision or 'main'}"

    def makes(self, path: str, *, folder: bool) -> bool:
        """The JSONL files; pictures are yours."""
        return not folder and path.startswith("jsonl/") and path.endswith(".jsonl")


class M2krWorld(SharedFolder):
    """The generated M2KR world."""

    PLACEHOLDER: ClassVar[str] = "m2kr_world"
    MEANING: ClassVar[str] = "the generated retrieval world"

    seed: NotNegative = key(0, "seed of the world", most=SEEDS)

    def makes(self, path: str, *, folder: bool) -> bool:
        """Everything."""
        return True
