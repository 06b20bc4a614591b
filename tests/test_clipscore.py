"""CLIPScore: the formula by hand, the vectors of an encoder, and which captions a study's encoder may judge."""

from pathlib import Path

import numpy as np
import pytest

import tiny_backbones
from retcap import plugins
from retcap.captioning.plan import CaptioningPlan
from retcap.captions import clip_encoding, clip_features, scoring
from retcap.captions.clip_features import ClipFeatures
from retcap.captions.context import NO_ENCODER, Context
from retcap.config import resolve
from retcap.config.errors import ConfigError
from retcap.plan import Plan

CLIPSCORE = plugins.load("metrics", "clipscore")
ROOT = Path(__file__).parents[1]


def unit(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32) / np.float32(np.linalg.norm(values))


FEATURES = ClipFeatures(
    encoder="a/b",
    images={"sea": unit(1, 0), "wood": unit(0, 1)},
    texts={"waves": unit(0.6, 0.8), "trees": unit(-0.6, 0.8), "a shore": unit(1, 0), "a forest": unit(0, 1)},
)


def scored(candidates: list[str], references: list[list[str]], images: list[str] | None, context: Context):
    return scoring.compute("clipscore", CLIPSCORE, candidates, references, context, images)


def test_values_are_those_of_the_formula():
    candidates, images = ["waves", "trees", "", "waves"], ["sea", "sea", "sea", "wood"]
    references = [["a shore", "a forest"], ["a shore"], ["a shore"], ["a shore"]]
    found = scored(candidates, references, images, Context(clip=FEATURES))
    plain, with_references = found["clipscore"], found["refclipscore"]
    assert plain.items is not None
    assert with_references.items is not None
    close = {"abs": 1e-6}  # float32 unit vectors
    # w max(cos, 0): 2.5 * .6; cos -.6 counts as 0; an empty caption scores 0; 2.5 * .8
    assert plain.items.tolist() == pytest.approx([1.5, 0.0, 0.0, 2.0], **close)
    # the nearest reference: .8 of "a forest"; harmonic mean with 1.5; that of 2.0 and .6
    assert with_references.items.tolist() == pytest.approx([2.4 / 2.3, 0.0, 0.0, 2.4 / 2.6], **close)
    assert plain.value == pytest.approx(3.5 / 4, **close)
    assert "encoder:a/b" in plain.signature


def test_the_picture_decides_and_not_the_order():
    context = Context(clip=FEATURES)
    one = scored(["waves", "trees"], [["a shore"], ["a forest"]], ["sea", "wood"], context)
    other = scored(["trees", "waves"], [["a forest"], ["a shore"]], ["wood", "sea"], context)
    assert one["clipscore"].value == other["clipscore"].value
    assert (
        one["clipscore"].value
        != scored(["waves", "trees"], [["a shore"], ["a forest"]], ["wood", "sea"], context)["clipscore"].value
    )


@pytest.mark.parametrize(
    ("images", "context", "reason"),
    [
        (["sea"], Context(), NO_ENCODER),
        (["sea"], Context(no_clip="the encoder failed"), "the encoder failed"),
        (None, Context(clip=FEATURES), "It needs the pictures, and there are none here."),
        (["photos/gone.jpg"], Context(clip=FEATURES), "1 of 1 pairs have no picture."),
    ],
)
def test_what_cannot_be_judged_is_null_with_its_reason(images, context, reason):
    for result in scored(["waves"], [["a shore"]], images, context).values():
        assert (result.value, result.reason, result.excused) == (None, reason, True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_backbones.save_open_clip(tmp_path_factory.mktemp("clip"), "vit")


def test_vectors_are_those_of_the_encoder_and_outlive_the_job(folder: Path, tmp_path: Path, monkeypatch):
    import torch
    from PIL import Image

    monkeypatch.setattr(clip_encoding, "BATCH", 2)
    backbone = plugins.load("backbones", "clip_open_clip").load(folder)
    draw = np.random.default_rng(2)
    pack = {name: draw.integers(0, 256, (40, 80, 3), dtype=np.uint8) for name in ("b", "a", "c", "unused")}
    texts = ["a red bus", "", " ", "two cars", "a tree", "a red bus", "word " * 500]
    made = clip_encoding.encode(backbone, "tiny", pack, ["a", "b", "c", "a"], texts)
    assert sorted(made.images) == ["a", "b", "c"]
    assert sorted(made.texts) == sorted({text for text in texts if text.strip()})
    lengths = [int(backbone.tokenizer([clip_encoding.PROMPT + text]).attention_mask.sum()) for text in made.texts]
    assert made.cut == lengths.count(backbone.tokenizer.context_length) > 0
    side = backbone.image.side_px
    pixels = np.asarray(Image.fromarray(pack["b"]).resize((side, side), Image.Resampling.BICUBIC))
    alone = backbone.encode_image(backbone.image.normalise(torch.from_numpy(pixels.copy())[None]))[0]
    np.testing.assert_allclose(made.images["b"], alone.detach(), atol=1e-5)  # float32 sums in another order
    tokens = backbone.tokenizer(["A photo depicts two cars"])
    words = backbone.encode_text(tokens.input_ids, tokens.attention_mask)[0]
    np.testing.assert_allclose(made.texts["two cars"], words.detach(), atol=1e-5)
    clip_features.write(made, tmp_path / "features.parquet")
    back = clip_features.read(tmp_path / "features.parquet")
    assert (back.encoder, back.cut) == ("tiny", made.cut)
    for kind in ("images", "texts"):
        before, after = getattr(made, kind), getattr(back, kind)
        assert list(before) == list(after)
        assert all((before[key] == after[key]).all() for key in before)


def planned(monkeypatch: pytest.MonkeyPatch, folder: Path, **own) -> CaptioningPlan:
    monkeypatch.chdir(folder)
    (folder / "own.csv").write_text("url,query,annotation\nphotos/1.jpg,sky,A grey sky.\n", encoding="utf-8")
    real = {"plugin": "clip_hf", "checkpoint": "a/b", "revision": "0123456789abcdef", "side_px": 32}
    raw = {"studies": ["captioning"], "backbones": {"tiny": {}, "real": real}, "captioning": own}
    return CaptioningPlan(Plan(resolve(raw), ROOT / "workflow"))


def test_the_tiny_encoder_judges_the_generated_world_alone(monkeypatch, tmp_path: Path):
    demo = planned(monkeypatch, tmp_path)
    assert demo.encoder is not None
    assert demo.encoder["label"] == "tiny"
    assert demo.encoder_files() == ["results/demo/models/tiny_clip"]
    mine = {"csv": "own.csv", "train_csv": None, "models": []}
    assert planned(monkeypatch, tmp_path, **mine).encoder is None
    real = planned(monkeypatch, tmp_path, encoder="real", **mine)
    assert real.encoder is not None
    assert real.encoder["label"] == "a/b@0123456789ab"
    assert real.clip_features() == "results/demo/captioning/clip_features.parquet"
    for own in ({"encoder": None}, {"metrics": ["cider"]}, {"encoder": "tiny", **mine}):
        assert planned(monkeypatch, tmp_path, **own).clip_features() == []


def test_an_encoder_that_is_no_backbone_is_refused(monkeypatch, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"captioning\.encoder: no backbone is named `clip-l`\. Known: tiny, real\."):
        planned(monkeypatch, tmp_path, encoder="clip-l")
