"""The retrieval study in the configuration; what is looked at in several keys at once stands in `retrieval_checks`."""

from collections.abc import Callable, Iterator
from pathlib import Path

from retcap.config.errors import Place, Problem
from retcap.config.retrieval import Retrieval
from retcap.config.retrieval_checks import problems
from retcap.config.retrieval_data import M2krWorld
from retcap.config.study import Study

PICTURES = (
    "Unpack the pictures of the data set there, or point `roots` at your copy. Those of M2KR: the split archive "
    "`ret-img-*.tar.gz` of the hub data set aimagelab/ReT-M2KR, all parts concatenated"
)


def files(own: Retrieval) -> Iterator[tuple[Place, str]]:
    """The JSONL files of every data set."""
    for dataset, files in own.datasets.items():
        for part, paths in files.files().items():
            for at, path in enumerate(paths):
                yield ("retrieval", "datasets", dataset, part, at), path


def folders(own: Retrieval) -> Iterator[tuple[Place, str]]:
    """Folders of pictures."""
    for dataset, files in own.datasets.items():
        for root in files.root_folders():
            yield ("retrieval", "datasets", dataset, "roots"), root


def warnings(own: Retrieval, comes: Callable[[str], bool]) -> Iterator[Problem]:
    """Folders of pictures that are not there yet."""
    users: dict[str, list[str]] = {}
    for name, files in own.datasets.items():
        for root in files.root_folders():
            if not comes(root):
                users.setdefault(root, []).append(name)
    for root, names in users.items():
        text = f"warning: no folder at `{root}` (seen from {Path.cwd()}), so {', '.join(names)} cannot be read"
        yield Problem(("retrieval", "datasets", names[0], "roots"), f"{text}. {PICTURES}.")


STUDY = Study(
    number=1,
    meaning="image and question retrieve passages of text and image",
    section=Retrieval,
    worlds=(M2krWorld,),
    backbones=True,
    problems=problems,
    files=files,
    folders=folders,
    warnings=warnings,
)
