"""Stanford CoreNLP 3.6.0, which SPICE parses captions with: two Maven artifacts that no Python package contains.

Code (7 MB) and models (378 MB), GPL. They are fetched where the configuration asks for it, or taken from a folder of
the user's own, checked by SHA-256, and lie in a folder of ours: nothing is written beside the jars of pycocoevalcap.
"""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import msgspec

GROUP, ARTIFACT, VERSION = "edu.stanford.nlp", "stanford-corenlp", "3.6.0"  # the version in the SPICE jar's own pom.xml
CLASSIFIERS = ("", "models")
SHA256 = {
    "stanford-corenlp-3.6.0.jar": "d341d5863276f55782c5ef73212222d6b3b48e02ae1951ab6de7618d28b12742",
    "stanford-corenlp-3.6.0-models.jar": "d285157bd7887ee3018094b5dbae092e49088b023361ccdb550ee1daf9b2c9bd",
}
NOT_ASKED = (
    "SPICE needs Stanford CoreNLP 3.6.0 (385 MB, GPL), which is fetched only where captioning.spice.download is true, "
    "or taken from the folder captioning.spice.jars."
)


class CoreNLP(msgspec.Struct, frozen=True):
    """Where the jars are and what one Java gets, or why there are none."""

    jars: tuple[str, ...] = ()
    reason: str | None = NOT_ASKED
    heap_mb: int = 4000
    parses: str | None = None  # folder of parses that outlive the job; None: they are not kept


def of_folder(folder: Path) -> CoreNLP:
    """The jars of a folder. ValueError for one that is not the published file, FileNotFoundError for a missing one."""
    for name, wanted in SHA256.items():
        if not (folder / name).is_file():
            raise FileNotFoundError(f"There is no {name} in {folder}.")
        with open(folder / name, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != wanted:
            raise ValueError(
                f"{folder / name} is not the published file: its SHA-256 is {found[:12]}…, the published one's "
                f"{wanted[:12]}…. Delete it and run again."
            )
    return CoreNLP(tuple(str(folder / name) for name in SHA256), reason=None)


def fetch(folder: Path) -> CoreNLP:
    """The jars in `folder`, from Maven where they are not there yet. ConnectionError where they cannot be had."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [name for name in SHA256 if not (folder / name).is_file()]
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        for classifier in CLASSIFIERS:
            name = "-".join([ARTIFACT, VERSION, *([classifier] if classifier else [])]) + ".jar"
            if name in missing:
                found = _resolve(classifier, Path(cache))
                shutil.move(found, Path(cache) / name)
                os.replace(Path(cache) / name, folder / name)
    return of_folder(folder)


def _resolve(classifier: str, cache: Path) -> Path:
    """One artifact in jgo's own folder; a machine without a network is told so within seconds."""
    try:
        from jgo.maven import MavenContext

        component = MavenContext(repo_cache=cache).project(GROUP, ARTIFACT).at_version(VERSION)
        return component.artifact(classifier=classifier).resolve()
    except Exception as error:  # jgo's own errors, those of requests, and a missing jgo
        what = ":".join([GROUP, ARTIFACT, VERSION, *([classifier] if classifier else [])])
        line = str(error).strip().partition("\n")[0][:200]
        raise ConnectionError(f"{what} cannot be fetched from Maven: {type(error).__name__}: {line}") from error


def write(found: CoreNLP, path: Path) -> None:
    """One JSON file."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")


def read(path: str | Path) -> CoreNLP:
    """Read what `write` wrote."""
    return msgspec.json.decode(Path(path).read_bytes(), type=CoreNLP)
