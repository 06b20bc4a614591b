"""When to evaluate, save and stop, and which weights to keep.

Everything follows from the step number and the log history, which checkpoints carry; so a resumed run decides as the
uninterrupted one does.
"""

import json
import logging
import math
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from retcap.contrastive import gather
from retcap.files.whole import replacing_folder

log = logging.getLogger(__name__)
STEPS_PER_LOOK = 10  # steps between looks at the clock, where all ranks have to be told
MACRO = "macro"  # the mean over all sets, which decides
SCORE = "score.json"  # beside the weights: metric, value, step and epoch that made them the best


def values_of(metric: str, history: list[dict[str, float]]) -> list[float]:
    """The values of one metric at all evaluations so far, oldest first."""
    return [entry[metric] for entry in history if metric in entry]


def should_stop(values: list[float], patience: int | None, threshold: float) -> bool:
    """Whether the last `patience` evaluations in a row were no progress. None: never.

    As Hugging Face's EarlyStoppingCallback: progress is a value more than `threshold` above the best before it; the
    best itself moves at any gain, however small.

    >>> should_stop([0.1, 0.2, 0.2005, 0.19], 2, 0.001), should_stop([0.1, 0.2, 0.2005, 0.21], 2, 0.001)
    (True, False)
    """
    idle, best = 0, -math.inf
    for value in values:
        idle = 0 if value > best and value - best > threshold else idle + 1
        best = max(best, value)
    return patience is not None and idle >= patience


class Pace(TrainerCallback):
    """Sets when to log, evaluate and save.

    Evaluations fall on multiples of `evaluate_every` steps (None: never) and on the last step, and a checkpoint follows
    each. Between them, checkpoints fall on multiples of `save_every`, never on a step whose evaluation is still to
    come: a run killed in between would resume behind it and miss it. Each of these starts a new mean of the logged
    loss. Besides, a checkpoint is due when the last one is `save_minutes` old (None: never); it logs nothing, so that
    the curves do not depend on the clock.
    """

    def __init__(self, evaluate_every: int | None, save_every: int, last_step: int, save_minutes: float | None = None):
        self.evaluate_every, self.save_every, self.last_step = evaluate_every, save_every, last_step
        self.save_s = None if save_minutes is None else 60 * save_minutes
        self._saved = time.monotonic()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Called by the Trainer before the first step of this session: data were prepared before."""
        self._saved = time.monotonic()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Called by the Trainer after each checkpoint."""
        self._saved = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> TrainerControl:
        """Called by the Trainer after each optimiser step."""
        step = state.global_step
        last = step >= self.last_step
        if self.evaluate_every and (last or step % self.evaluate_every == 0):
            control.should_evaluate = True
        if last or control.should_evaluate or step % self.save_every == 0:
            control.should_save = control.should_log = True
        elif self._is_due(step):
            control.should_save = True
        control.should_training_stop = control.should_training_stop or last
        return control

    def _is_due(self, step: int) -> bool:
        """Whether the last checkpoint is too old, by the clock of rank 0: ranks that disagree would wait for ever."""
        if self.save_s is None or (gather.ranks() > 1 and step % STEPS_PER_LOOK):
            return False
        return gather.from_first(time.monotonic() - self._saved >= self.save_s)


class Selection(TrainerCallback):
    """Keeps the weights of the best macro mean and of each set's best value; stops when the mean stops growing."""

    def __init__(
        self,
        folder: Path,
        metrics: dict[str, str],
        patience: int | None,
        threshold: float,
        save: Callable[[Path], object],
        writes: bool,
    ):
        """`metrics` maps what is kept ("macro", a set's name) to its metric in the log; `writes` on one rank only."""
        self.folder, self.metrics, self.save, self.writes = folder, metrics, save, writes
        self.patience, self.threshold = patience, threshold

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> TrainerControl:
        """Called by the Trainer with the new values already at the end of the log history."""
        kept: Path | None = None
        for name, metric in self.metrics.items():
            values = values_of(metric, state.log_history)  # none for PR@k of a set without text answers
            if self.writes and values and values[-1] > max(values[:-1], default=-math.inf):
                score = {"metric": metric, "value": values[-1], "step": state.global_step, "epoch": state.epoch}
                kept = self._keep(name, score, kept)
        if self.finished(state):
            control.should_training_stop = True
        return control

    def finished(self, state: TrainerState) -> bool:
        """Whether early stopping ends the run here."""
        return should_stop(values_of(self.metrics[MACRO], state.log_history), self.patience, self.threshold)

    def _keep(self, name: str, score: dict[str, object], same: Path | None) -> Path:
        """Save the model, or link it to the folder `same` that this evaluation has already filled."""
        final = self.folder / name
        with replacing_folder(final) as partial:
            if same is None:
                self.save(partial)
            else:
                copy_linked(same, partial)
            (partial / SCORE).write_text(json.dumps(score))
        log.info("best %s so far: %s", name, score)
        return final


def copy_linked(source: Path, target: Path) -> None:
    """A copy of a model's folder, without its score, that shares the files: several sets often share a best step."""
    shutil.copytree(source, target, copy_function=_link, ignore=shutil.ignore_patterns(SCORE))


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(source, target)
