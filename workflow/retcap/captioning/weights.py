"""Which weights a captioner was made of: what a number must be published with."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

READ_BYTES = 2**20


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
            while part := file.read(READ_BYTES):
                digest.update(part)
    return digest.hexdigest()
