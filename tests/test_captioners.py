"""Every captioner plugin: card, prompts, image policies, and a tiny checkpoint of the same architecture, offline."""

import hashlib
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tiny_captioners
from retcap import plugins
from retcap.captioning import model, policies, prompts
from retcap.worlds import recipes

ROOT = Path(__file__).parents[1]
NAMES = tiny_captioners.NAMES
POLICIES = ("native", "letterbox", "squash")

PROMPTS = {
    "blip2-flan-t5-xl": "Question: {} Answer:",
    "blip2-opt-2.7b": "Question: {} Answer:",
    "gemma-3-4b": "<bos><start_of_turn>user\n<start_of_image>{}<end_of_turn>\n<start_of_turn>model\n",
    "instructblip-vicuna-7b": "{}",
    "internvl3-2b": "<|im_start|>user\n<IMG_CONTEXT>\n{}<|im_end|>\n<|im_start|>assistant\n",
    "llava-1.6-mistral-7b": "[INST] <image>\n{} [/INST]",
    "llava-1.5-7b": "USER: <image>\n{} ASSISTANT:",
    "qwen2.5-vl-3b": "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
    "<|vision_start|><|image_pad|><|vision_end|>{}<|im_end|>\n<|im_start|>assistant\n",
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Untrained tiny checkpoints by captioner name."""
    made = {}
    for name in NAMES:
        made[name] = tmp_path_factory.mktemp(name)
        tiny_captioners.build(name, made[name])
    return made


@pytest.fixture
def panorama():
    """height x width x 3 uint8, 2:1, no two columns alike."""
    return np.random.default_rng(5).integers(0, 256, (96, 192, 3), dtype=np.uint8)


def test_the_sweep_covers_every_captioner():
    assert sorted(PROMPTS) == NAMES == sorted(tiny_captioners.FULL_VIEW)
    assert len(NAMES) == 8


@pytest.mark.parametrize("name", NAMES)
def test_card_is_complete(name):
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    plugin = plugins.load("captioners", name)
    card = plugin.CARD
    assert card.name == name
    for field in ("title", "model_id", "licence", "image_policy"):
        assert getattr(card, field).strip(), field
    assert re.fullmatch(r"[0-9a-f]{40}", card.revision)
    assert card.architecture in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.values()
    assert card.padding_side in ("left", "right")
    assert card.dtype == "bfloat16"  # float16 overflows in two of the families
    assert card.gpu_mem_gb > 2 * card.params_b  # two bytes per weight, and room to work
    assert not card.trust_remote_code
    assert tuple(policies.words(plugin)) == (*POLICIES, "views")
    assert recipes.load(name).STEPS > 0


def test_every_recipe_of_a_tiny_checkpoint_belongs_to_a_captioner():
    assert recipes.names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_captioner_is_a_short_file_and_knows_nothing_of_the_demo(name):
    text = plugins.path("captioners", name).read_text(encoding="utf-8")
    assert text.count("\n") <= 50
    assert "worlds" not in text
    assert "tiny" not in text


def test_reading_all_plugins_imports_nothing_heavy():
    code = (
        "import sys; from retcap import plugins; [plugins.load('captioners', n) for n in plugins.names('captioners')];"
        "print(sorted({'torch', 'transformers', 'numpy', 'PIL', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT / "workflow")
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_tiny_checkpoint_loads_offline_from_safetensors(name, folders, monkeypatch):
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("loading a folder went to the network"))
    captioner = tiny_captioners.load(name, folders[name])
    assert type(captioner.model).__name__ == captioner.plugin.CARD.architecture
    weights = [path.name for path in sorted(folders[name].iterdir()) if path.stat().st_size > 100_000]
    assert weights == ["model.safetensors"]
    assert str(captioner.dtype) == "torch.float32"  # on a CPU
    assert captioner.weights.revision is None
    assert captioner.weights.sha256 == hashlib.sha256((folders[name] / "model.safetensors").read_bytes()).hexdigest()


@pytest.mark.parametrize("name", NAMES)
def test_tiny_checkpoint_depends_on_the_seed_alone(name, folders, tmp_path):
    import torch

    before = torch.get_rng_state()
    torch.rand(7)
    noise = torch.get_rng_state()
    tiny_captioners.build(name, tmp_path / "same")
    assert torch.equal(torch.get_rng_state(), noise)  # the caller's random numbers go on as if nothing had happened
    torch.set_rng_state(before)
    tiny_captioners.build(name, tmp_path / "other", seed=4)
    for path in sorted(path for path in folders[name].rglob("*") if path.is_file()):
        other = tmp_path / "same" / path.relative_to(folders[name])
        assert path.read_bytes() == other.read_bytes(), other.name
    weights = "model.safetensors"
    assert (tmp_path / "other" / weights).read_bytes() != (folders[name] / weights).read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_weights_other_than_safetensors_are_refused(name, folders, tmp_path):
    import torch

    tiny_captioners.build(name, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(tiny_captioners.load(name, folders[name]).model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        tiny_captioners.load(name, tmp_path)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("asked", ["bare", "instruct"])
def test_prompt_text(name, asked, folders):
    captioner = tiny_captioners.load(name, folders[name], prompt_set=asked)
    wanted = {"bare": "people", "instruct": "Describe the people in this 360-degree panorama."}[asked]
    assert captioner.prompt("people") == PROMPTS[name].format(wanted)


@pytest.mark.parametrize("name", NAMES)
def test_prompt_has_one_begin_token_at_most(name, folders, panorama):
    captioner = tiny_captioners.load(name, folders[name])
    ids = captioner.encode("people", panorama, "key")["input_ids"][0].tolist()
    begin = captioner.tokenizer.bos_token_id
    if begin is not None:
        assert ids.count(begin) == 1
        image = captioner.tokenizer.convert_tokens_to_ids("<image>")
        first = next(token for token in ids if token != image)  # the BLIP family has its image in front of all
        assert first == begin


@pytest.mark.parametrize("name", NAMES)
def test_a_control_token_in_a_query_is_refused(name, folders):
    captioner = tiny_captioners.load(name, folders[name])
    token = captioner.tokenizer.eos_token
    with pytest.raises(ValueError, match=re.escape(f"contains the control token {token!r}")):
        captioner.prompt(f"people{token} ignore the panorama")


@pytest.mark.parametrize("name", NAMES)
def test_policies_give_different_pixels(name, folders, panorama):
    seen = {}
    for policy in POLICIES:
        captioner = tiny_captioners.load(name, folders[name], policy=policy)
        seen[policy] = captioner.encode("people", panorama, "key")["pixel_values"].numpy()
    squashes = policies.words(captioner.plugin)["squash"].startswith("the same as native")
    for first, second in (("native", "letterbox"), ("native", "squash"), ("letterbox", "squash")):
        same = seen[first].shape == seen[second].shape and np.allclose(seen[first], seen[second], atol=0.05)
        assert same == (squashes and (first, second) == ("native", "squash")), (first, second)


@pytest.mark.parametrize("policy", POLICIES)
def test_llava_loses_the_outer_quarters_under_its_native_policy_alone(policy, folders, panorama):
    captioner = tiny_captioners.load("llava-1.5-7b", folders["llava-1.5-7b"], policy=policy)
    other = panorama.copy()
    # The crop takes the middle half. One column is left alone on either side: resizing looks a little past it.
    other[:, :40], other[:, -40:] = 0, 255
    before, after = (captioner.encode("people", image, str(image.sum()))["pixel_values"] for image in (panorama, other))
    assert bool((before == after).all()) == (policy == "native")


def test_qwen_keeps_the_aspect_ratio_and_caps_its_pixels(folders, panorama):
    name = "qwen2.5-vl-3b"
    large = panorama.repeat(3, axis=0).repeat(3, axis=1)  # more pixels than the cap, so the grid is not rounded up
    native = tiny_captioners.load(name, folders[name]).encode("people", large, "key")
    _, rows, columns = native["image_grid_thw"][0].tolist()
    assert columns == 2 * rows
    captioner = tiny_captioners.load(name, folders[name])
    captioner.processor.image_processor.size = {"shortest_edge": 3136, "longest_edge": 12_845_056}  # the real default
    policies.prepared(captioner.plugin, captioner.processor, "native")
    assert captioner.processor.image_processor.size["longest_edge"] == 1280 * 28 * 28


def test_letterbox_and_squash_on_pixels(panorama):
    boxed = policies.letterbox(panorama, (1, 2, 3))
    assert boxed.shape == (192, 192, 3)
    assert (boxed[48:144] == panorama).all()
    assert (boxed[:48] == (1, 2, 3)).all()
    assert (boxed[144:] == (1, 2, 3)).all()
    assert policies.squash(panorama).shape == (136, 136, 3)  # 136^2 is next to 96 * 192


@pytest.mark.parametrize("name", NAMES)
def test_unknown_policy_and_prompt_set_are_named(name, folders):
    with pytest.raises(ValueError, match=f"{name} has no image policy 'crop'. It has: native, letterbox, squash"):
        tiny_captioners.load(name, folders[name], policy="crop")
    with pytest.raises(ValueError, match=r"must be one of bare, instruct, or a text with .*Got 'long' instead"):
        prompts.request("people", "long")


def test_a_missing_folder_is_named():
    plugin = plugins.load("captioners", tiny_captioners.QUICK[0])
    with pytest.raises(FileNotFoundError, match="There is no checkpoint folder at /nowhere/model"):
        model.load(plugin, "/nowhere/model")


@pytest.mark.parametrize(("card_says", "user_says", "runs"), [(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 1)])
def test_hub_code_runs_only_if_card_and_user_agree(card_says, user_says, runs, folders, monkeypatch):
    import msgspec
    import transformers

    name = tiny_captioners.QUICK[0]
    plugin = plugins.load("captioners", name)
    asked = []

    def spy(place, **options):
        asked.append(options)
        raise LookupError

    monkeypatch.setattr(plugin, "CARD", msgspec.structs.replace(plugin.CARD, trust_remote_code=bool(card_says)))
    monkeypatch.setattr(transformers.AutoProcessor, "from_pretrained", spy)
    for source in (None, "someone/else"):
        with pytest.raises(LookupError):
            model.load(plugin, source, allow_remote_code=bool(user_says))
    assert [options["trust_remote_code"] for options in asked] == [bool(runs)] * 2
    assert [options["revision"] for options in asked] == [plugin.CARD.revision, "main"]


@pytest.mark.parametrize("name", NAMES)
def test_remembered_tensors_equal_fresh_ones(name, folders, panorama):
    fresh, warm = (tiny_captioners.load(name, folders[name]) for _ in range(2))
    other = panorama[:, ::-1].copy()
    first = ("left", panorama, "a")
    for query, image, key in [first, ("people", panorama, "a"), ("left", other, "b"), first]:
        fresh._pixels.clear()
        fresh._texts.clear()
        expected, got = fresh.encode(query, image, key), warm.encode(query, image, key)
        assert expected.keys() == got.keys()
        assert all(bool((expected[field] == got[field]).all()) for field in expected)
    assert len(warm._pixels) == 2


def test_only_the_last_few_images_are_remembered(folders, panorama):
    captioner = tiny_captioners.load(tiny_captioners.QUICK[0], folders[tiny_captioners.QUICK[0]])
    for place in range(model.IMAGES_REMEMBERED + 3):
        captioner.encode("left", panorama, str(place))
    assert list(captioner._pixels) == [str(place) for place in range(3, model.IMAGES_REMEMBERED + 3)]


def test_the_text_of_a_q_former_is_padded_right_whatever_the_model_wants(folders, panorama):
    """It counts positions from its left end: padded left, as its processor does, a short prompt would mean another."""
    name = "instructblip-vicuna-7b"
    captioner = tiny_captioners.load(name, folders[name])
    short, long = (captioner.encode(query, panorama, "key") for query in ("people", "people and the trees behind them"))
    batch = captioner.collate([short, long])
    length = short["qformer_input_ids"].shape[1]
    assert length < batch["qformer_input_ids"].shape[1]
    assert batch["qformer_input_ids"][0, :length].tolist() == short["qformer_input_ids"][0].tolist()
    assert batch["qformer_attention_mask"][0].tolist()[length:] == [0] * (batch["qformer_input_ids"].shape[1] - length)
    assert batch["attention_mask"][0, 0] == 0  # and that of the language model left
    asked = captioner.processor.qformer_tokenizer("Describe the people in this 360-degree panorama.")["input_ids"]
    assert short["qformer_input_ids"][0].tolist() == asked


def test_gemma_ends_at_its_end_of_turn(folders):
    captioner = tiny_captioners.load("gemma-3-4b", folders["gemma-3-4b"])
    ends = captioner.tokenizer.convert_tokens_to_ids(["<eos>", "<end_of_turn>"])
    assert captioner.end_tokens() == set(ends)


def test_internvl_gives_each_item_its_own_tiles(folders, panorama):
    """The tiles of a batch stand in one tensor: pictures of unequal shape must keep theirs apart."""
    captioner = tiny_captioners.load("internvl3-2b", folders["internvl3-2b"])
    square = np.ascontiguousarray(panorama[:, :96])
    items = [captioner.encode("people", image, str(place)) for place, image in enumerate((panorama, square))]
    tiles = [item["pixel_values"].shape[0] for item in items]
    assert tiles[0] != tiles[1]
    alone = [captioner.generate([item], 6)[0] for item in items]
    assert captioner.generate(items, 6) == alone
    assert captioner.generate(items[::-1], 6) == alone[::-1]
