"""TinyCLIP-61M/32 ReT-2 with random weights, and generated rows and pictures for it; both small in the dry mode."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from gpu.cases import Context
from retcap import plugins
from retcap.clip.tokenizer import train_tokenizer
from retcap.clip.tower import Backbone, ImageInput
from retcap.contrastive import loss
from retcap.contrastive.trainer import PairModel
from retcap.features import tokens
from retcap.features.collator import Collator
from retcap.pictures import images, pixels
from retcap.retriever.config import ReTConfig
from retcap.retriever.data import Source, TrainingRows, prepare
from retcap.retriever.model import RetrieverModel

# Towers by name: (text width, layers, heads), (vision width, layers, heads), side and patch in px, joint size.
TOWERS = {
    # wkcn/TinyCLIP, src/open_clip/model_configs/TinyCLIP-ViT-61M-32-Text-29M.json
    "TinyCLIP-61M/32": ((512, 9, 8), (640, 12, 10), 224, 32, 512),
    # openai/clip-vit-base-patch32 and -large-patch14
    "CLIP ViT-B/32": ((512, 12, 8), (768, 12, 12), 224, 32, 512),
    "CLIP ViT-L/14": ((768, 12, 12), (1024, 24, 16), 224, 14, 768),
    "toy": ((16, 3, 2), (24, 4, 3), 32, 8, 10),
}
VOCABULARY, CONTEXT = 49_408, 77
WORDS = np.array([a + b + c for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "r", "st", "l")])
CELL = {"dropout_p": 0.05, "attention_dropout": 0.05}
TOY_CELL = {"hidden_size": 16, "num_queries": 3, "num_heads": 2}
SEED = 7


def clip_config(name: str, vocabulary: int = VOCABULARY, hidden_act: str = "gelu") -> dict[str, Any]:
    """Configuration of transformers' CLIPModel."""
    text, vision, side, patch, joint = TOWERS[name]
    towers = {
        kind: {
            "hidden_size": width,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "intermediate_size": 4 * width,
            "hidden_act": hidden_act,
        }
        for kind, (width, layers, heads) in (("text_config", text), ("vision_config", vision))
    }
    towers["text_config"] |= {"vocab_size": vocabulary, "max_position_embeddings": CONTEXT}
    towers["text_config"] |= {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    towers["vision_config"] |= {"image_size": side, "patch_size": patch}
    return {"model_type": "clip", "projection_dim": joint, **towers}


def sentence(rng: np.random.Generator, words: int) -> str:
    """So many made-up words."""
    return " ".join(rng.choice(WORDS, words))


def backbone(context: Context, name: str) -> Backbone:
    """Towers with random weights on the CPU; small ones in the dry mode, whatever their name."""
    folder = context.scratch / "tokenizer"
    if not folder.exists():
        train_tokenizer([" ".join(WORDS)], vocab_size=512).save_pretrained(folder)
    config = clip_config(context.size(name, "toy"), context.size(VOCABULARY, 512))
    image = ImageInput(config["vision_config"]["image_size"])
    spec = {"side_px": image.side_px, "mean": image.mean, "std": image.std, "interpolation": image.interpolation}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return plugins.load("backbones", "clip_hf").build({"config": config, "image": spec}, folder)


def retriever(context: Context, **settings: Any) -> RetrieverModel:
    """The retriever of 143.5M parameters on the CPU; `settings` of its cell override."""
    config = ReTConfig(**{**CELL, **context.size({}, TOY_CELL), **settings})
    return RetrieverModel.build(config, backbone(context, "TinyCLIP-61M/32"), seed=SEED)


def parameters() -> int:
    """Parameters of the retriever at true size, counted on the meta device."""
    from transformers import CLIPConfig, CLIPModel

    from retcap.clip.hf_towers import HfTokenizer, towers

    with torch.device("meta"):
        text, vision = towers(CLIPModel(CLIPConfig.from_dict(clip_config("TinyCLIP-61M/32"))))
        tokenizer: Any = HfTokenizer.__new__(HfTokenizer)
        parts = {"text": text, "vision": vision, "tokenizer": tokenizer, "image": ImageInput(224)}
        made = RetrieverModel(ReTConfig(**CELL), Backbone(plugin="clip_hf", spec={}, logit_scale=0.0, **parts))
    return made.parameter_counts()["total"]


def initial(context: Context, **settings: Any) -> Path:
    """The same, saved once as the folder that a training starts from."""
    folder = context.scratch / f"initial{'-'.join(f'{key}={value}' for key, value in sorted(settings.items()))}"
    return folder if folder.exists() else retriever(context, **settings).save_pretrained(folder)


def world(context: Context, pairs: int, pictures: int) -> Source:
    """Queries and passages with generated texts and pictures in a pack; made once per size.

    A passage text fills the context, as M2KR's do; a query has some 15 words, the passage's first three among them, and
    its picture, so that there is something to learn. One query in eight has no picture, one
    passage in four neither.
    """
    folder = context.scratch / f"world-{pairs}-{pictures}"
    files = Source("world", *(str(folder / name) for name in ("queries.parquet", "passages.parquet", "pack")))
    if folder.exists():
        return files
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(SEED)
    side = TOWERS[context.size("TinyCLIP-61M/32", "toy")][2]
    named = [(f"{number}.png", folder / f"images/{number}.png") for number in range(pictures)]
    for _, file in named:
        file.write_bytes(_picture(rng, side))
    images.build(folder / "pack", named, pixels.Resize("cover", side, side), workers=context.size(16, 1))
    passages = [
        {
            "passage_id": f"p{row}",
            "text": sentence(rng, 45),
            "image": None if row % 4 == 3 else named[row % pictures][0],
        }
        for row in range(pairs)
    ]
    queries = [
        {
            "query_id": f"q{row}",
            "instruction": "Using the provided image, obtain documents: ",
            "question": f"{sentence(rng, int(rng.integers(2, 12)))} {' '.join(passages[row]['text'].split()[:3])}",
            "image": None if row % 8 == 7 else named[row % pictures][0],
            "positives": [f"p{row}"],
        }
        for row in range(pairs)
    ]
    for name, rows in (("passages", passages), ("queries", queries)):
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet", row_group_size=4096)
    return files


def _picture(rng: np.random.Generator, side: int) -> bytes:
    """A PNG of 8 x 8 patches of random colour."""
    patches = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(patches).resize((side, side), Image.Resampling.NEAREST).save(buffer, "png")
    return buffer.getvalue()


def rows_of(context: Context, source: Source, tokenizer: Any) -> TrainingRows:
    """The training rows of a world, as a training job reads them."""
    sets, _ = prepare([source], context.scratch / f"rows-{Path(source.queries).parent.name}", tokenizer)
    return TrainingRows(sets, SEED)


def batches(rows: TrainingRows, tokenizer: Any, size: int, count: int, device: torch.device) -> list[dict[str, Any]]:
    """Ready batches on the device, as the trainer's loader collates them."""
    collate = Collator(tokens.padding_id(tokenizer))
    made = []
    for number in range(count):
        keys = [(0, (number * size + place) % len(rows), 0) for place in range(size)]
        made.append(moved(collate([rows[key] for key in keys]), device))
    return made


def moved(batch: Any, device: torch.device) -> Any:
    """A batch, however nested, on the device."""
    if isinstance(batch, dict):
        return {name: moved(part, device) for name, part in batch.items()}
    return batch.to(device) if isinstance(batch, Tensor) else batch


def loss_of(pair: torch.nn.Module, batch: dict[str, Any]) -> Tensor:
    """The loss that the trainer computes for a batch."""
    return forward(pair, batch)[0]


def forward(pair: torch.nn.Module, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """(loss, vectors of queries and then of passages) of a batch."""
    query, passage, factor = pair(query=batch["query"], passage=batch["passage"])
    value = loss.contrastive_loss(query, passage, factor, batch["codes"], None, symmetric=True, across_ranks=False)
    return value, torch.cat([query, passage])


def pair_model(model: RetrieverModel, device: torch.device) -> PairModel:
    """The model in the form that the trainer trains."""
    return PairModel(model.to(device).train())
