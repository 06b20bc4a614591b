"""Checkpoints of a training that can be killed at any time, for every trainer: which are whole, and where to go on."""

import json
import random
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from retcap.contrastive.sampler import BatchesOfRank

WEIGHTS = "model.safetensors"
SECONDS = "seconds.json"  # of training until then: a checkpoint need not fall on a log entry
STATE_FILES = (WEIGHTS, SECONDS, "optimizer.pt", "scheduler.pt", "trainer_state.json")


class EpochLoader(DataLoader):
    """Tells its batch sampler the epoch; the Trainer looks for this method on the loader only."""

    batch_sampler: BatchesOfRank

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields."""
        self.batch_sampler.set_epoch(epoch)


def last_checkpoint(folder: Path, ranks: int) -> Path | None:
    """The newest complete checkpoint. Incomplete ones, from a run that was killed while it saved, are left alone."""
    paths = sorted(folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"), key=lambda path: int(path.name.rsplit("-", 1)[1]))
    complete = [path for path in paths if _is_complete(path)]
    if not complete:
        return None
    made_by = len(list(complete[-1].glob("rng_state*.pth")))
    if made_by != ranks:
        raise ValueError(
            f"{complete[-1]} comes from a run on {made_by} rank(s), this one has {ranks}: batches, order and schedule "
            f"would change in the middle. Ask for {made_by} GPU(s), or delete {folder} to start again."
        )
    return complete[-1]


def _is_complete(checkpoint: Path) -> bool:
    if not all((checkpoint / name).is_file() for name in STATE_FILES):
        return False
    try:
        json.loads((checkpoint / "trainer_state.json").read_text())
    except ValueError:
        return False
    return True


def seed_dropout(seed: int, rank: int) -> None:
    """Give each rank its own dropout draws; the Trainer seeds all ranks alike, and checkpoints carry the state on."""
    random.seed(seed + rank)
    torch.manual_seed(seed + rank)
