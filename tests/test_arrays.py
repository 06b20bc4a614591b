"""Arrays in files: whole ones are mapped, broken ones are named."""

from pathlib import Path

import numpy as np
import pytest

from retcap.files.arrays import mapped


@pytest.mark.parametrize("kept", [0, 5, 100, 200])
def test_a_file_that_was_cut_off_is_named(tmp_path: Path, kept: int):
    file = tmp_path / "shard-0.npy"
    np.save(file, np.arange(64.0).reshape(8, 8))
    assert mapped(file).tolist() == np.arange(64.0).reshape(8, 8).tolist()
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"shard-0\.npy is no whole array .* Delete it, and the next run"):
        mapped(file)


def test_raw_files_have_the_type_that_is_asked_for(tmp_path: Path):
    file = tmp_path / "tokens.bin"
    np.arange(5, dtype=np.uint16).tofile(file)
    assert mapped(file, np.uint16).tolist() == [0, 1, 2, 3, 4]
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"tokens\.bin is no whole array"):
        mapped(file, np.uint16)
    file.write_bytes(b"")
    assert mapped(file, np.uint16).size == 0
