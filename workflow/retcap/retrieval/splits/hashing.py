"""Eight-byte hashes of ids and texts, to count and compare millions of them in little memory.

Among n = 4 million ids two distinct ones share a hash with probability n^2 / 2^65 = 4e-7.
"""

import hashlib
from pathlib import Path

import numpy as np


def hash64(text: str) -> int:
    """Same number in every process and on every machine, unlike Python's `hash`."""
    return int.from_bytes(hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "little")


def hashes(texts: list[str]) -> np.ndarray:
    """`hash64` of every text, as uint64 of shape (len(texts),)."""
    return np.fromiter(map(hash64, texts), dtype=np.uint64, count=len(texts))


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
