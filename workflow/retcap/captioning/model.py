"""One loaded captioning model: how an (image, query) item becomes tensors, tensors a batch, and a batch captions.

Each item is put through the checkpoint's processor alone and padded here, so that what the model sees of an item never
depends on its neighbours: processors of the BLIP family put image tokens in front of the padding, and InstructBLIP's
pads its Q-Former's text on the wrong side.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from retcap.captioning import policies
from retcap.captioning.padding import TOKEN_FIELDS, Encoded, pad, stack, tiles
from retcap.captioning.prompts import rendered, request
from retcap.captioning.weights import Weights, identify
from retcap.jobs import hub

logger = logging.getLogger(__name__)

IMAGES_REMEMBERED = 4  # items are ordered by image, so a short memory serves all queries of one panorama


@dataclass(frozen=True)
class Caption:
    """What one item's generation gave."""

    text: str
    tokens: int  # new tokens, the end token included
    capped: bool  # the token limit cut it: no end token came


@dataclass
class Captioner:
    """A checkpoint, its processor, and the plugin that knows its prompt and image policies. Made by `load`."""

    plugin: Any  # a module of retcap.captioners
    model: Any  # a transformers model of the card's architecture
    processor: Any
    policy: str
    prompt_set: str
    weights: Weights
    prepare: Callable[[np.ndarray], np.ndarray]
    images_remembered: int = IMAGES_REMEMBERED
    remembered_as: torch.dtype = torch.float32
    _prompts: dict[str, str] = field(default_factory=dict)
    _pixels: dict[str, Encoded] = field(default_factory=dict)
    _texts: dict[tuple, Encoded] = field(default_factory=dict)

    @property
    def tokenizer(self):
        return self.processor.tokenizer

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        return self.model.dtype

    def description(self) -> dict[str, str | None]:
        """What the captions are made with, for records and reports."""
        return {
            "captioner": self.plugin.CARD.name,
            "source": self.weights.source,
            "revision": self.weights.revision,
            "sha256": self.weights.sha256,
            "dtype": str(self.dtype).removeprefix("torch."),
            "device": self.device.type,
            "policy": self.policy,
            "policy_words": policies.words(self.plugin)[self.policy],
            "prompt_set": self.prompt_set,
            # One family has a PIL and a torchvision form, which differ slightly in their pixels.
            "image_processor": type(self.processor.image_processor).__name__,
        }

    @property
    def encoder_decoder(self) -> bool:
        """Whether the language model is an encoder-decoder, whose `generate` does not repeat the prompt."""
        return bool(self.model.config.get_text_config().is_encoder_decoder)

    def prompt(self, query: str) -> str:
        """The full prompt text of one query, chat format included."""
        if query not in self._prompts:
            for token in self.tokenizer.all_special_tokens:
                if token in query:
                    raise ValueError(
                        f"The query {query!r} contains the control token {token!r}. Remove it from the data."
                    )
            self._prompts[query] = rendered(self.plugin, self.processor, request(query, self.prompt_set))
        return self._prompts[query]

    def encode(self, query: str, image: np.ndarray, image_key: str) -> Encoded:
        """Tensors of one item, batch dimension 1, on the CPU, unpadded.

        Pixels are remembered per image. Token ids depend on the prompt and, through the number of image tokens, on the
        image's size alone, so they are remembered per (size, prompt).
        """
        prompt = self.prompt(query)
        text_key = (image.shape, prompt)
        if image_key not in self._pixels or text_key not in self._texts:
            self._process(prompt, image, image_key, text_key)
        return {**self._texts[text_key], **self._pixels[image_key]}

    def _process(self, prompt: str, image: np.ndarray, image_key: str, text_key: tuple) -> None:
        # A template that writes the begin token itself would otherwise get a second one from the tokenizer.
        begin = self.tokenizer.bos_token
        options = {"add_special_tokens": False} if begin and prompt.startswith(begin) else {}
        made = self.processor(text=[prompt], images=[self.prepare(np.array(image))], return_tensors="pt", **options)
        self._texts[text_key] = {name: made[name] for name in made if name in TOKEN_FIELDS}
        self._pixels.pop(image_key, None)
        images = {name: made[name] for name in made if name not in TOKEN_FIELDS}
        self._pixels[image_key] = {
            name: tensor.to(self.remembered_as) if tensor.is_floating_point() else tensor
            for name, tensor in images.items()
        }
        while len(self._pixels) > self.images_remembered:
            self._pixels.pop(next(iter(self._pixels)))

    def collate(self, items: list[Encoded], side: str | None = None) -> Encoded:
        """One batch on the model's device: token columns padded on `side` (the card's unless given), images stacked."""
        side = str(side or self.plugin.CARD.padding_side)
        batch, cut = {}, tiles(items)
        for name in items[0]:
            parts = [item[name] for item in items]
            if name in TOKEN_FIELDS:
                # The Q-Former counts positions from the left end, so its text is padded right whatever the model wants.
                batch[name] = pad(parts, self._filler(name), "right" if name.startswith("qformer_") else side)
            else:
                batch[name] = stack(parts, cut)
            if batch[name].is_floating_point():
                batch[name] = batch[name].to(self.dtype)
        return {name: tensor.to(self.device) for name, tensor in batch.items()}

    def _filler(self, name: str) -> int:
        filler = TOKEN_FIELDS[name]
        if filler is not None:
            return filler
        tokenizer = self.processor.qformer_tokenizer if name.startswith("qformer_") else self.tokenizer
        return tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id

    @torch.inference_mode()
    def generate(self, items: list[Encoded], max_new_tokens: int) -> list[Caption]:
        """Greedy captions of one batch, in the order given."""
        batch = self.collate(items)
        new = self.new_tokens(self.model.generate(**batch, **self.greedy(max_new_tokens)), batch)
        return [self._caption(row, max_new_tokens) for row in new.tolist()]

    def greedy(self, max_new_tokens: int) -> dict:
        """Options of plain greedy search. The checkpoint's end tokens stay in force: there may be several.

        Penalty 1 on purpose: some checkpoints ship another, which would also punish the tokens of the padding and so
        make a caption depend on its batch.
        """
        return {
            "max_new_tokens": max_new_tokens,
            "do_sample": False,
            "num_beams": 1,
            "repetition_penalty": 1.0,
            "pad_token_id": self._filler("input_ids"),
        }

    def new_tokens(self, output: Tensor, batch: Encoded) -> Tensor:
        """Drop the prompt from what `generate` returned: its padded width, never the count of its real tokens.

        An encoder-decoder returns its start token and new tokens alone.
        """
        if self.encoder_decoder:
            return output[:, 1:]
        return output[:, batch["input_ids"].shape[1] :]

    def _caption(self, row: list[int], max_new_tokens: int) -> Caption:
        ends = self.end_tokens()
        count = next((place + 1 for place, token in enumerate(row) if token in ends), len(row))
        capped = count >= max_new_tokens and row[count - 1] not in ends
        text = self.tokenizer.decode(row[:count], skip_special_tokens=True)
        return Caption(text=text.strip(), tokens=count, capped=capped)

    def end_tokens(self) -> set[int]:
        """Token ids at which generation stops, as the checkpoint says."""
        ends = self.model.generation_config.eos_token_id
        return set(ends) if isinstance(ends, list) else set() if ends is None else {ends}


def load(
    plugin: Any,
    source: str | Path | None = None,
    *,
    policy: str = "native",
    prompt_set: str = "instruct",
    device: str = "cpu",
    dtype: str | None = None,
    revision: str | None = None,
    weights: Weights | None = None,
    allow_remote_code: bool = False,
) -> Captioner:
    """A captioner from a folder or a hub id (the card's, at the card's revision, when `source` is None).

    Weights come from safetensors alone. Code from the hub runs only if both the card and `allow_remote_code` say so.
    dtype: the card's on a GPU and float32 on a CPU unless given. `weights`: what `identify` gave for source and
    revision, where it was asked already, since it reads a folder's weights.
    """
    from transformers import AutoModelForImageTextToText, AutoProcessor

    card = plugin.CARD
    meant = weights or identify(source, revision, card)
    place, local = meant.source, meant.sha256 is not None
    remote_code = card.trust_remote_code and allow_remote_code
    common: dict[str, Any] = {"local_files_only": local or hub.offline(place), "trust_remote_code": remote_code}
    if not local:
        common["revision"] = meant.revision
    precision = dtype or ("float32" if torch.device(device).type == "cpu" else card.dtype)
    key = f"captioning.options.{card.name}.checkpoint"
    with hub.checkpoint(place, common.get("revision"), key):
        processor = AutoProcessor.from_pretrained(place, **common)
    if torch.device(device).type != "cpu":
        common["device_map"] = {"": device}  # straight to the GPU, never whole in the machine's memory
    with hub.checkpoint(place, common.get("revision"), key):
        model = AutoModelForImageTextToText.from_pretrained(
            place, dtype=getattr(torch, precision), use_safetensors=True, **common
        )
    came = meant if local else replace(meant, revision=getattr(model.config, "_commit_hash", None) or meant.revision)
    logger.info("loaded %s from %s: %s, %s, %s, %s", card.name, came, device, precision, policy, prompt_set)
    return Captioner(
        plugin=plugin,
        model=model.eval(),
        processor=processor,
        policy=policy,
        prompt_set=prompt_set,
        weights=came,
        prepare=policies.prepared(plugin, processor, policy),
    )
