"""A small GPT-2 with a vocabulary of its own, trained on captions without their pictures: the demo's language model.

Captions are packed into blocks as long as a prefix and a caption together, each with its end token, so that the model
has seen text at every position: behind a prefix of 20 a caption begins at the twenty-first.
"""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from retcap import torch_state
from retcap.clip.pretraining import schedule
from retcap.clip.tokenizer import EOS_ID, PAD_ID, train_tokenizer

log = logging.getLogger(__name__)
SIZES: dict[str, Any] = {"n_embd": 64, "n_layer": 2, "n_head": 4}
POSITIONS, VOCABULARY = 48, 640
BATCH, LEARNING_RATE, CLIP_NORM = 16, 4e-3, 1.0


def pretrain(
    folder: Path,
    captions: Sequence[str],
    *,
    steps: int,
    seed: int,
    threads: int = 1,
    progress: Callable[[int, int], Any] | None = None,
) -> dict[str, float]:
    """Write a folder that `GPT2LMHeadModel.from_pretrained` loads; gives the last loss (nats per token) and seconds."""
    from transformers import GPT2Config, GPT2LMHeadModel

    started = time.perf_counter()
    tokenizer = train_tokenizer(captions, VOCABULARY)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=POSITIONS,
        bos_token_id=EOS_ID,
        eos_token_id=EOS_ID,
        pad_token_id=PAD_ID,
        resid_pdrop=0.0,  # dropout takes a third of the time of so small a model, and it never comes to overfit
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        **SIZES,
    )
    with torch_state.seeded(seed):
        model = GPT2LMHeadModel(config)
    rng, loss = np.random.default_rng(seed), torch.tensor(0.0)
    encoded = [[*ids, EOS_ID] for ids in tokenizer(list(captions), add_special_tokens=False)["input_ids"]]
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0, fused=True)
    model.train()
    with torch_state.threads(threads):
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = LEARNING_RATE * schedule(step, steps)
            tokens = torch.from_numpy(blocks(encoded, rng))
            loss = model(input_ids=tokens, labels=tokens).loss
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
            optimiser.step()
            if progress is not None:
                progress(step + 1, steps)
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    about = {"loss": float(loss.detach()), "seconds": time.perf_counter() - started}
    log.info("small GPT-2: %d steps, %s", steps, about)
    return about


def blocks(encoded: Sequence[Sequence[int]], rng: np.random.Generator) -> np.ndarray:
    """A batch of blocks, each of captions drawn at random, one after the other, from the middle of the first on."""
    rows = []
    for _ in range(BATCH):
        row: list[int] = list(encoded[int(rng.integers(len(encoded)))])
        row = row[int(rng.integers(len(row))) :]
        while len(row) < POSITIONS:
            row += encoded[int(rng.integers(len(encoded)))]
        rows.append(row[:POSITIONS])
    return np.array(rows)
