"""Finds the recipe of a tiny checkpoint by its captioner's name: `worlds/tiny/<captioner>.py`.

A recipe has `STEPS`, the training steps after which the model sees colours and most shapes, and
`build(folder, corpus, seed)`, which writes an untrained checkpoint of the captioner's own architecture; where an answer
does not end with the tokenizer's end token, `END_OF_ANSWER`. No captioner imports a recipe, so a change of one touches
no captions of a real checkpoint. Light on purpose: the configuration asks for the names.
"""

from pathlib import Path
from types import ModuleType

from retcap import plugins

FOLDER = Path(__file__).parent / "tiny"


def names() -> list[str]:
    """Sorted names of the captioners that have a recipe. Files that start with an underscore are parts of recipes."""
    return sorted(file.name.removesuffix(".py") for file in FOLDER.glob("*.py") if file.name[0] != "_")


def path(captioner: str) -> Path:
    """File of a recipe. LookupError where the captioner has none."""
    if captioner not in names():
        raise LookupError(missing(captioner))
    return FOLDER / f"{captioner}.py"


def load(captioner: str) -> ModuleType:
    """The recipe of a captioner. LookupError where it has none."""
    return plugins.load_file(path(captioner), plugins.escaped("worlds.tiny", captioner))


def missing(captioner: str) -> str:
    """What is wrong where a tiny checkpoint is wanted and cannot be built."""
    return (
        f"{captioner} cannot have a `tiny` checkpoint: there is no recipe {FOLDER}/{captioner}.py. Give `hub`, a "
        "hub id or a folder, or write the recipe."
    )
