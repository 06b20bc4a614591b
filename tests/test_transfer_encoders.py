"""The CLIP encoder of the transfer study, around a backbone of two matrices whose answers can be told by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from retcap.clip.tower import ImageInput, TokenBatch
from retcap.features import encoders

SIDE, LENGTH, E = 4, 6, 5


class Letters:
    """Texts as the numbers of their letters."""

    context_length = LENGTH

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, texts: list[str]) -> TokenBatch:
        self.calls.append(list(texts))
        ids = torch.tensor([[ord(letter) for letter in text.ljust(LENGTH)] for text in texts])
        return TokenBatch(ids, torch.ones_like(ids))


class Backbone(nn.Module):
    """Projects pixels, and counts of letters, by one matrix each."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.vision, self.text = nn.Linear(3 * SIDE * SIDE, E, bias=False), nn.Linear(LENGTH, E, bias=False)
        for layer in (self.vision, self.text):
            layer.weight.data = torch.randn(layer.weight.shape, generator=generator)
        self.image, self.plugin, self.spec = ImageInput(SIDE), "clip_hf", {"source": "here", "revision": "abc"}
        self.tokenizer = Letters()

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(self.vision(pixels.flatten(1)), dim=-1)

    def encode_text(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(self.text(ids.float()), dim=-1)

    def parameter_counts(self) -> dict[str, int]:
        return {"total": 1}


@pytest.fixture
def encoder() -> encoders.ClipEncoder:
    return encoders.ClipEncoder(Backbone(), resize="cover", device="cpu", compute="fp32", batch_size=3)


def test_batches_give_what_one_batch_gives(encoder: encoders.ClipEncoder):
    pictures = np.random.default_rng(0).integers(0, 256, size=(7, SIDE, SIDE, 3), dtype=np.uint8)
    together = encoder.backbone.encode_image(encoder.backbone.image.normalise(torch.from_numpy(pictures)))
    np.testing.assert_allclose(encoder.images(pictures), together.detach().numpy(), atol=1e-6)  # fp32, 48 terms


def test_every_distinct_text_is_encoded_once_and_comes_back_in_order(encoder: encoders.ClipEncoder):
    texts = ["tea", "a cup", "tea", "mug", "b", "a cup"]
    found = encoder.texts(texts)
    assert encoder.backbone.tokenizer.calls == [["b", "mug", "tea"], ["a cup"]]
    for row, text in enumerate(texts):
        alone = encoder.backbone.encode_text(*encoder.backbone.tokenizer([text]))[0].detach().numpy()
        np.testing.assert_allclose(found[row], alone, atol=1e-6)  # fp32, 6 terms
    assert (found[0] == found[2]).all()


def test_operations_are_those_of_the_matrices(encoder: encoders.ClipEncoder):
    expected = {"image": 2 * 3 * SIDE * SIDE * E / 1e9, "text": 2 * LENGTH * E / 1e9}
    assert encoder.about()["gflops"] == pytest.approx(expected)


def test_a_vector_that_is_no_number_is_an_error(encoder: encoders.ClipEncoder):
    encoder.backbone.vision.weight.data[0, 0] = torch.nan
    with pytest.raises(FloatingPointError, match="2 of 2 vectors of pictures are not finite"):
        encoder.images(np.zeros((2, SIDE, SIDE, 3), np.uint8))


def test_pixels_are_loaded_without_a_backbone():
    assert encoders.load("pixels", None, None, "cpu").about() == {
        "encoder": "pixels",
        "side_px": 64,
        "parameters": None,
        "gflops": None,
    }


def test_half_precision_computes_in_half_and_gives_single(encoder: encoders.ClipEncoder):
    pictures = np.random.default_rng(1).integers(0, 256, size=(4, SIDE, SIDE, 3), dtype=np.uint8)
    full = encoder.images(pictures)
    encoder.compute = "bf16"
    half = encoder.images(pictures)
    assert half.dtype == np.float32
    assert (half != full).any()
    np.testing.assert_allclose(half, full, atol=0.05)  # bf16 has 8 bits: 48 terms of size one
