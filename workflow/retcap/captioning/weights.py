"""Which weights a captioner was made of: what a number must be published with."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from retcap.jobs import hub
from retcap.records import CaptionerCard

SECOND = "*_tokenizer/*"  # files of a second tokenizer, such as that of InstructBLIP's Q-Former
BESIDE = {".json", ".jinja", ".model", ".py", ".txt"}  # files beside the weights that a checkpoint is read from


@dataclass(frozen=True)
class Weights:
    """Where weights came from. A hub repository is told by its commit, a folder by its content."""

    source: str  # hub id or folder
    revision: str | None = None  # commit of a hub repository, or the branch where the hub does not say; None: a folder
    sha256: str | None = None  # of a folder's weights (`content_sha256`); None: a hub repository


def content_sha256(folder: str | Path) -> str:
    """SHA-256 over the `*.safetensors` files of a folder, in the order of their names.

    The command `cat *.safetensors | sha256sum` prints it in that folder; of a single file it is the file's own.
    """
    digest = hashlib.sha256()
    for path in sorted(Path(folder).glob("*.safetensors"), key=lambda file: file.name):
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


def identify(source: str | Path | None, revision: str | None, card: CaptionerCard) -> Weights:
    """The weights that are meant, before they are loaded. None is the card's model at the card's revision.

    FileNotFoundError for the absolute path of a folder that is not there.
    """
    if source is not None and Path(source).is_dir():
        return Weights(str(source), sha256=content_sha256(source))
    if source is not None and Path(source).is_absolute():
        raise hub.missing_folder(source, f"captioning.options.{card.name}.checkpoint")
    place = str(source) if source is not None else card.model_id
    # The card's revision says nothing about another repository.
    return Weights(place, revision or (card.revision if place == card.model_id else "main"))


def is_pinned(weights: Weights) -> bool:
    """Whether the same weights come every time: a folder of known content, or a commit, but not a branch."""
    return weights.revision is None or re.fullmatch("[0-9a-f]{40}", weights.revision) is not None


def files_sha256(weights: Weights) -> str | None:
    """SHA-256 over configuration, tokenizer and processor files of a folder; None for a hub repository."""
    if weights.sha256 is None:
        return None
    digest = hashlib.sha256()
    folder = Path(weights.source)
    found = {path.relative_to(folder).as_posix(): path for pattern in ("*", SECOND) for path in folder.glob(pattern)}
    for name, path in sorted((name, path) for name, path in found.items() if path.suffix in BESIDE):
        digest.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()
