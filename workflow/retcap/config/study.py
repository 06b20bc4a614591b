"""What the configuration has to know of a study. Its module in `studies/` says it as `STUDY`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from retcap.config.common import Common
from retcap.config.errors import Place, Problem
from retcap.config.parts import Section

STUDIES: Place = ("studies",)  # most problems of a study are void where it does not run


class SharedFolder(Section):
    """A section that describes what lies in a folder of its own, which experiments share: a world, a download.

    Paths name the folder by its placeholder, `<m2kr_world>/images`, and so do rules.
    """

    PLACEHOLDER: ClassVar[str]
    MEANING: ClassVar[str] = ""  # of a world, which is a section at the top level with the placeholder's name

    def folder_name(self) -> str | None:
        """Its folder below `results/data/<placeholder>/`; None: named after the settings."""
        return None

    def makes(self, path: str, *, folder: bool) -> bool:
        """Whether a rule makes this file or folder, a path from the section's folder ("" is that folder itself)."""
        raise NotImplementedError


class Checkpoint(NamedTuple):
    """A checkpoint of the configuration: the words that mean one, the file that its folder must have, its revision."""

    place: Place
    source: str
    words: tuple[str, ...]
    file: str
    revision: str | None
    named_models: bool = False  # open_clip's own model names, with the tag of the weights as revision


def _nothing(*_: Any) -> Iterable[Any]:
    return ()


@dataclass(frozen=True)
class Study:
    """A study's section and what is looked at beyond its single keys; functions get the section first.

    `files`, `folders`, `warnings` and `checkpoints` are asked where the study runs, `problems` always: a mistake in a
    study that is switched off is one all the same.
    """

    number: int  # the order of the studies
    meaning: str  # for the generated files: what it does, in a line
    section: type[Section]
    worlds: tuple[type[SharedFolder], ...] = ()  # what its demo is drawn from
    backbones: bool = False  # whether it stands on `backbones`
    problems: Callable[[Any, Common], Iterable[Problem]] = _nothing
    files: Callable[[Any], Iterable[tuple[Place, str]]] = _nothing  # input files, which must be there or be made
    folders: Callable[[Any], Iterable[tuple[Place, str]]] = _nothing  # which may come, but must not be files
    checkpoints: Callable[[Any], Iterable[Checkpoint]] = _nothing
    warnings: Callable[[Any, Callable[[str], bool]], Iterable[Problem]] = _nothing  # gets: whether a folder will come
