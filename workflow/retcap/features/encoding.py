"""Runs a retriever over many rows fast: sorted by length, each image encoded once, inputs prepared ahead.

Letters: B rows of a batch, U distinct images of a batch, H size of a vector.
"""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from retcap.clip.tower import TowerOutput
from retcap.features import tokens
from retcap.features.collator import image_of, pad, stack_images
from retcap.parallel import in_order
from retcap.pictures.images import ImagePack

log = logging.getLogger(__name__)
Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Encoded(NamedTuple):
    """Places in the table, their unit vectors (B, H) in fp32 on the CPU, and how many images went through the tower."""

    rows: np.ndarray
    vectors: np.ndarray
    images: int


def plan(table: tokens.TokenTable, rows: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Batches of rows, longest first, so a batch that is too large for the memory shows at once.

    Rows with one image stand together, placed by the longest of their texts: little padding, and the image is encoded
    once. A batch ends before an image whose rows it cannot take up; only an image of more rows than a batch is encoded
    several times.
    """
    if not len(rows):
        return []
    lengths = table.lengths()[rows]
    keys, image = np.unique(np.asarray(table.keys[rows]), return_inverse=True)
    longest = np.zeros(len(keys), lengths.dtype)
    np.maximum.at(longest, image, lengths)
    place = np.where(keys[image] == tokens.NO_KEY, lengths, longest[image])
    order = np.lexsort((lengths, image, place))[::-1]
    alone = keys[image[order]] == tokens.NO_KEY
    ends = np.flatnonzero(np.append(alone[:-1] | alone[1:] | (np.diff(image[order]) != 0), True)) + 1
    cuts = [0]
    while cuts[-1] < len(order):
        most = cuts[-1] + batch_size
        end = int(ends[np.searchsorted(ends, most, side="right") - 1]) if most >= ends[0] else 0
        cuts.append(end if end > cuts[-1] else most)
    return np.split(rows[order], cuts[1:-1])


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager:
    """Mixed precision for the forward pass; nothing for fp32."""
    return torch.autocast(device.type, DTYPES[precision]) if precision != "fp32" else nullcontext()


class Encoder:
    """A retriever with all it needs to encode rows of a token table."""

    def __init__(
        self,
        model: Any,
        side: tokens.Side,
        pack: ImagePack | None,
        *,
        batch_size: int,
        precision: Precision = "fp32",
        threads: int = 2,
    ):
        self.model, self.side, self.pack = model, side, pack
        self.batch_size, self.threads = batch_size, threads
        self.precision: Precision = precision
        self.device = next(model.parameters()).device
        self.padding_id = tokens.padding_id(model.tokenizer)

    def run(self, table: tokens.TokenTable, rows: np.ndarray | None = None) -> Iterator[Encoded]:
        """Encode rows of the table (all by default), in the order of `plan`. Draws no random numbers."""
        rows = np.arange(len(table)) if rows is None else rows
        was_training = self.model.training
        self.model.eval()
        try:
            with ThreadPoolExecutor(self.threads) as pool:
                batches = plan(table, rows, self.batch_size)
                ahead = in_order(pool, partial(self._inputs, table), batches, window=self.threads)
                for batch, inputs in zip(batches, ahead, strict=True):  # made by threads while the model is at work
                    yield from self._encode(table, batch, inputs)
        finally:
            self.model.train(was_training)

    def all(self, table: tokens.TokenTable, rows: np.ndarray | None = None) -> np.ndarray:
        """Vectors of the rows in the order of `rows`, as one fp32 array."""
        rows = np.arange(len(table)) if rows is None else rows
        place = np.empty(len(table), np.int64)
        place[rows] = np.arange(len(rows))
        vectors: np.ndarray | None = None
        for encoded in self.run(table, rows):
            if vectors is None:
                vectors = np.empty((len(rows), encoded.vectors.shape[1]), np.float32)
            vectors[place[encoded.rows]] = encoded.vectors
        if vectors is None:
            raise ValueError("There is no row to encode.")
        return vectors

    def _inputs(self, table: tokens.TokenTable, batch: np.ndarray) -> dict[str, Any]:
        ids, has_text, keys = zip(*(table[row] for row in batch), strict=True)
        input_ids, attention_mask = pad(ids, self.padding_id)
        distinct = list(dict.fromkeys(key for key in keys if key)) if self.pack is not None else []
        inputs: dict[str, Any] = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "text_mask": torch.tensor(has_text),
            "image_mask": torch.tensor([bool(distinct) and key is not None for key in keys]),
            "pixels": stack_images([image_of(self.pack, key) for key in distinct])[0] if distinct else None,
        }
        number = {key: at for at, key in enumerate(distinct)}
        inputs["image_index"] = torch.tensor([number.get(key, 0) for key in keys])
        return inputs

    def _encode(self, table: tokens.TokenTable, batch: np.ndarray, inputs: dict[str, Any]) -> Iterator[Encoded]:
        """The batch in one piece, or in halves of halves where the GPU's memory does not suffice."""
        if len(batch) > self.batch_size:  # it was planned before memory ran out
            for part in np.split(batch, range(self.batch_size, len(batch), self.batch_size)):
                yield from self._encode(table, part, self._inputs(table, part))
            return
        try:
            vectors = self._forward(inputs)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
            self.batch_size = (len(batch) + 1) // 2
            log.warning("out of memory with %d rows per batch: going on with %d", len(batch), self.batch_size)
            vectors = (
                None  # the halves are encoded outside of the handler, which would keep the failed pass's memory alive
            )
        if vectors is None:
            torch.cuda.empty_cache()
            yield from self._encode(table, batch, inputs)
        else:
            yield Encoded(batch, vectors, 0 if inputs["pixels"] is None else len(inputs["pixels"]))

    @torch.inference_mode()
    def _forward(self, inputs: dict[str, Any]) -> np.ndarray:
        moved = {name: value if value is None else value.to(self.device) for name, value in inputs.items()}
        vectors = self._model(moved).float()
        return torch.nn.functional.normalize(vectors, dim=-1).cpu().numpy()

    def _model(self, inputs: dict[str, Any]) -> Tensor:
        pixels, index, image_mask = inputs["pixels"], inputs["image_index"], inputs["image_mask"]
        with autocast(self.device, self.precision), self._each_image_once(pixels, index[image_mask]):
            # One stride-0 view stands for all rows: the tower gets the distinct images instead.
            pixel_values = (
                None
                if pixels is None
                else pixels.new_zeros((), dtype=torch.float32).expand(len(index), 3, *pixels.shape[1:3])
            )
            return self.model(
                side=self.side,
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                pixel_values=pixel_values,
                text_mask=inputs["text_mask"],
                image_mask=image_mask,
            )

    @contextmanager
    def _each_image_once(self, pixels: Tensor | None, index: Tensor) -> Iterator[None]:
        """Let the vision tower see the distinct images only, and give each row with an image its image's output."""
        if pixels is None:
            yield
            return
        tower = self.model.tower(self.side, "vision")
        before = tower.register_forward_pre_hook(lambda *_: (self.model.image.normalise(pixels),))
        after = tower.register_forward_hook(lambda _tower, _inputs, output: _rows(output, index))
        try:
            yield
        finally:
            before.remove()
            after.remove()


def _rows(output: TowerOutput, index: Tensor) -> TowerOutput:
    return TowerOutput(
        tuple(states[index] for states in output.hidden), None if output.pooled is None else output.pooled[index]
    )
