"""What the configuration names on the disk: files and folders that must be there, or that a rule makes."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from retcap.config import reading, shared, studies
from retcap.config.common import Common
from retcap.config.errors import Problem
from retcap.config.study import STUDIES


def findings(config: Common) -> Iterator[Problem]:
    """Input files that are not there, and folders that are files."""
    values = config.model_dump()
    for study, section in studies.sections(config):
        for place, path in study.files(section):
            if not shared.is_made(path, values) and not Path(path).is_file():
                yield Problem(place, _absent(path), (STUDIES,))
        for place, path in study.folders(section):
            if Path(path).exists() and not Path(path).is_dir():
                yield Problem(place, f"`{path}` is a file. Give the folder.", (STUDIES,))


def _absent(path: str) -> str:
    if not path:
        return "is empty. Give the path of a file."
    if "://" in path:
        return f"`{path}` is an address. Download the file, and give the path of your copy."
    if Path(path).is_dir():
        return f"`{path}` is a folder. Give a file in it."
    for name in shared.placeholders():
        if path.startswith(f"{shared.FOLDER}/{name}/"):
            return f"no file at `{path}`. What rules make is written as `<{name}>/…`: see the defaults in config.yaml."
    return f"no file at `{path}` (seen from {Path.cwd()}). Give the path of your own copy of the data."


def warnings(config: Common) -> Iterator[Problem]:
    """Folders of pictures that are not there yet. No error: a plan can be made without any data."""
    values = config.model_dump()

    def comes(folder: str) -> bool:
        return Path(folder).is_dir() or shared.is_made(folder, values, folder=True)

    for study, section in studies.sections(config):
        yield from study.warnings(section, comes)


def base(config: Common, files: Sequence[str | Path]) -> Iterator[Problem]:
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
