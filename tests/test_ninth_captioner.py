"""A ninth captioner is one file: SmolVLM's architecture, which none of the eight has, captions with no other change.

SmolVLM (Marafioti et al. 2025; `Idefics3ForConditionalGeneration`) cuts a picture into as many tiles as its shape asks
for, and says by a mask which pixels are real: pictures of unequal shape make a batch of unequal tiles.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest

import tiny_captioners
from retcap import plugins
from retcap.captioning import generate, model
from retcap.config import resolve
from retcap.worlds import tiny_captioner as tiny

pytest_plugins = ["tiny_captioners"]
NAME = "smolvlm-256m"
FILE = '''"""SmolVLM 256M: SigLIP on tiles of 512 px, pixel shuffle, SmolLM2 (arXiv 2504.05299)."""

from retcap.records import CaptionerCard

CARD = CaptionerCard(
    name="smolvlm-256m",
    title="SmolVLM 256M",
    model_id="HuggingFaceTB/SmolVLM-256M-Instruct",
    revision=None,
    architecture="Idefics3ForConditionalGeneration",
    params_b=0.26,
    licence="Apache-2.0",
    image_policy="tiles of 512 px beside the whole panorama, squashed",
    padding_side="left",
    dtype="bfloat16",
    mem_mb=8_000,
    gpu_mem_gb=4,
    runtime_min=60,
)
'''
TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}:"
    "{% for part in message['content'] %}{{ '<image>' if part['type'] == 'image' else ' ' + part['text'] }}"
    "{% endfor %}<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)
TILE, PATCH, SHUFFLE = 56, 14, 2  # px, px, patches of a side that become one token
TOKENS = 8


def build(folder: Path, corpus: list[str], seed: int) -> None:
    """Random weights of SmolVLM's architecture: width 64, tiles of 4 image tokens."""
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3Processor
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    places = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    special = ["<|im_start|>", "<end_of_utterance>", "<fake_token_around_image>", "<image>", "<global-img>", *places]
    tokenizer = tiny.train_tokenizer(
        corpus, special, frame="User:\nAssistant:", eos_token="<end_of_utterance>", pad_token="<|im_start|>"
    )
    processor = Idefics3Processor(
        Idefics3ImageProcessorPil(size={"longest_edge": 3 * TILE}, max_image_size={"longest_edge": TILE}),
        tokenizer,
        image_seq_len=(TILE // PATCH // SHUFFLE) ** 2,
        chat_template=TEMPLATE,
    )
    width = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    config = Idefics3Config(
        vision_config={**width, "image_size": TILE, "patch_size": PATCH},
        text_config={"model_type": "llama", **width, "vocab_size": len(tokenizer), "num_key_value_heads": 2, **ends},
        image_token_id=processor.image_token_id,
        scale_factor=SHUFFLE,
        pad_token_id=tokenizer.pad_token_id,
    )
    made = tiny.build_model(Idefics3ForConditionalGeneration, config, seed)
    made.generation_config.eos_token_id = tokenizer.eos_token_id
    made.generation_config.pad_token_id = tokenizer.pad_token_id
    tiny.save(folder, made, processor)


@pytest.fixture(scope="module")
def checkpoint(one_thread, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(NAME)
    build(folder, sorted({text for row in tiny_captioners.blocks()[1] for text in row[1:]}), seed=3)
    return folder


@pytest.fixture
def ninth(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> model.Captioner:
    """The package with one file more, and the captioner that came with it."""
    for kind in plugins.KINDS:
        shutil.copytree(plugins.PACKAGE / kind, tmp_path / kind)
    (tmp_path / f"captioners/{NAME}.py").write_text(FILE)
    monkeypatch.setattr(plugins, "PACKAGE", tmp_path)
    return model.load(plugins.load("captioners", NAME), checkpoint)


@pytest.fixture
def world() -> tuple[list[tuple[str, str, str]], dict[str, np.ndarray]]:
    """Items about panoramas of three shapes, and a tile's worth of none."""
    draw, shapes = np.random.default_rng(4), [(64, 128), (96, 96), (150, 60), (40, 160)]
    pack = {str(shape): draw.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes}
    items = [(f"{key}|{query}", query, key) for key in pack for query in ("left", "the right side", "what is there")]
    return items, pack


def test_the_configuration_takes_it_by_its_name(ninth: model.Captioner, checkpoint: Path):
    chosen = resolve({"studies": ["captioning"], "captioning": {"models": [NAME], "checkpoint": str(checkpoint)}})
    assert chosen["captioning"]["models"] == [NAME]
    assert type(ninth.model).__name__ == ninth.plugin.CARD.architecture


def test_pictures_of_unequal_shape_make_one_batch(ninth: model.Captioner, world):
    items, pack = world
    encoded = [ninth.encode(query, pack[key], key) for _, query, key in items]
    tiles = [one["pixel_values"].shape[1] for one in encoded]
    assert len(set(tiles)) > 1
    batch = ninth.collate(encoded)
    assert batch["pixel_attention_mask"].shape[:2] == batch["pixel_values"].shape[:2] == (len(items), max(tiles))
    for row, count in enumerate(tiles):
        assert not batch["pixel_values"][row, count:].any()
        assert not batch["pixel_attention_mask"][row, count:].any()
        assert batch["pixel_attention_mask"][row, :count].any(dim=-1).any(dim=-1).all()


def test_its_captions_do_not_depend_on_the_batch(ninth: model.Captioner, world, monkeypatch: pytest.MonkeyPatch):
    items, pack = world
    alone = generate.caption_all(ninth, items, pack, batch_size=1, max_new_tokens=TOKENS)
    assert {record["status"] for record in alone} == {"ok"}
    assert len({record["raw"] for record in alone}) > 2
    for batch_size in (2, 8):
        sizes = tiny_captioners.count_generated(ninth, monkeypatch)
        batched = generate.caption_all(ninth, items, pack, batch_size=batch_size, max_new_tokens=TOKENS)
        assert sum(sizes) == len(items)  # no batch failed, so that its items went through alone
        assert max(sizes) == batch_size
        assert tiny_captioners.timeless(batched) == tiny_captioners.timeless(alone)
    shuffled = generate.caption_all(ninth, items[::-1], pack, batch_size=8, max_new_tokens=TOKENS)
    assert tiny_captioners.timeless(shuffled)[::-1] == tiny_captioners.timeless(alone)


def test_its_prompt_is_that_of_its_template(ninth: model.Captioner, world):
    assert ninth.prompt("people") == (
        "<|im_start|>User:<image> Describe the people in this 360-degree panorama.<end_of_utterance>\nAssistant:"
    )
