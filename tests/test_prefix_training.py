"""Training of a cell: resuming, early stop, what is kept, and that captions then follow the pictures."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

import tiny_gpt2
from retcap.clip.tokenizer import train_tokenizer
from retcap.features.frozen import Features
from retcap.prefix import captioner, decoding, speaking, training
from retcap.prefix.data import CaptionRows
from retcap.prefix.training import PrefixTrainer, TrainingSettings

D = 6
WORDS = ("red bus", "blue cup", "green dog")
SETTINGS = TrainingSettings(
    epochs=4, max_steps=None, batch_size=8, learning_rate=2e-2, warmup_steps=2, weight_decay=0.0,
    max_gradient_norm=1.0, eval_steps=7, save_steps=5, patience=None, threshold=0.0, compute="fp32", workers=0,
    max_caption_tokens=8,
)  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer([f"a one here {words}" for words in WORDS * 4], 400)


@pytest.fixture(scope="module")
def features() -> Features:
    rng = np.random.default_rng(0)
    kinds = np.arange(30) % 3
    vectors = np.eye(3, D)[kinds] + 0.05 * rng.standard_normal((30, D))
    splits = np.array(["train"] * 20 + ["valid"] * 4 + ["test"] * 6)
    items = {"split": splits, "captions": [[f"a {WORDS[kind]}", f"one {WORDS[kind]} here"] for kind in kinds]}
    return Features(items, vectors.astype(np.float32), None, {}, {})


def rows(features: Features, tokenizer: Any, split: str = "train") -> CaptionRows:
    return CaptionRows(features, split, tokenizer, longest=12, length=2.0)


def cell(**own: Any) -> dict[str, Any]:
    base = {"prefix_length": 2, "mapper": "mlp", "tuning": "tuned", "seed": 0, "matched_to": None}
    return base | dict.fromkeys(("transformer_layers", "transformer_heads", "lora_rank", "lora_alpha")) | own


def build(tokenizer: Any, **own: Any):
    sizes = {"vocab_size": len(tokenizer), "resid_pdrop": 0.1, "initializer_range": 0.1}
    return captioner.build(cell(**own), D, tiny_gpt2.build(**sizes))


def run(features: Features, tokenizer: Any, scratch: Path, settings: TrainingSettings = SETTINGS, **own: Any):
    model = build(tokenizer, **own)
    parts = (rows(features, tokenizer), rows(features, tokenizer, "valid"))
    return model, training.train(model, *parts, settings, seed=3, scratch=scratch, device="cpu")


@pytest.fixture(scope="module")
def whole(features: Features, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory):
    return run(features, tokenizer, tmp_path_factory.mktemp("whole"))


def test_training_learns_and_its_curves_say_so(whole):
    _, curves = whole
    assert curves["steps"] == 4 * 5  # 40 captions, 8 a step
    assert [entry["step"] for entry in curves["eval"]] == [7, 14, 20]
    assert curves["train"][-1]["loss"] < 0.7 * curves["train"][0]["loss"]
    values = [entry[training.SELECTED] for entry in curves["eval"]]
    assert curves["best"]["value"] == max(values)
    assert curves["stopped"] == "epochs"


class Killed(BaseException):
    pass


@pytest.mark.parametrize("step", [3, 8, 17])
def test_a_killed_training_ends_with_the_same_weights(
    whole, features: Features, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
):
    plain = PrefixTrainer.training_step

    def dying(self: PrefixTrainer, *arguments: Any, **options: Any) -> Any:
        if self.state.global_step == step:
            raise Killed
        return plain(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(PrefixTrainer, "training_step", dying)
        with pytest.raises(Killed):
            run(features, tokenizer, tmp_path)
    torch.manual_seed(99)  # whatever another process has drawn
    again, curves = run(features, tokenizer, tmp_path)
    expected, before = whole
    assert curves["steps"] == before["steps"]
    assert curves["best"] == before["best"]
    for name, value in expected.trained_state().items():
        assert torch.equal(value, again.trained_state()[name]), name


def test_a_finished_training_is_not_done_again(
    whole, features: Features, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first, curves = run(features, tokenizer, tmp_path)
    assert not list(tmp_path.glob("checkpoint-*"))
    monkeypatch.setattr(PrefixTrainer, "training_step", None)
    again, kept = run(features, tokenizer, tmp_path)
    assert kept == curves
    assert all(torch.equal(value, first.trained_state()[name]) for name, value in again.trained_state().items())


def test_the_weights_are_those_of_the_best_validation_and_idle_ones_stop_it(
    features: Features, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    values, seen = iter([-2.0, -1.0, -3.0, -4.0, -5.0]), []

    def evaluate(self: PrefixTrainer, *_: Any, **__: Any) -> dict[str, float]:
        metrics = {training.SELECTED: next(values)}
        seen.append({name: value.clone() for name, value in self.captioner.trained_state().items()})
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    monkeypatch.setattr(PrefixTrainer, "evaluate", evaluate)
    settings = msgspec.structs.replace(SETTINGS, patience=2, eval_steps=2)
    model, curves = run(features, tokenizer, tmp_path, settings)
    assert (curves["stopped"], curves["steps"], curves["best"]["step"]) == ("early", 8, 4)
    assert all(torch.equal(value, seen[1][name]) for name, value in model.trained_state().items())


def test_a_loss_that_is_not_finite_is_refused(features: Features, tokenizer: Any, tmp_path: Path):
    settings = msgspec.structs.replace(SETTINGS, learning_rate=1e30, max_gradient_norm=None)
    with pytest.raises(FloatingPointError, match=r"Lower prefix.training.learning_rate"):
        run(features, tokenizer, tmp_path, settings)


@pytest.mark.parametrize("tuning", ["frozen", "lora"])
def test_what_is_not_tuned_keeps_its_weights(features: Features, tokenizer: Any, tmp_path: Path, tuning: str):
    settings = msgspec.structs.replace(SETTINGS, max_steps=3)
    model, curves = run(features, tokenizer, tmp_path, settings, tuning=tuning, lora_rank=2, lora_alpha=4)
    before = build(tokenizer, tuning=tuning, lora_rank=2, lora_alpha=4)
    assert curves["stopped"] == "max_steps"
    new, old = dict(model.named_parameters()), dict(before.named_parameters())
    changed = {name for name in new if not torch.equal(new[name], old[name])}
    assert changed
    assert all(name.startswith("clip_project.") or "lora_" in name for name in changed)


def test_a_trained_cell_speaks_of_what_it_sees(features: Features, tokenizer: Any, tmp_path: Path):
    longer = msgspec.structs.replace(SETTINGS, epochs=16, eval_steps=80)
    model, curves = run(features, tokenizer, tmp_path / "scratch", longer)
    about = {"cell": cell(), "vector_size": D, "vector_length": 2.0, "curves": curves}
    captioner.save(tmp_path / "cell", model, about)
    sizes = {"vocab_size": len(tokenizer), "resid_pdrop": 0.1, "initializer_range": 0.1}
    loaded = captioner.load(tmp_path / "cell", (tiny_gpt2.build(seed=8, **sizes), tokenizer))
    places = features.rows("test")
    settings = decoding.Settings(max_tokens=8)
    said = speaking.caption(loaded, "greedy", features.images[places], places.tolist(), settings, batch_size=4)
    right = [WORDS[place % 3].split()[0] in text for (text, _), place in zip(said, places, strict=True)]
    assert sum(right) >= 5
    direct = speaking.caption(
        captioner.Loaded(model.eval(), tokenizer, about),
        "greedy",
        features.images[places],
        places.tolist(),
        settings,
        6,
    )
    assert direct == said
    shutil.rmtree(tmp_path / "cell")
    with pytest.raises(FileNotFoundError, match=r"no config.json. Give the folder of a trained cell"):
        captioner.load(tmp_path / "cell")


def test_captions_end_with_the_end_token_unless_they_are_cut(features: Features, tokenizer: Any):
    found = rows(features, tokenizer)
    assert all(ids[-1] == tokenizer.eos_token_id for ids in found.tokens)
    assert found.cut == 0
    short = CaptionRows(features, "train", tokenizer, longest=3, length=1.0)
    assert short.cut > 0
    assert max(len(ids) for ids in short.tokens) == 3
    batch = found.collate([found[row] for row in (0, 1)])
    assert batch["mask"].sum(1).tolist() == [len(found.tokens[0]), len(found.tokens[1])]
    assert batch["vectors"].norm(dim=1).tolist() == pytest.approx(
        (2.0 * np.linalg.norm(features.images[[0, 0]], axis=1)).tolist(), rel=1e-6
    )
    assert sorted(row for part in found.batches(7) for row in part) == list(range(len(found)))
