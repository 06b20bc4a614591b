"""What the configuration names on the disk: files and folders that must be there, or that a rule makes."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from retcap.config.checks import STUDIES, Finding, Place

if TYPE_CHECKING:
    from retcap.config import Config

MADE = re.compile(  # what rules make: the two generated worlds, and the downloaded files of M2KR
    r"results/data/(m2kr_world(/.*)?|panorama_world/(train|test)\.csv|m2kr/jsonl/.+\.jsonl)"
)
PICTURES = (
    "Unpack the pictures of the data set there, or point `roots` at your copy. Those of M2KR: the split archive "
    "`ret-img-*.tar.gz` of the hub data set aimagelab/ReT-M2KR, all parts concatenated"
)


def is_made(path: str) -> bool:
    """Whether a rule makes this file or folder."""
    return MADE.fullmatch(path) is not None


def findings(config: "Config") -> Iterator[Finding]:
    """Input files and checkpoints that are not there."""
    for place, path in _files(config):
        if not is_made(path) and not Path(path).is_file():
            text = f"no file at `{path}` (seen from {Path.cwd()}). Give the path of your own copy of the data."
            yield Finding(place, text, (STUDIES,))
    for place, checkpoint in _checkpoints(config):
        if checkpoint[:1] in ("/", ".", "~") and not Path(checkpoint).exists():
            text = f"no checkpoint at `{checkpoint}` (seen from {Path.cwd()}). Give the path of a folder, or a hub id."
            yield Finding(place, text)


def warnings(config: "Config") -> Iterator[Finding]:
    """Folders of pictures that are not there yet. No error: a plan can be made without any data."""
    if "retrieval" not in config.studies:
        return
    users: dict[str, list[str]] = {}
    for name, own in config.retrieval.datasets.items():
        for root in own.root_folders():
            if not is_made(root) and not Path(root).is_dir():
                users.setdefault(root, []).append(name)
    for root, names in users.items():
        text = f"warning: no folder at `{root}` (seen from {Path.cwd()}), so {', '.join(names)} cannot be read"
        yield Finding(("retrieval", "datasets", names[0], "roots"), f"{text}. {PICTURES}.")


def base(config: "Config", files: Sequence[str | Path]) -> Iterator[Finding]:
    """An overlay that is made for another one must not fall on the defaults instead."""
    if config.on_top_of is None:
        return
    own = next((at for at in reversed(range(len(files))) if _says(files[at], config.on_top_of)), None)
    if own is None:  # it came on the command line, as for a job on a cluster
        return
    wanted = Path(files[own]).parent / config.on_top_of
    if wanted.resolve() not in [Path(file).resolve() for file in files[:own]]:
        text = (
            f"this file goes on top of {wanted}, which is not given before it. Use --configfile {wanted} {files[own]}"
        )
        yield Finding(("on_top_of",), text)


def _says(file: str | Path, base: str) -> bool:
    """Whether a file names this one as its base."""
    values = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    return isinstance(values, dict) and values.get("on_top_of") == base


def _files(config: "Config") -> Iterator[tuple[Place, str]]:
    if "captioning" in config.studies:
        for name in ("csv", "train_csv"):
            if (path := getattr(config.captioning, name)) is not None:
                yield ("captioning", name), path
    if "retrieval" in config.studies:
        for dataset, files in config.retrieval.datasets.items():
            for part, paths in files.files().items():
                for at, path in enumerate(paths):
                    yield ("retrieval", "datasets", dataset, part, at), path


def _checkpoints(config: "Config") -> Iterator[tuple[Place, str]]:
    if "retrieval" in config.studies:
        for name, backbone in config.retrieval.backbones.items():
            yield ("retrieval", "backbones", name, "checkpoint"), backbone.checkpoint
    if "captioning" in config.studies:
        yield ("captioning", "checkpoint"), config.captioning.checkpoint
        for name, options in config.captioning.options.items():
            if options.checkpoint is not None:
                yield ("captioning", "options", name, "checkpoint"), options.checkpoint
