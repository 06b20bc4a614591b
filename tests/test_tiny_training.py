"""Training of tiny captioners: what the loss sees, that it repeats exactly, that the fast path equals the plain one."""

import numpy as np
import pytest
import torch

import tiny_captioners
from retcap.captioning import generate
from retcap.worlds import folding, recipes
from retcap.worlds import train_tiny_captioner as train_tiny

pytest_plugins = ["tiny_captioners"]

NAMES, QUICK = tiny_captioners.NAMES, tiny_captioners.QUICK


def test_training_lowers_the_loss_and_repeats_exactly(tmp_path):
    name = tiny_captioners.QUICK[0]
    results = []
    for run in ("first", "second"):
        _, result = tiny_captioners.build_and_train(name, tmp_path / run, steps=12)
        results.append(result["history"])
    assert results[0] == results[1]
    assert results[0][-1][1] < results[0][0][1] / 2
    weights = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("first", "second")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NAMES])
@pytest.mark.parametrize("policy", ["native", "letterbox", "squash"])
def test_the_policy_of_the_training_stays_out_of_the_checkpoint(name, policy, one_thread, tmp_path):
    """A tiny LLaVA trained under `squash` squashed under `native` too, and the report said "centre crop"."""
    plugin = tiny_captioners.build(name, tmp_path / "built")
    pack, rows = tiny_captioners.blocks()
    train_tiny.train_tiny(
        plugin, tmp_path / "built", rows, pack, out=tmp_path / "trained", steps=1, batch_size=2, policy=policy
    )
    of_the_model = {"config.json", "generation_config.json", "model.safetensors"}
    built, trained = (
        {
            path.relative_to(tmp_path / folder).as_posix(): path.read_bytes()
            for path in sorted((tmp_path / folder).rglob("*"))
            if path.is_file() and path.name not in of_the_model
        }
        for folder in ("built", "trained")
    )
    assert {"processor_config.json", "tokenizer.json"} <= set(built)
    assert trained == built
    image = np.random.default_rng(5).integers(0, 256, (96, 192, 3), dtype=np.uint8)
    for later in ("native", "letterbox", "squash"):
        seen = [
            tiny_captioners.load(name, tmp_path / folder, policy=later).encode("left", image, "key")["pixel_values"]
            for folder in ("built", "trained")
        ]
        assert torch.equal(*seen), later


def test_the_loss_sees_answers_alone(captioner, world):
    _, pack = world
    _, rows = tiny_captioners.blocks()
    end = getattr(recipes.load(captioner.plugin.CARD.name), "END_OF_ANSWER", None)
    examples = train_tiny._examples(captioner, rows[:3], pack, end)
    batch = train_tiny.training_batch(captioner, examples)
    for row, (_, _, caption) in enumerate(rows[:3]):
        kept = batch["labels"][row][batch["labels"][row] != train_tiny.IGNORED]
        end = captioner.tokenizer.decode(kept[-1])
        assert captioner.tokenizer.decode(kept) == f" {caption}{end}"
        assert int(kept[-1]) in captioner.end_tokens()
    if not captioner.encoder_decoder:
        assert batch["labels"].shape == batch["input_ids"].shape == batch["attention_mask"].shape
        seen = batch["labels"] != train_tiny.IGNORED
        assert bool((batch["input_ids"][seen] == batch["labels"][seen]).all())
        assert bool(batch["attention_mask"][seen].all())


@pytest.mark.parametrize(("dims", "bias"), [(2, True), (3, False)])
def test_a_folded_convolution_equals_the_convolution(dims, bias):
    kernel = (2, 3, 5)[-dims:]
    kind = {2: torch.nn.Conv2d, 3: torch.nn.Conv3d}[dims]
    convolution = kind(3, 7, kernel, kernel, bias=bias)
    pixels = torch.randn(4, 3, *(2 * size for size in kernel), generator=torch.Generator().manual_seed(0))
    outputs, gradients = [], []
    for module in (convolution, folding.FoldedConvolution(convolution)):
        convolution.weight.grad = None
        outputs.append(module(pixels))
        outputs[-1].square().sum().backward()
        gradients.append(convolution.weight.grad.clone())
    torch.testing.assert_close(outputs[0], outputs[1], atol=1e-5, rtol=1e-5)  # float32 sums of 90 terms
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-3, rtol=1e-4)  # and of thousands


def test_folding_is_undone(captioner):
    before = {name: type(module) for name, module in captioner.model.named_modules()}
    with folding.folded_patches(captioner.model):
        kinds = [type(module) for _, module in captioner.model.named_modules()]
        assert kinds.count(folding.FoldedConvolution) == 1
    assert {name: type(module) for name, module in captioner.model.named_modules()} == before


def test_training_teaches_to_look_at_the_image(captioner, world):
    _, rows = tiny_captioners.blocks()
    _, pack = world
    grey = {key: np.full_like(image, 128) for key, image in pack.items()}
    shares = []
    for images in (pack, grey):
        items = [(f"{key}|{query}", query, key) for key, query, _ in rows]
        captioner._pixels.clear()
        records = generate.caption_all(captioner, items, images, batch_size=9, max_new_tokens=16)
        hits = [record["raw"] == caption for record, (_, _, caption) in zip(records, rows, strict=True)]
        shares.append(sum(hits) / len(hits))
    assert shares[1] <= 7 / 27  # without seeing: one of 3 colours, for two of 3 queries, or one of 9 pairs
    assert shares[0] > 2 * shares[1]
    assert shares[0] > 0.5


def test_batches_use_every_row_once_per_epoch():
    chosen = list(train_tiny.batches(35, 5, 21, np.random.default_rng(1)))
    assert [len(batch) for batch in chosen] == [5] * 21
    for epoch in range(3):
        assert sorted(np.concatenate(chosen[7 * epoch : 7 * epoch + 7]).tolist()) == list(range(35))
    assert len(list(train_tiny.batches(3, 7, 4, np.random.default_rng(3)))) == 4  # fewer rows than a batch
