"""The demo's CLIP: a model of under a million parameters, pre-trained in about a minute on two CPU cores.

It is a real open_clip model (ModifiedResNet image tower, causal text transformer, own byte-level BPE), trained by
CLIP's contrastive loss and written as an open_clip `local-dir` folder: everything above it runs as with real weights.
"""

import copy
import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from jaxtyping import Float, Int
from open_clip.model import CLIP
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedTokenizerFast

from retcap import torch_state
from retcap.clip.tokenizer import EOS_ID, PAD_ID, train_tokenizer

log = logging.getLogger(__name__)

History = dict[str, list[int | float]]  # "step", "loss", "seconds": one entry per EXAMPLE_STEPS steps and the last

WARM_UP_STEPS = 50
WEIGHT_DECAY = 0.1
EXAMPLE_STEPS = 20  # one history entry per so many steps


def model_config(
    *, image_side_px: int = 64, vocab_size: int = 512, context_length: int = 48, width: int = 8, text_layers: int = 2
) -> dict[str, Any]:
    """open_clip `model_cfg` of the tiny model.

    `pool_type` "eos" needs the end token's id; the default takes the highest id, right only for OpenAI's vocabulary.
    `patch_size` must be null for ResNets, and GELU is plain (QuickGELU belongs to OpenAI's weights alone).
    """
    vision = {"image_size": image_side_px, "layers": [1, 1, 1, 1], "width": width, "patch_size": None, "head_width": 32}
    text = {
        "context_length": context_length,
        "vocab_size": vocab_size,
        "hf_tokenizer_name": "in this folder",
        "width": 96,
        "heads": 4,
        "layers": text_layers,
        "pool_type": "eos",
        "eos_id": EOS_ID,
        "pad_id": PAD_ID,
    }
    return {"embed_dim": 64, "vision_cfg": vision, "text_cfg": text, "quick_gelu": False}


def pretrain_tiny_clip(
    folder: str | Path,
    images: np.ndarray,
    captions: Sequence[str] | Sequence[Sequence[str]],
    *,
    steps: int = 500,
    batch_size: int = 128,
    learning_rate: float = 1.5e-3,
    seed: int = 0,
    threads: int = 2,
    progress: Callable[[int, int, float], None] | None = None,
    tokenizer_texts: Sequence[str] = (),
    config: dict[str, Any] | None = None,
) -> History:
    """Train on (image, caption) pairs and write the folder; returns the history {"step", "loss", "seconds"}.

    `images`: uint8 (N, side, side, 3). `captions`: one text or several per image, of which each batch draws one.
    `tokenizer_texts`: further texts (pages, questions) whose words the vocabulary should know. The same seed and thread
    count give the same weights. The learning rate was chosen on the retrieval world, where 500 steps name 28 % of 384
    looks rightly; 8e-4 gave 23 %, 3e-3 13 % and 6e-3 10 % (one seed each).
    """
    lists = [[item] if isinstance(item, str) else list(item) for item in captions]
    _check(images, lists, batch_size)
    config = copy.deepcopy(config or model_config(image_side_px=images.shape[1]))
    every_text = [*(text for texts in lists for text in texts), *tokenizer_texts]
    tokenizer = train_tokenizer(every_text, config["text_cfg"]["vocab_size"])
    config["text_cfg"]["vocab_size"] = len(tokenizer)  # few texts give fewer entries than asked for
    with torch_state.seeded(seed):
        model = CLIP(**config).to(memory_format=torch.channels_last)  # convolutions take 40 % less time on a CPU
    pixels, statistics = _normalised(images)
    texts = _CaptionTable(lists, tokenizer, config["text_cfg"]["context_length"])
    with torch_state.threads(threads):
        history = _train(model, pixels, texts, steps, batch_size, learning_rate, np.random.default_rng(seed), progress)
    _write(Path(folder), model, config, statistics, tokenizer)
    return history


class _CaptionTable:
    """All captions as token ids, drawn one per image."""

    def __init__(self, lists: list[list[str]], tokenizer: PreTrainedTokenizerFast, context_length: int) -> None:
        flat = [text for texts in lists for text in texts]
        batch = tokenizer(flat, padding="longest", truncation=True, max_length=context_length, return_tensors="np")
        self.ids = torch.from_numpy(np.asarray(batch["input_ids"]))
        self.lengths = torch.from_numpy(np.asarray(batch["attention_mask"])).sum(dim=1)
        self.counts = np.array([len(texts) for texts in lists])
        self.starts = np.concatenate([[0], np.cumsum(self.counts)[:-1]])

    def draw(self, rows: np.ndarray, rng: np.random.Generator) -> Int[Tensor, "B T"]:
        """One caption of each row, cut at the longest of the batch."""
        chosen = self.starts[rows] + rng.integers(0, self.counts[rows])
        return self.ids[chosen, : int(self.lengths[chosen].max())]


def contrastive_loss(image: Float[Tensor, "B E"], text: Float[Tensor, "B E"], same: Tensor, scale: Tensor) -> Tensor:
    """CLIP's symmetric cross entropy (Radford et al. 2021, figure 3), pairs with equal captions all counted as right.

    `same`: (B, B), 1 where captions i and j are equal; with captions all different it is the plain loss.
    """
    logits = scale * functional.normalize(image, dim=-1) @ functional.normalize(text, dim=-1).T
    target = same / same.sum(dim=1, keepdim=True)
    return (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2


def _train(
    model: CLIP,
    pixels: Tensor,
    texts: _CaptionTable,
    steps: int,
    batch_size: int,
    learning_rate: float,
    rng: np.random.Generator,
    progress: Callable[[int, int, float], None] | None,
) -> History:
    """AdamW with linear warm-up and cosine decay; batches are drawn without repeats within an epoch."""
    from retcap.clip.open_clip_towers import OpenClipTextTower

    text_tower, started = (
        OpenClipTextTower(model),
        time.perf_counter(),
    )  # runs on the batch's length, not on the context
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    kept = [p for p in model.parameters() if p.ndim < 2]  # norms, biases and the temperature are not decayed
    groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": kept, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98), eps=1e-6, fused=True)
    history: History = {"step": [], "loss": [], "seconds": []}
    model.train()
    for step, rows in enumerate(_batches(len(pixels), batch_size, steps, rng)):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * schedule(step, steps)
        ids = texts.draw(rows, rng)
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        same = (ids[:, None] == ids[None]).all(dim=-1).float()
        loss = contrastive_loss(
            model.visual(pixels[rows]), text_tower(ids, layers=()).pooled, same, model.logit_scale.exp()
        )
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if step % EXAMPLE_STEPS == 0 or step == steps - 1:
            for key, value in (("step", step + 1), ("loss", loss.item()), ("seconds", time.perf_counter() - started)):
                history[key].append(value)
            if progress is not None:
                progress(step + 1, steps, history["loss"][-1])
    log.info(
        "tiny CLIP: %d steps of %d, loss %.3f, %.0f s",
        steps,
        batch_size,
        *(history[k][-1] for k in ("loss", "seconds")),
    )
    return history


def schedule(step: int, steps: int) -> float:
    """Share of the learning rate at a step: linear warm-up, then a cosine to 0.

    >>> round(schedule(24, 500), 6), schedule(500, 500)
    (0.5, 0.0)
    """
    warm_up = min(WARM_UP_STEPS, max(steps // 10, 1))
    if step < warm_up:
        return (step + 1) / warm_up
    return (1 + math.cos(math.pi * (step - warm_up) / max(steps - warm_up, 1))) / 2


def _batches(rows: int, batch_size: int, steps: int, rng: np.random.Generator):
    order = np.empty(0, dtype=np.int64)
    for _ in range(steps):
        if len(order) < batch_size:
            order = rng.permutation(rows)
        yield order[:batch_size]
        order = order[batch_size:]


def _normalised(images: np.ndarray) -> tuple[Float[Tensor, "N 3 side side"], dict[str, list[float]]]:
    """Images in float with mean 0 and deviation 1 per colour, and the statistics used, in 0..1."""
    scaled = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255  # a view: stays channels last in memory
    mean = [round(value, 4) for value in scaled.mean(dim=(0, 2, 3)).tolist()]
    std = [round(max(value, 1e-3), 4) for value in scaled.std(dim=(0, 2, 3)).tolist()]
    shape = (1, 3, 1, 1)
    return (scaled - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape), {"mean": mean, "std": std}


def _write(
    folder: Path, model: CLIP, config: dict[str, Any], statistics: dict[str, list[float]], tokenizer: Any
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    preprocess = {**statistics, "interpolation": "bicubic", "resize_mode": "squash"}
    text = json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}, indent=2)
    (folder / "open_clip_config.json").write_text(text + "\n")
    state = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    (folder / "open_clip_model.safetensors").chmod(0o644)  # safetensors makes it readable for its owner only
    open_clip.create_model(f"local-dir:{folder}", require_pretrained=True)  # reads back what was written


def _check(images: np.ndarray, lists: list[list[str]], batch_size: int) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != images.shape[2] or images.shape[3] != 3:
        raise ValueError(f"images must be uint8 (N, side, side, 3), got {images.dtype} {images.shape}.")
    if len(images) != len(lists):
        raise ValueError(f"{len(images)} images but captions for {len(lists)}.")
    empty = [row for row, texts in enumerate(lists) if not texts]
    if empty:
        raise ValueError(f"{len(empty)} images have no caption, first row {empty[0]}.")
    if len(images) < batch_size:
        raise ValueError(
            f"batch_size {batch_size} is larger than the {len(images)} pairs. Lower it or give more pairs."
        )
