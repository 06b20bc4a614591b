"""What the configuration names on the disk: files and folders that must be there, or that a rule makes."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from retcap.config import reading, shared
from retcap.config.checks import STUDIES
from retcap.config.errors import Place, Problem

if TYPE_CHECKING:
    from retcap.config import Config

PICTURES = (
    "Unpack the pictures of the data set there, or point `roots` at your copy. Those of M2KR: the split archive "
    "`ret-img-*.tar.gz` of the hub data set aimagelab/ReT-M2KR, all parts concatenated"
)


def findings(config: "Config") -> Iterator[Problem]:
    """Input files that are not there, and folders that are files."""
    folders = shared.folders(config.model_dump())
    for place, path in _files(config):
        if not shared.is_made(path, folders) and not Path(path).is_file():
            yield Problem(place, _absent(path), (STUDIES,))
    for place, path in _folders(config):
        if Path(path).exists() and not Path(path).is_dir():
            yield Problem(place, f"`{path}` is a file. Give the folder.", (STUDIES,))


def _absent(path: str) -> str:
    if not path:
        return "is empty. Give the path of a file."
    if "://" in path:
        return f"`{path}` is an address. Download the file, and give the path of your copy."
    if Path(path).is_dir():
        return f"`{path}` is a folder. Give a file in it."
    for name in shared.PLACEHOLDERS:
        if path.startswith(f"{shared.FOLDER}/{name}/"):
            return f"no file at `{path}`. What rules make is written as `<{name}>/…`: see the defaults in config.yaml."
    return f"no file at `{path}` (seen from {Path.cwd()}). Give the path of your own copy of the data."


def warnings(config: "Config") -> Iterator[Problem]:
    """Folders of pictures that are not there yet. No error: a plan can be made without any data."""
    made = shared.folders(config.model_dump())
    root = config.captioning.images_root
    if "captioning" in config.studies and root is not None and not _may_come(root, made):
        text = f"warning: no folder at `{root}` (seen from {Path.cwd()}), so no picture of the CSV can be read."
        yield Problem(("captioning", "images_root"), text)
    if "retrieval" not in config.studies:
        return
    if config.device == "cpu" and config.retrieval.training.gpus > 1:
        text = "warning: `device: cpu` trains on one CPU, so this number is ignored. Set `device: cuda`."
        yield Problem(("retrieval", "training", "gpus"), text)
    users: dict[str, list[str]] = {}
    for name, own in config.retrieval.datasets.items():
        for root in own.root_folders():
            if not _may_come(root, made):
                users.setdefault(root, []).append(name)
    for root, names in users.items():
        text = f"warning: no folder at `{root}` (seen from {Path.cwd()}), so {', '.join(names)} cannot be read"
        yield Problem(("retrieval", "datasets", names[0], "roots"), f"{text}. {PICTURES}.")


def _may_come(folder: str, made: dict[str, str]) -> bool:
    """Whether a folder is there, or will be."""
    return Path(folder).is_dir() or folder == made["panorama_world"] or shared.is_made(folder, made)


def base(config: "Config", files: Sequence[str | Path]) -> Iterator[Problem]:
    """An overlay that is made for another one must not fall on the defaults instead."""
    if config.on_top_of is None:
        return
    said = [reading.text(file, "on_top_of") for file in files]
    own = next((at for at in reversed(range(len(files))) if said[at] == config.on_top_of), None)
    if own is None:  # it came on the command line, as for a job on a cluster
        return
    wanted = Path(files[own]).parent / config.on_top_of
    if not wanted.is_file() or wanted.resolve() == Path(files[own]).resolve():
        what = "is this file itself" if wanted.is_file() else "is not there"
        yield Problem(("on_top_of",), f"{wanted} {what}. Name the file beside this one that has to be given before it.")
        return
    if wanted.resolve() not in [Path(file).resolve() for file in files[:own]]:
        text = (
            f"this file goes on top of {wanted}, which is not given before it. Use --configfile {wanted} {files[own]}"
        )
        yield Problem(("on_top_of",), text)


def _files(config: "Config") -> Iterator[tuple[Place, str]]:
    if "captioning" in config.studies:
        yield from ((("captioning", *place), path) for place, path in config.captioning.csvs().items())
        for name, own in config.captioning.predictions.items():
            yield ("captioning", "predictions", name, "file"), own.file
        if config.captioning.judgements is not None:
            yield ("captioning", "judgements"), config.captioning.judgements
    if "retrieval" in config.studies:
        for dataset, files in config.retrieval.datasets.items():
            for part, paths in files.files().items():
                for at, path in enumerate(paths):
                    yield ("retrieval", "datasets", dataset, part, at), path


def _folders(config: "Config") -> Iterator[tuple[Place, str]]:
    if "captioning" in config.studies:
        for name in ("images_root", "download_to"):
            if (path := getattr(config.captioning, name)) is not None:
                yield ("captioning", name), path
    if "retrieval" in config.studies:
        for dataset, own in config.retrieval.datasets.items():
            for root in own.root_folders():
                yield ("retrieval", "datasets", dataset, "roots"), root
