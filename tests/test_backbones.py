"""Backbones: hidden states before the final norm, the library's own pooling, activations from the config."""

import json

import numpy as np
import pytest
import torch

from clip_conversion import hf_to_open_clip
from retcap import plugins
from retcap.clip import side
from retcap.clip.tower import ImageInput, count_parameters
from tiny_backbones import image_caption_pairs, meta_backbone, save_hf_clip, save_open_clip

pytestmark = pytest.mark.numeric

B = 3
TEXTS = ["a red disc", "a blue square and a ring", ""]


@pytest.fixture(scope="module")
def hf_folder(tmp_path_factory):
    return save_hf_clip(tmp_path_factory.mktemp("hf"))


@pytest.fixture(scope="module", params=["vit", "resnet"])
def open_clip_folder(request, tmp_path_factory):
    return save_open_clip(tmp_path_factory.mktemp(request.param), request.param)


def load(plugin, folder):
    return plugins.load("backbones", plugin).load(folder).eval()


def pixels(backbone, count=B):
    side = backbone.image.side_px
    images = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    return backbone.image.normalise(torch.from_numpy(images))


def test_every_backbone_is_found():
    assert plugins.names("backbones") == ["clip_hf", "clip_open_clip"]


@torch.no_grad()
def test_hf_hidden_states_are_those_before_the_final_norm(hf_folder):
    backbone, seen = load("clip_hf", hf_folder), {}
    text_model, vision_model = backbone.text.text_model, backbone.vision.vision_model
    text_model.final_layer_norm.register_forward_pre_hook(lambda _, args: seen.update(text=args[0]))
    vision_model.post_layernorm.register_forward_pre_hook(lambda _, args: seen.update(vision=args[0]))
    ids, mask = backbone.tokenizer(TEXTS)
    text, vision = backbone.text(ids, mask), backbone.vision(pixels(backbone))
    assert len(text.hidden) == backbone.text.layers == 5
    assert len(vision.hidden) == backbone.vision.layers == 6
    assert torch.equal(text.hidden[-1], seen["text"])
    assert torch.equal(vision.hidden[-1][:, 0], seen["vision"])
    assert vision.hidden[0].shape == (B, 5, 24)  # 4 patches and the class token


@torch.no_grad()
@pytest.mark.parametrize("eos_token_id", [None, 2, 5])
def test_hf_pooling_is_the_librarys(tmp_path, eos_token_id):
    """`eos_token_id` 2 pools at the highest id, any other at its first place; all three must match CLIPModel itself."""
    from transformers import CLIPModel

    folder = save_hf_clip(tmp_path, eos_token_id=eos_token_id)
    backbone, model = load("clip_hf", folder), CLIPModel.from_pretrained(folder).eval()
    ids = torch.tensor([[1, 7, 5, 9, 2, 0], [1, 5, 8, 6, 5, 2]])
    expected = model(input_ids=ids, pixel_values=pixels(backbone, 2))
    torch.testing.assert_close(backbone.encode_text(ids), expected.text_embeds, atol=1e-6, rtol=0)
    torch.testing.assert_close(backbone.encode_image(pixels(backbone, 2)), expected.image_embeds, atol=1e-6, rtol=0)
    states = backbone.text.text_model.final_layer_norm(backbone.text(ids).hidden[-1])
    place = (
        ids.argmax(dim=1)
        if backbone.text.text_model.eos_token_id == 2
        else (ids == (eos_token_id or 2)).int().argmax(1)
    )
    by_hand = backbone.text.text_projection(states[torch.arange(2), place])
    torch.testing.assert_close(backbone.text(ids).pooled, by_hand, atol=1e-6, rtol=0)


@torch.no_grad()
def test_activation_comes_from_the_config(tmp_path):
    """The same weights under gelu and quick_gelu must differ: nothing overrides `hidden_act`."""
    outputs = []
    for name in ("gelu", "quick_gelu"):
        backbone = load("clip_hf", save_hf_clip(tmp_path / name, hidden_act=name))
        outputs.append(backbone.vision(pixels(backbone)).hidden[-1])
        assert backbone.spec["config"]["vision_config"]["hidden_act"] == name
    assert (outputs[0] - outputs[1]).abs().max() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize(("hidden_act", "eos_token_id"), [("gelu", 2), ("quick_gelu", 5)])
def test_hf_and_open_clip_agree_layer_by_layer(tmp_path, hidden_act, eos_token_id):
    source = save_hf_clip(tmp_path / "hf", hidden_act=hidden_act, eos_token_id=eos_token_id)
    ours = load("clip_hf", source)
    theirs = load("clip_open_clip", hf_to_open_clip(source, tmp_path / "open_clip"))
    ids, image = torch.tensor([[1, 7, 5, 2, 0, 0], [1, 8, 6, 9, 5, 2]]), pixels(ours, 2)
    compared = 0
    for mine, other in ((ours.text(ids), theirs.text(ids)), (ours.vision(image), theirs.vision(image))):
        for left, right in zip((*mine.hidden, mine.pooled), (*other.hidden, other.pooled), strict=True):
            torch.testing.assert_close(left, right, atol=2e-5, rtol=1e-5)  # fp32, values of size 10 after six blocks
            compared += 1
    assert compared == 5 + 6 + 2
    assert theirs.logit_scale.item() == ours.logit_scale.item()
    assert theirs.image == ours.image


@torch.no_grad()
def test_open_clip_towers_match_the_library(open_clip_folder):
    import open_clip

    backbone = load("clip_open_clip", open_clip_folder)
    model = open_clip.create_model(f"local-dir:{open_clip_folder}", require_pretrained=True).eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{open_clip_folder}")
    ids, mask = backbone.tokenizer(TEXTS)
    whole = tokenizer(TEXTS)
    assert whole.shape[1] == backbone.text.context_length > ids.shape[1]
    assert torch.equal(whole[:, : ids.shape[1]], ids)
    assert mask.sum(dim=1).tolist() == [int((row != 0).sum()) for row in whole]
    torch.testing.assert_close(backbone.text(ids, mask).pooled, model.encode_text(whole), atol=1e-5, rtol=1e-5)
    image = pixels(backbone)
    torch.testing.assert_close(backbone.vision(image).pooled, model.encode_image(image), atol=1e-6, rtol=1e-6)
    widths = tuple(states.shape[-1] for states in backbone.vision(image).hidden)
    assert widths == backbone.vision.widths


@torch.no_grad()
def test_resnet_stages_are_the_layers(tmp_path):
    backbone = load("clip_open_clip", save_open_clip(tmp_path, "resnet"))
    shapes = [tuple(states.shape) for states in backbone.vision(pixels(backbone)).hidden]
    assert shapes == [(B, 64, 16), (B, 16, 32), (B, 4, 64), (B, 1, 128)]  # 32 px, stem / 4, then / 2 per stage


@pytest.mark.parametrize("plugin", ["clip_hf", "clip_open_clip"])
def test_long_texts_keep_the_end_token(plugin, hf_folder, tmp_path):
    folder = hf_folder if plugin == "clip_hf" else save_open_clip(tmp_path, "vit")
    backbone = load(plugin, folder)
    ids, mask = backbone.tokenizer(["a red disc " * 50, "a"])
    assert ids.shape == mask.shape == (2, backbone.text.context_length)
    assert ids[0, -1] == 2
    assert mask[0].all()
    assert mask[1].sum() < 5


@torch.no_grad()
@pytest.mark.parametrize("plugin", ["clip_hf", "clip_open_clip"])
def test_build_from_spec_takes_the_weights(plugin, hf_folder, open_clip_folder):
    module = plugins.load("backbones", plugin)
    folder = hf_folder if plugin == "clip_hf" else open_clip_folder
    backbone = module.load(folder).eval()
    spec = json.loads(json.dumps(backbone.spec))
    again = module.build(spec, folder).eval()
    assert json.loads(json.dumps(again.spec)) == spec
    again.load_state_dict(backbone.state_dict())
    ids, mask = backbone.tokenizer(TEXTS)
    assert torch.equal(again.encode_text(ids, mask), backbone.encode_text(ids, mask))
    assert torch.equal(again.encode_image(pixels(backbone)), backbone.encode_image(pixels(backbone)))
    assert again.image == backbone.image


@pytest.mark.parametrize("layers", [[0, 2], [1, 1, 3]])
def test_dropping_changes_no_hidden_state_and_leaves_no_unused_parameter(hf_folder, open_clip_folder, layers):
    checked = 0
    for backbone in (load("clip_hf", hf_folder), load("clip_open_clip", open_clip_folder)):
        ids, mask = backbone.tokenizer(TEXTS)
        calls = {"text": (ids, mask), "vision": (pixels(backbone),)}
        for name, inputs in calls.items():
            tower = getattr(backbone, name)
            chosen = [layer for layer in layers if layer < tower.layers]
            with torch.no_grad():
                before = tower(*inputs, layers=chosen, pooled=False).hidden
            names, size = {key for key, _ in tower.named_parameters()}, count_parameters(tower)
            dropped = tower.drop_unused(chosen, pooled=False)
            gone = names - {key for key, _ in tower.named_parameters()}
            assert gone
            assert all(key.startswith(dropped) for key in gone)
            assert not any(key.startswith(dropped) for key, _ in tower.named_parameters())
            assert count_parameters(tower) < size
            after = tower(*inputs, layers=chosen, pooled=False).hidden
            for left, right in zip(before, after, strict=True):
                assert torch.equal(left, right.detach())
            sum(states.square().sum() for states in after).backward()
            assert [key for key, p in tower.named_parameters() if p.grad is None] == []
            checked += 1
    assert checked == 4


def test_gradient_checkpointing_gives_the_same_gradients(hf_folder, tmp_path):
    for backbone in (load("clip_hf", hf_folder), load("clip_open_clip", save_open_clip(tmp_path, "vit"))):
        ids, mask = backbone.tokenizer(TEXTS)
        calls = {"text": (ids, mask), "vision": (pixels(backbone),)}
        for name, inputs in calls.items():
            tower, gradients = getattr(backbone, name).train(), []
            for enable in (False, True):
                tower.set_gradient_checkpointing(enable)
                tower.zero_grad()
                sum(states.square().sum() for states in tower(*inputs, layers=[0, 2]).hidden).backward()
                gradients.append([p.grad.clone() for p in tower.parameters() if p.grad is not None])
            for plain, checkpointed in zip(*gradients, strict=True):
                torch.testing.assert_close(plain, checkpointed)


@pytest.mark.parametrize(
    ("name", "vision", "text", "total"),
    [("tinyclip", 61_411_200, 53_970_944, 115_382_145), ("vit_b32", 87_849_216, 63_428_096, 151_277_313)],
)
def test_published_parameter_counts(name, vision, text, total):
    """Whole towers with their projections; the total has the temperature too.

    TinyCLIP's name says 61M and 29M: the 29M leave out the 25.3M of the token embedding, so it has 115.4M and not 90M.
    """
    embedding = 49_408 * 512
    expected = {"text": text, "text_token_embedding": embedding, "vision": vision, "total": total}
    assert meta_backbone(name).parameter_counts() == expected
    assert text + vision + 1 == total


def test_backbone_counts_add_up(hf_folder):
    counts = load("clip_hf", hf_folder).parameter_counts()
    assert counts["text"] + counts["vision"] + 1 == counts["total"]  # 1: the temperature
    assert 0 < counts["text_token_embedding"] < counts["text"]


def test_normalise_by_hand():
    image = ImageInput(2, mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 2.0))
    pixel = torch.tensor([0, 255, 51], dtype=torch.uint8).expand(1, 2, 2, 3)
    assert image.normalise(pixel)[0, :, 1, 0].tolist() == pytest.approx([0.0, 1.0, (0.2 - 1) / 2])
    with pytest.raises(ValueError, match=r"\(3, 2, 3\).*takes \(2, 2, 3\)"):
        image.normalise(torch.zeros(1, 3, 2, 3, dtype=torch.uint8))


def test_wrong_folders_are_named(hf_folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"open_clip_config.json is not there.*`clip_hf`"):
        load("clip_open_clip", hf_folder)
    (tmp_path / "config.json").write_text('{"model_type": "siglip"}')
    with pytest.raises(ValueError, match="model_type 'siglip'"):
        load("clip_hf", tmp_path)


def test_folder_without_safetensors_is_an_error_not_random_weights(tmp_path):
    folder = save_open_clip(tmp_path, "vit")
    (folder / "open_clip_model.safetensors").unlink()
    (folder / "model.pt").write_bytes(b"")
    with pytest.raises(RuntimeError, match="retrained"):
        load("clip_open_clip", folder)


def test_missing_hf_weights_are_an_error_not_random_weights(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = save_hf_clip(tmp_path)
    state = load_file(folder / "model.safetensors")
    del state["text_model.encoder.layers.4.mlp.fc1.bias"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"1 parameters have no weights.*layers.4.mlp.fc1.bias"):
        load("clip_hf", folder)


def test_hub_weights_without_a_revision_are_warned_about(hf_folder, monkeypatch, caplog):
    import huggingface_hub
    from transformers import CLIPConfig

    def offline(*_, **__):
        raise ConnectionError("offline")

    monkeypatch.setattr(CLIPConfig, "get_config_dict", offline)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    warned = []
    for plugin in ("clip_hf", "clip_open_clip"):
        for revision in (None, "0123abc"):
            caplog.clear()
            with pytest.raises(ConnectionError):
                plugins.load("backbones", plugin).load("owner/name", revision=revision)
            warned.append("owner/name is loaded without a revision" in caplog.text)
    assert warned == [True, False, True, False]
    monkeypatch.undo()
    caplog.clear()
    load("clip_hf", hf_folder)
    assert "revision" not in caplog.text  # a folder has none


def test_tokenizer_json_alone_is_enough(tmp_path):
    """TinyCLIP's repository has no other tokenizer file; the end token pads, as in OpenAI's vocabulary."""
    from transformers import CLIPTokenizer

    signs = [*"abcdefghijklmnopqrstuvwxyz", *(f"{letter}</w>" for letter in "abcdefghijklmnopqrstuvwxyz")]
    ids = {sign: place for place, sign in enumerate([*signs, "<|startoftext|>", "<|endoftext|>"])}
    folder = save_hf_clip(tmp_path, eos_token_id=2)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).unlink(missing_ok=True)
    CLIPTokenizer(vocab=ids, merges=[]).save_pretrained(tmp_path / "tokenizer")
    (tmp_path / "tokenizer/tokenizer.json").rename(folder / "tokenizer.json")
    backbone = load("clip_hf", folder)
    start, end = ids["<|startoftext|>"], ids["<|endoftext|>"]
    texts = ["A b", "a" * 40]
    tokens, mask = backbone.tokenizer(texts)
    assert tokens[0].tolist() == [start, ids["a</w>"], ids["b</w>"], *[end] * 9]
    assert mask[0].tolist() == [1] * 4 + [0] * 8
    assert (tokens[1, 0], tokens[1, -1], mask[1].sum()) == (start, end, backbone.text.context_length)


def test_hf_folder_with_pickles_only_is_refused(tmp_path):
    folder = save_hf_clip(tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"revision main: no model.safetensors. Pickled weights are never read"):
        load("clip_hf", folder)


def test_named_model_with_the_other_activation_is_refused():
    """open_clip only warns when weights were trained with QuickGELU and the named model has GELU."""
    module = plugins.load("backbones", "clip_open_clip")
    with pytest.raises(ValueError, match=r"quick_gelu=True.*-quickgelu"):
        module.load("ViT-B-32", revision="openai")
    with pytest.raises(ValueError, match="needs its weights' tag"):
        module.load("ViT-B-32")
    with pytest.raises(ValueError, match="knows no model 'ViT-Q-9'"):
        module.load("ViT-Q-9", revision="openai")


def test_timm_tower_is_refused():
    from retcap.clip import open_clip_towers as _open_clip_towers
    from retcap.clip.tower import UnsupportedBackbone

    with pytest.raises(UnsupportedBackbone, match="Linear gives no hidden states"):
        _open_clip_towers.vision_tower(torch.nn.Linear(2, 2))


def test_drawn_pairs_are_seeded():
    first, again = image_caption_pairs(3, seed=5), image_caption_pairs(3, seed=5)
    assert np.array_equal(first[0], again[0])
    assert first[1] == again[1]


@pytest.mark.parametrize("plugin", ["clip_hf", "clip_open_clip"])
def test_a_folder_says_the_side_that_its_model_takes(plugin, hf_folder, open_clip_folder):
    folder = hf_folder if plugin == "clip_hf" else open_clip_folder
    backbone = load(plugin, folder)
    assert plugins.load("backbones", plugin).side_px(folder) == backbone.image.side_px


def test_a_backbone_of_which_pictures_of_another_side_were_packed_is_refused(hf_folder):
    chosen = {"plugin": "clip_hf", "revision": None, "side_px": 16}
    assert side.load(chosen, hf_folder).image.side_px == 16
    with pytest.raises(ValueError, match=r"takes pictures of 16 px, and for 48 px they were packed. Set `side_px:"):
        side.load(chosen | {"side_px": 48}, hf_folder)
