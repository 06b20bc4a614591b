"""Hashes of millions of rows, kept on disk: equal ones are found a part at a time, in memory that does not grow.

Every record is a few 64-bit numbers. Its first number decides on the part, so all records of one id meet in one part.
"""

import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Int64

PARTS = 64  # 1.2 million records make parts of 19,000
HELD = 2**15  # records held before they are written, sorted by part


class Spill:
    """Records in a file without a name in `folder`: it is gone once closed, or when the process is killed."""

    def __init__(self, folder: Path, width: int) -> None:
        self._width = width
        self._held = array("q")
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # open until `close`
        self._blocks: list[np.ndarray] = []  # where the parts of a written block start, in records
        self._written = 0

    def __len__(self) -> int:
        return self._written + len(self._held) // self._width

    def add(self, *record: int) -> None:
        """Keep one record."""
        self._held.extend(record)
        if len(self._held) >= HELD * self._width:
            self._write()

    def _write(self) -> None:
        records = np.frombuffer(self._held, np.int64).reshape(-1, self._width)
        part = records[:, 0] % PARTS
        order = np.argsort(part, kind="stable")
        starts = np.searchsorted(part[order], np.arange(PARTS + 1))
        self._file.seek(8 * self._width * self._written)
        self._file.write(records[order].tobytes())
        self._blocks.append(self._written + starts)
        self._written += len(records)
        self._held = array("q")

    def parts(self) -> Iterator[Int64[np.ndarray, "N W"]]:
        """All records, part by part."""
        if self._held:
            self._write()
        for part in range(PARTS):
            pieces = [np.zeros((0, self._width), np.int64)]
            for starts in self._blocks:
                self._file.seek(8 * self._width * int(starts[part]))
                piece = self._file.read(8 * self._width * int(starts[part + 1] - starts[part]))
                pieces.append(np.frombuffer(piece, np.int64).reshape(-1, self._width))
            yield np.concatenate(pieces)

    def distinct(self) -> int:
        """How many different first numbers there are."""
        return sum(len(np.unique(part[:, 0])) for part in self.parts())

    def close(self) -> None:
        """Give the file back to the disk."""
        self._file.close()
