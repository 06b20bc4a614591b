"""The retriever: masks and missing modalities, sharing, freezing, pooling, parameter counts."""

import pytest
import torch

from retcap import plugins
from retcap.contrastive import cached_gradient
from retcap.retriever import config as settings
from retcap.retriever.config import ReTConfig
from retcap.retriever.model import RetrieverModel
from tiny_backbones import meta_backbone, save_hf_clip, save_open_clip

pytestmark = pytest.mark.numeric

B = 4
TEXTS = ["a red disc", "", "a blue square and a ring", "a ring"]
SMALL = {"hidden_size": 12, "num_queries": 3, "num_heads": 2}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("backbones")
    return {
        "clip_hf": save_hf_clip(root / "hf"),
        "clip_open_clip": save_open_clip(root / "resnet", "resnet"),
    }


@pytest.fixture(params=["clip_hf", "clip_open_clip"])
def plugin(request):
    return request.param


def make(folders, plugin="clip_hf", seed=0, **changes):
    backbone = plugins.load("backbones", plugin).load(folders[plugin])
    return RetrieverModel.build(ReTConfig(**(SMALL | changes)), backbone, seed=seed)


def inputs(model, seed=0):
    """Item 1 has no text, items 0 and 2 have no image, item 3 has both."""
    ids, mask = model.tokenizer(TEXTS)
    side = model.image.side_px
    images = torch.randint(0, 256, (B, side, side, 3), generator=torch.Generator().manual_seed(seed))
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "pixel_values": model.image.normalise(images.to(torch.uint8)),
        "text_mask": torch.tensor([1, 0, 1, 1]),
        "image_mask": torch.tensor([0, 1, 0, 1]),
    }


def test_vectors_are_unit_and_of_the_output_size(folders, plugin):
    for pooling in ("mean", "first"):
        model = make(folders, plugin, pooling=pooling, late_proj_output_size=7)
        vectors = model.encode("query", **inputs(model))
        assert vectors.shape == (B, 7)
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(B))
    tokens = make(folders, plugin, pooling="none").encode("passage", **inputs(model))
    assert tokens.shape == (B, 3, 12)
    torch.testing.assert_close(tokens.norm(dim=2), torch.ones(B, 3))


@torch.no_grad()
@pytest.mark.parametrize(
    ("pooling", "global_features"),
    [("mean", False), ("first", False), ("none", False), ("mean", True), ("first", True)],
)
def test_head_of_the_encoder_by_hand(folders, plugin, pooling, global_features):
    """unit(W (pool(h) + m_t g_t(text) + m_v g_v(image))): h is the state after the last step, g the global features."""
    model = make(folders, plugin, pooling=pooling, global_features=global_features, late_proj_output_size=5).eval()
    encoder, given, states = model.query_model, inputs(model), []
    encoder.ret_cell.register_forward_hook(lambda _cell, _args, state: states.append(state))
    vectors = model.query(**given)
    assert len(states) == 3
    pooled = {"mean": states[-1].mean(dim=1), "first": states[-1][:, 0], "none": states[-1]}[pooling]
    if global_features:
        text = model.tower("query", "text")(given["input_ids"], given["attention_mask"], layers=()).pooled
        image = model.tower("query", "vision")(given["pixel_values"], layers=()).pooled
        pooled = pooled + given["text_mask"][:, None] * encoder.text_global(text)
        pooled = pooled + given["image_mask"][:, None] * encoder.vision_global(image)
    projected = pooled @ encoder.late_proj.weight.T
    expected = projected / projected.square().sum(dim=-1, keepdim=True).sqrt()
    torch.testing.assert_close(vectors, expected, atol=1e-5, rtol=0)  # other batch sizes in the towers


@torch.no_grad()
def test_steps_read_their_layers_through_their_adapters(folders):
    """Step j sees adapter j of the j-th layer asked for, in the order asked for."""
    chosen = {"text_layers": (4, 1), "vision_layers": (0, 5)}
    model = make(folders, layer_strategy="explicit", **chosen).eval()
    given, seen = inputs(model), []
    model.query_model.ret_cell.register_forward_pre_hook(lambda _cell, args: seen.append(args[1:]))
    every = model.tower("query", "text")(given["input_ids"], given["attention_mask"], pooled=False).hidden
    model.query(**(given | {"text_mask": None, "image_mask": None}))
    assert len(seen) == 2
    for step, (text, vision) in enumerate(seen):
        expected = model.query_model.text_adapter[step](every[chosen["text_layers"][step]])
        torch.testing.assert_close(text.states, expected, atol=1e-5, rtol=0)
        assert vision.states.shape == (B, 5, SMALL["hidden_size"])


@pytest.mark.parametrize("global_features", [False, True])
def test_skipping_missing_equals_the_masked_black_image(folders, plugin, global_features):
    model = make(folders, plugin, global_features=global_features)
    given = inputs(model)
    side = model.image.side_px
    black = model.image.normalise(torch.zeros(1, side, side, 3, dtype=torch.uint8))
    given["pixel_values"][given["image_mask"] == 0] = black
    skipped = model.encode("query", **given)
    model.skip_missing = False
    through_the_tower = model.encode("query", **given)
    torch.testing.assert_close(skipped, through_the_tower, atol=1e-6, rtol=0)  # other batch sizes in the towers
    only_text = {key: value[[0, 2]] for key, value in given.items()}
    through_the_tower = model.encode("query", **only_text)
    model.skip_missing = True
    assert torch.equal(model.encode("query", **only_text), through_the_tower)  # same batch sizes: bit for bit
    del only_text["pixel_values"]
    assert torch.equal(model.encode("query", **only_text), through_the_tower)


def test_masked_rows_may_hold_anything(folders, plugin):
    model = make(folders, plugin, global_features=True)
    given = inputs(model)
    before = model.encode("query", **given)
    given["pixel_values"][given["image_mask"] == 0] = torch.nan
    given["input_ids"][1] = 3
    assert torch.equal(model.encode("query", **given), before)


def test_missing_images_never_reach_the_vision_tower(folders, plugin):
    model = make(folders, plugin).eval()
    seen = []
    model.tower("query", "vision").register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    model.tower("query", "text").register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    model.query(**inputs(model))
    assert seen == [3, 2]


def test_each_modality_matters_where_it_is_present_and_only_there(folders, plugin):
    model = make(folders, plugin)
    given = inputs(model)
    base = model.encode("query", **given)
    other_images = inputs(model, seed=1)["pixel_values"]
    changed = (model.encode("query", **(given | {"pixel_values": other_images})) - base).abs().amax(dim=1)
    assert (changed > 1e-4).tolist() == [False, True, False, True]
    other_ids = given["input_ids"].flip(0)
    flipped = given | {"input_ids": other_ids, "attention_mask": given["attention_mask"].flip(0)}
    changed = (model.encode("query", **flipped) - base).abs().amax(dim=1)
    assert (changed > 1e-4).tolist() == [True, False, True, True]


def test_text_without_a_token_counts_as_missing(folders):
    model = make(folders)
    given = inputs(model)
    given["attention_mask"][2] = 0
    empty = model.encode("query", **given)
    given["text_mask"][2] = 0
    assert torch.equal(model.encode("query", **given), empty)
    assert torch.isfinite(empty).all()


def test_masks_default_to_present(folders):
    model = make(folders)
    given = inputs(model)
    explicit = model.encode("query", **(given | {"text_mask": torch.ones(B), "image_mask": torch.ones(B)}))
    del given["text_mask"], given["image_mask"]
    assert torch.equal(model.encode("query", **given), explicit)


def test_input_errors(folders):
    model = make(folders)
    given = inputs(model)
    with pytest.raises(ValueError, match="vision mask marks 2 items as present, but no vision input"):
        model.query(**(given | {"pixel_values": None}))
    with pytest.raises(ValueError, match="got neither"):
        model.query()
    with pytest.raises(ValueError, match="'query' or 'passage', got 'document'"):
        model(side="document", **given)


def test_one_encoder_serves_both_sides(folders):
    model = make(folders)
    given = inputs(model)
    assert torch.equal(model.encode("query", **given), model.encode("passage", **given))
    assert not any(name.startswith("passage_model") for name in model.state_dict())


@pytest.mark.parametrize(("share_text", "share_vision"), [(True, True), (False, True), (True, False)])
def test_two_encoders_share_what_they_are_told(folders, share_text, share_vision):
    model = make(folders, share_encoders=False, share_text_tower=share_text, share_vision_tower=share_vision)
    given = inputs(model)
    assert not torch.allclose(model.encode("query", **given), model.encode("passage", **given))
    names = set(model.state_dict())
    assert any(name.startswith("passage_model.text_model") for name in names) is not share_text
    assert any(name.startswith("passage_model.vision_model") for name in names) is not share_vision
    assert (model.tower("passage", "text") is model.tower("query", "text")) is share_text
    tensors = [tensor.data_ptr() for tensor in model.state_dict().values() if tensor.numel()]
    assert len(tensors) == len(set(tensors))  # no tensor twice: safetensors would refuse to save


@pytest.mark.parametrize(
    "changes", [{}, {"layer_strategy": "explicit", "text_layers": (1, 0), "vision_layers": (0, 2)}]
)
def test_no_parameter_is_without_gradient(folders, plugin, changes):
    """DDP stops on parameters that get no gradient: unused layers, norms and projections must be gone."""
    for extra in ({}, {"global_features": True}, {"share_encoders": False, "share_text_tower": False}):
        if extra.get("global_features") and changes:
            continue  # global features need the whole tower, so its upper layers are used as well
        model = make(folders, plugin, late_proj_output_size=5, **changes, **extra).train()
        given = inputs(model)
        (model.query(**given) @ model.passage(**given).T * model.scale()).pow(2).sum().backward()
        assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


def test_frozen_towers_stay_frozen_and_in_evaluation_mode(folders):
    model = make(folders, "clip_open_clip", vision_frozen=True)
    vision, text = model.tower("query", "vision"), model.tower("query", "text")
    assert model.train() is model  # ReT-1's returns None, which breaks chained calls
    assert not any(module.training for module in vision.modules())
    assert text.training
    assert model.query_model.ret_cell.training
    statistics = vision.visual.bn1.running_mean.clone()
    model.query(**inputs(model)).sum().backward()
    assert torch.equal(vision.visual.bn1.running_mean, statistics)
    assert all(p.grad is None and not p.requires_grad for p in vision.parameters())
    assert all(p.grad is not None for p in text.parameters())
    assert model.eval() is model


def pair_loss(query, passage):
    return (query @ passage.T).logsumexp(dim=1).sum()


def gradients_of(model, given, chunk):
    """Parameter gradients of one loss over query and passage vectors; chunk None: the whole batch at once."""
    model.zero_grad()
    if chunk is None:
        pair_loss(model.query(**given), model.passage(**given)).backward()
    else:
        chunks = cached_gradient.split(given, chunk)
        cached_gradient.backward(lambda part: (model.query(**part), model.passage(**part)), chunks, pair_loss)
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("chunk", [1, 3])
def test_cached_gradients_are_exact_with_batch_norms(folders, chunk):
    """The demo's image tower has batch norms: with statistics of the batch, each chunk would be another function."""
    model = make(folders, "clip_open_clip", dropout_p=0.0, attention_dropout=0.0).train()
    given = inputs(model)
    given["image_mask"] = torch.tensor([1, 1, 0, 1])
    statistics = {name: value.clone() for name, value in model.named_buffers() if "running" in name}
    plain, cached = gradients_of(model, given, None), gradients_of(model, given, chunk)
    assert sum("visual.bn" in name for name in plain) == 6  # scale and shift of three norms in the stem still learn
    assert plain.keys() == cached.keys()
    for name, gradient in plain.items():
        # fp32, sums in another order; gradients of this loss have sizes up to 10
        torch.testing.assert_close(cached[name], gradient, atol=1e-4, rtol=1e-3, msg=name)
    assert len(statistics) > 10
    assert all(torch.equal(value, statistics[name]) for name, value in model.named_buffers() if name in statistics)


def test_a_row_trains_the_same_in_any_batch(folders, plugin):
    """Rows of other ranks and chunks, or a black image instead of a missing one, change no vector in training mode."""
    model = make(folders, plugin, dropout_p=0.0, attention_dropout=0.0).train()
    given = inputs(model)
    whole = model.query(**given)
    alone = torch.cat([model.query(**cached_gradient.split(given, 1)[row]) for row in range(B)])
    torch.testing.assert_close(alone, whole, atol=1e-6, rtol=0)


def test_encode_leaves_the_mode_and_gives_no_graph(folders):
    model = make(folders).train()
    vectors = model.encode("query", **inputs(model))
    assert model.training
    assert not vectors.requires_grad
    model.eval()
    model.encode("query", **inputs(model))
    assert not model.training


def test_temperature_starts_at_clips_and_is_clamped_in_place(folders):
    model = make(folders)
    assert model.scale().item() == pytest.approx(1 / 0.07)
    model.logit_scale.data.fill_(9.0)
    scale = model.scale()
    assert scale.item() == pytest.approx(100)
    scale.backward()
    assert model.logit_scale.grad.item() == pytest.approx(100)  # still learning after the clamp


def test_build_depends_on_the_seed_alone(folders):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, again, other = make(folders), make(folders), make(folders, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    weights = [model.query_model.ret_cell.mlp[0].weight for model in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_parameter_counts_add_up(folders, plugin):
    model = make(folders, plugin, late_proj_output_size=5, text_frozen=True, global_features=True)
    counts = model.parameter_counts()
    parts = sum(counts[part] for part in ("text", "vision", "cell", "adapters", "late_proj", "global"))
    assert parts + 1 == counts["total"] == sum(p.numel() for p in model.parameters())  # 1: the temperature
    assert counts["trainable"] == counts["total"] - counts["text"]
    assert counts["late_proj"] == 12 * 5
    widths = {"clip_hf": 3 * (16 + 24), "clip_open_clip": 3 * 16 + 16 + 32 + 128}[plugin]
    assert counts["adapters"] == widths * 12 + 6 * 12
    single = make(folders, plugin, late_proj_output_size=5, text_frozen=True, share_encoders=False).parameter_counts()
    assert single["cell"] == 2 * counts["cell"]
    assert single["global"] == 0


@pytest.mark.parametrize(
    ("name", "layers"),
    [("tinyclip", {"text": (2, 5, 8), "vision": (3, 7, 11)}), ("vit_b32", {"text": (3, 7, 11), "vision": (3, 7, 11)})],
)
def test_retrievers_on_real_backbones_have_the_size_stated(name, layers):
    """At d = 1024 and k = 32: 25.2M in the cell, 3.55M in TinyCLIP's adapters; 143.5M in all, backbones being 115.4M.

    The towers lose what no step reads: each its final norm and its projection to the joint space.
    """
    whole = meta_backbone(name).parameter_counts()
    with torch.device("meta"):
        model = RetrieverModel(ReTConfig(), meta_backbone(name))
    counts, d = model.parameter_counts(), 1024
    text, vision = (model.tower("query", tower).widths[-1] for tower in ("text", "vision"))
    assert model.layers == layers
    assert counts["text"] == whole["text"] - 2 * text - text * 512
    assert counts["vision"] == whole["vision"] - 2 * vision - vision * 512
    assert counts["adapters"] == 3 * (text + vision + 2) * d
    assert counts["cell"] == 24 * d * d + 21 * d + 32 * d
    parts = ("text", "vision", "adapters", "cell", "late_proj", "global")
    assert counts["total"] == sum(counts[part] for part in parts) + 1  # 1: the temperature
    assert counts["trainable"] == counts["total"]
    if name == "tinyclip":
        assert counts["total"] == pytest.approx(143.5e6, rel=1e-3)


def test_low_precision_follows_full_precision(folders, plugin):
    model = make(folders, plugin, global_features=True).eval()
    given = inputs(model)
    full = model.encode("query", **given)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = model.encode("query", **given)
    assert mixed.dtype == torch.float32
    assert (full * mixed).sum(dim=1).min() > 0.99


def test_gradient_checkpointing_reaches_the_towers(folders):
    model = make(folders, dropout_p=0.0, attention_dropout=0.0)
    gradients = []
    for enable in (False, True):
        model.set_gradient_checkpointing(enable)
        model.zero_grad()
        model.query(**inputs(model)).pow(3).sum().backward()
        gradients.append([p.grad.clone() for p in model.tower("query", "text").parameters()])
    assert model.tower("query", "text").text_model.is_activation_checkpointing
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, checkpointed)


def test_config_errors_come_together():
    with pytest.raises(
        ValueError, match=r"(?s)hidden_size 13 must be even.*num_queries 20.*dropout_p 1.*logit_scale_init 9"
    ) as error:
        ReTConfig(hidden_size=13, num_queries=20, dropout_p=1.0, logit_scale_init=9.0)
    assert str(error.value).count("\n  - ") == 4
    with pytest.raises(ValueError, match="global_features needs one vector"):
        ReTConfig(global_features=True, pooling="none")
    with pytest.raises(ValueError, match="'explicit' needs the lists text_layers and vision_layers"):
        ReTConfig(layer_strategy="explicit", text_layers=(1,))
    with pytest.raises(ValueError, match="'explicit' only, not 'auto'"):
        ReTConfig(vision_layers=(1,))
    with pytest.raises(ValueError, match="differ in length"):
        ReTConfig(layer_strategy="explicit", text_layers=(1,), vision_layers=(1, 2))
    with pytest.raises(ValueError, match="not a multiple of its 5 heads"):
        ReTConfig(hidden_size=12, num_queries=3, num_heads=5)


def test_config_round_trip_and_unknown_keys():
    config = ReTConfig(**SMALL, layer_strategy="explicit", text_layers=(0,), vision_layers=(1,))
    assert settings.from_mapping(settings.to_mapping(config)) == config
    with pytest.raises(ValueError, match=r"hiden_size: unknown field. Did you mean `hidden_size`\?"):
        settings.from_mapping({"hiden_size": 3})
    with pytest.raises(ValueError, match=r"hidden_size: expected `int`, got `str`. Got 'wide' instead"):
        settings.from_mapping({"hidden_size": "wide"})
