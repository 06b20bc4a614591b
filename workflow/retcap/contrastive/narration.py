"""What a person sees of a training run while it goes on: a line of progress now and then, and every evaluation."""

import logging
from collections.abc import Mapping

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from retcap.terminal import messages
from retcap.terminal.progress import meter

log = logging.getLogger(__name__)
SHAPES_RESULTS = False  # see retcap.reruns.digest


class Narration(TrainerCallback):
    """Tells rank 0's terminal (or the log that follows it) how far the run is. Draws no random numbers."""

    def __init__(self, label: str, metric: str, speaks: bool) -> None:
        self.label, self.metric, self.speaks = label, metric, speaks
        self._show = meter(label, "step") if speaks else None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Called by the Trainer before the first step of this session."""
        if state.global_step:
            self._say(f"{self.label}: goes on after step {state.global_step} of {state.max_steps}")

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Called by the Trainer after each optimiser step."""
        if self._show is not None:
            self._show(state.global_step, state.max_steps)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, float] | None = None,
        **_: object,
    ) -> None:
        """Called by the Trainer after each evaluation."""
        ending = f"_{self.metric}"
        values = {
            name.removeprefix("eval_").removesuffix(ending): value
            for name, value in (metrics or {}).items()
            if name.endswith(ending)
        }
        shown = ", ".join(f"{name} {100 * value:.1f}" for name, value in values.items())
        self._say(f"{self.label}: validation {self.metric} in percent after step {state.global_step}: {shown}")

    def _say(self, text: str) -> None:
        if self.speaks:
            log.info("%s", text)
            messages.tell("note", text)
