"""Hashes on disk: whatever the size of the blocks, the parts together are the records, and equal ones meet."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retcap.retrieval.splits import spill

INT64 = st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)


@given(st.lists(st.tuples(INT64, INT64), max_size=40), st.sampled_from([1, 3, 1000]))
def test_parts_hold_every_record_once_and_equal_first_numbers_together(records, held):
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(spill, "HELD", held)
        kept = spill.Spill(Path(folder), 2)
        for record in records:
            kept.add(*record)
        for _ in range(2):  # reading does not use the records up
            parts = [part.tolist() for part in kept.parts()]
            assert sorted(tuple(record) for part in parts for record in part) == sorted(records)
        firsts = [{record[0] for record in part} for part in parts]
        assert sum(map(len, firsts)) == len(set().union(*firsts)) == kept.distinct() == len({one for one, _ in records})
        assert len(kept) == len(records)
        kept.close()


def test_records_can_be_added_after_reading(tmp_path: Path):
    kept = spill.Spill(tmp_path, 1)
    kept.add(5)
    assert kept.distinct() == 1
    kept.add(6)
    kept.add(5)
    assert (kept.distinct(), len(kept)) == (2, 3)
    kept.close()


def test_memory_does_not_grow_and_no_file_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(spill, "HELD", 100)
    kept = spill.Spill(tmp_path, 3)
    rng = np.random.default_rng(0)
    for number in rng.integers(-50, 50, 10_000).tolist():
        kept.add(number, 1, 2)
        assert len(kept._held) <= 300
    assert kept.distinct() == 100
    assert list(tmp_path.iterdir()) == []  # nothing to clean up, even after a kill
    kept.close()
