"""Arrays in files, mapped into memory."""

from pathlib import Path
from typing import Any

import numpy as np


def mapped(file: Path, dtype: Any = None) -> np.ndarray:
    """A memory-mapped .npy file, or a raw one with its `dtype`; as a plain array, whose slices cost far less time.

    Raise ValueError with the file's name where it is cut off or no array at all.
    """
    try:
        if dtype is None:
            return np.asarray(np.load(file, mmap_mode="r"))
        return np.asarray(np.memmap(file, dtype, mode="r")) if file.stat().st_size else np.empty(0, dtype)
    except (ValueError, EOFError) as error:
        reason = f"{file} is no whole array ({error}), so it was cut off or written over"
        raise ValueError(f"{reason}. Delete it, and the next run makes it anew.") from None
