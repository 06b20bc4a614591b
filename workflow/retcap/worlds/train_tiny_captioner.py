"""Trains a tiny checkpoint for seconds on (panorama, query, caption) rows: real learning for the demo, not a mock.

Recipe, found by trial on one CPU core: weights of unit gain (tiny.redraw), AdamW at 2e-3, weight decay 0.01, 20 warm-up
steps, cosine to 5 %, gradients clipped at 1.0, the prompt masked out of the loss. One thread: two on a busy two-core
machine are many times slower than one.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from retcap import torch_state
from retcap.captioning.model import Captioner, load
from retcap.captioning.padding import TOKEN_FIELDS, Encoded, pad
from retcap.worlds import tiny_captioner as tiny
from retcap.worlds.folding import folded_patches

logger = logging.getLogger(__name__)

WARM_UP_STEPS = 20
LAST_RATE = 0.05  # of the highest learning rate
WEIGHT_DECAY = 0.01
CLIP_NORM = 1.0
BETAS = (0.9, 0.95)  # a shorter memory than the default 0.999, which is longer than the whole run
IGNORED = -100  # the label that the library's cross entropy leaves out

Row = tuple[str, str, str]  # image key, query, caption


def train_tiny(
    plugin: ModuleType,
    folder: str | Path,
    rows: Sequence[Row],
    pack: Mapping[str, np.ndarray],
    *,
    out: str | Path | None = None,
    steps: int,
    batch_size: int = 32,
    learning_rate: float = 2e-3,
    seed: int = 0,
    threads: int = 1,
    policy: str = "squash",
    prompt_set: str = "instruct",
    end_of_answer: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict:
    """Train the checkpoint in `folder` on `rows` and write it to `out` (to `folder` itself when None).

    Gives {"history": [[step, mean loss since the last entry], ...], "seconds": wall seconds in all}. The same rows,
    seed and thread count give the same weights on the same machine. The processor is written as it was found: `policy`
    belongs to this run, and another run may load the checkpoint under another one. `end_of_answer` is the token that
    ends every caption, the tokenizer's end token when None.
    """
    if not rows:
        raise ValueError("No training rows. train_tiny needs (image key, query, caption) tuples.")
    start = time.perf_counter()
    with torch_state.threads(threads):
        captioner = load(plugin, folder, policy=policy, prompt_set=prompt_set)
        captioner.images_remembered = len({key for key, _, _ in rows})  # every panorama is preprocessed once
        captioner.remembered_as = torch.float16  # half the memory of thousands of panoramas
        examples = _examples(captioner, rows, pack, end_of_answer)
        logger.info("%s: %d rows encoded in %.1f s", plugin.CARD.name, len(rows), time.perf_counter() - start)
        order = batches(len(rows), batch_size, steps, np.random.default_rng(seed))
        with folded_patches(captioner.model):
            history = _optimise(captioner, examples, order, steps, learning_rate, progress)
        tiny.replace_model(folder, out or folder, captioner.model)
    return {"history": history, "seconds": time.perf_counter() - start}


def _examples(
    captioner: Captioner, rows: Sequence[Row], pack: Mapping, end: str | None = None
) -> list[tuple[Encoded, Tensor]]:
    """Per row the encoded prompt and the ids of the answer, end token included."""
    last: str = end or captioner.tokenizer.eos_token
    answers = {}
    examples = []
    for key, query, caption in rows:
        if caption not in answers:
            ids = captioner.tokenizer(" " + caption + last, add_special_tokens=False)["input_ids"]
            answers[caption] = torch.tensor([ids])
        examples.append((captioner.encode(query, pack[key], key), answers[caption]))
    return examples


def batches(count: int, batch_size: int, steps: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Row numbers per step: epochs of shuffled rows, cut into full batches.

    Not sorted by length, although that would save padding: short and long captions answer different queries, and in
    batches of one kind the model does not learn to tell the queries apart (colour .47 instead of 1.0).
    """
    waiting = np.empty(0, np.int64)
    for _ in range(steps):
        while len(waiting) < batch_size:
            waiting = np.concatenate([waiting, rng.permutation(count)])
        batch, waiting = waiting[:batch_size], waiting[batch_size:]
        yield batch


def _optimise(captioner, examples, order, steps, learning_rate, progress) -> list[list[float]]:
    network = captioner.model.train()
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=learning_rate, betas=BETAS, weight_decay=WEIGHT_DECAY, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, steps))
    every = max(1, steps // 20)
    history, recent = [], []
    for step, chosen in enumerate(order, start=1):
        loss = network(**training_batch(captioner, [examples[row] for row in chosen])).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP_NORM)
        optimizer.step()
        schedule.step()
        recent.append(loss.detach())
        if step % every == 0 or step == steps:
            history.append([step, float(torch.stack(recent).mean())])
            recent = []
            logger.info("%s: step %d of %d, loss %.3f", captioner.plugin.CARD.name, step, steps, history[-1][1])
        if progress is not None:
            progress(step, steps)
    network.eval()
    return history


def rate(step: int, steps: int) -> float:
    """Share of the highest learning rate at a step: linear warm-up, then a cosine down to LAST_RATE."""
    if step < WARM_UP_STEPS:
        return (step + 1) / WARM_UP_STEPS
    done = (step - WARM_UP_STEPS) / max(1, steps - WARM_UP_STEPS)
    return LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * done)) / 2


def training_batch(captioner: Captioner, examples: list[tuple[Encoded, Tensor]]) -> Encoded:
    """One batch with labels; the loss sees the answers alone.

    Decoder-only models read prompt and answer as one row, padded right so that positions start at 0 as they do in
    generation. An encoder-decoder reads the prompt and gets the answer as labels.
    """
    prompts = [prompt for prompt, _ in examples]
    answers = [answer for _, answer in examples]
    if captioner.encoder_decoder:
        return {**captioner.collate(prompts), "labels": pad(answers, IGNORED, "right")}
    joined, labels = [], []
    for prompt, answer in examples:
        row = dict(prompt)
        for name in prompt:
            if name == "input_ids":
                row[name] = torch.cat([prompt[name], answer], dim=1)
            elif name in TOKEN_FIELDS and not name.startswith("qformer_"):
                # A mask goes on with ones, token types with zeros: an answer is attended to, and is text.
                value = int(name == "attention_mask")
                row[name] = torch.nn.functional.pad(prompt[name], (0, answer.shape[1]), value=value)
        joined.append(row)
        labels.append(torch.nn.functional.pad(answer, (prompt["input_ids"].shape[1], 0), value=IGNORED))
    return {**captioner.collate(joined, side="right"), "labels": pad(labels, IGNORED, "right")}
