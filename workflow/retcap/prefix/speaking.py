"""Captions of pictures by trained cells, and the job that captions the test pictures with several runs."""

import copy
import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from retcap.captions import files
from retcap.features.frozen import Features
from retcap.prefix import captioner, decoding
from retcap.prefix.captioner import Loaded
from retcap.prefix.items import TEST, item_id

log = logging.getLogger(__name__)


def caption(
    loaded: Loaded,
    kind: str,
    vectors: np.ndarray,
    numbers: Sequence[int],
    settings: decoding.Settings,
    batch_size: int,
) -> list[tuple[str, int]]:
    """Text and number of tokens of every picture. `vectors`: unit vectors; `numbers`: of the pictures, for sampling."""
    device = next(loaded.model.parameters()).device
    found: list[tuple[str, int]] = []
    length = np.float32(loaded.about["vector_length"])
    for start in range(0, len(vectors), batch_size):
        part = torch.from_numpy(np.asarray(vectors[start : start + batch_size], np.float32) * length).to(device)
        with torch.inference_mode():
            prefix = loaded.model.clip_project(part)
        tokens = decoding.decode(
            kind,
            loaded.model.language_model(),
            prefix,
            numbers[start : start + batch_size],
            loaded.tokenizer.eos_token_id,
            settings,
        )
        texts = loaded.tokenizer.batch_decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        found += [(text.strip(), len(ids)) for text, ids in zip(texts, tokens, strict=True)]
    return found


def caption_runs(
    out: Path,
    runs: Mapping[str, Mapping[str, Any]],
    models: Sequence[str | Path],
    features: Features,
    *,
    batch_size: int,
    device: str,
) -> None:
    """Caption the test pictures with every run and write a table for each."""
    places = features.rows(TEST)
    ids = [item_id(features.items["name"][row]) for row in places]
    numbers = [int(one, 16) for one in ids]  # of the picture itself, whatever else is captioned
    folders = {path.name: path for folder in models for path in Path(folder).iterdir()}
    base: dict[str, Any] = {}
    out.mkdir()
    for name, row in runs.items():
        folder = folders[row["cell"]]
        source = json.loads((folder / captioner.CONFIG).read_text(encoding="utf-8"))
        key = f"{source['language_model']} {source['language_model_revision']}"
        if key not in base:
            base[key] = captioner.language_model(source["language_model"], source["language_model_revision"])
        loaded = captioner.load(folder, (copy.deepcopy(base[key][0]), base[key][1]), device)
        started = time.perf_counter()
        settings = decoding.Settings(**row["decoding_settings"])
        said = caption(loaded, row["decoding"], features.images[places], numbers, settings, batch_size)
        seconds = (time.perf_counter() - started) / max(len(said), 1)
        table = [
            _record(one, text, tokens, seconds, features.items["sha256"][place])
            for one, (text, tokens), place in zip(ids, said, places, strict=True)
        ]
        files.write_captions(out / f"{name}.parquet", files.frame(table))
        log.info("%s: %d captions, %.1f ms each", name, len(said), 1000 * seconds)


def _record(one: str, text: str, tokens: int, seconds: float, image_key: str) -> dict[str, Any]:
    return {
        "item_id": one,
        "raw": text,
        "status": "ok" if text else "empty",
        "reason": None,
        "seconds": seconds,
        "tokens": tokens,
        "held_out": None,
        "prompt": None,
        "image_key": image_key,
    }
