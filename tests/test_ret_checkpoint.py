"""Saving and loading retrievers by name: atomic folders, strict key lists, ReT-1 checkpoints."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from retcap import plugins
from retcap.retriever import checkpoint
from retcap.retriever.config import ReTConfig
from retcap.retriever.model import RetrieverModel
from tiny_backbones import save_hf_clip, save_open_clip

TEXTS = ["a red disc", "a blue square and a ring"]
SMALL = {"hidden_size": 12, "num_queries": 3, "num_heads": 2, "late_proj_output_size": 5}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("backbones")
    return {
        "clip_hf": save_hf_clip(root / "hf"),
        "clip_open_clip": save_open_clip(root / "resnet", "resnet"),
    }


def make(folders, plugin="clip_hf", seed=0, **changes):
    backbone = plugins.load("backbones", plugin).load(folders[plugin])
    return RetrieverModel.build(ReTConfig(**(SMALL | changes)), backbone, seed=seed).eval()


def inputs(model):
    ids, mask = model.tokenizer(TEXTS)
    side = model.image.side_px
    images = torch.randint(0, 256, (2, side, side, 3), generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "attention_mask": mask, "pixel_values": model.image.normalise(images.to(torch.uint8))}


@pytest.mark.parametrize("plugin", ["clip_hf", "clip_open_clip"])
@pytest.mark.parametrize(
    "changes", [{}, {"share_encoders": False, "share_text_tower": False, "global_features": True, "text_frozen": True}]
)
def test_saved_model_loads_with_equal_vectors(folders, tmp_path, plugin, changes):
    model = make(folders, plugin, **changes)
    model.logit_scale.data.fill_(3.25)
    given = inputs(model)
    state = torch.get_rng_state()
    again = RetrieverModel.from_pretrained(model.save_pretrained(tmp_path / "model"))
    assert torch.equal(torch.get_rng_state(), state)
    assert again.config == model.config
    assert again.logit_scale.item() == 3.25
    for side in ("query", "passage"):
        assert torch.equal(again.encode(side, **inputs(again)), model.encode(side, **given))
    assert again.parameter_counts() == model.parameter_counts()
    names = {file.name for file in (tmp_path / "model").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= names
    assert [file.name for file in tmp_path.iterdir()] == ["model"]  # no scratch folders left


def test_model_is_whole_after_saving(folders, tmp_path):
    """ReT-1 sets shared modules to None while saving and does not put them back."""
    model = make(folders, share_encoders=False)
    before = model.encode("passage", **inputs(model))
    names = list(model.state_dict())
    model.save_pretrained(tmp_path / "model")
    assert list(model.state_dict()) == names
    assert torch.equal(model.encode("passage", **inputs(model)), before)


def test_two_saves_give_the_same_bytes(folders, tmp_path):
    model = make(folders)
    first, second = (model.save_pretrained(tmp_path / name) for name in ("a", "b"))
    compared = 0
    for file in sorted(first.iterdir()):
        assert file.read_bytes() == (second / file.name).read_bytes()
        compared += 1
    assert compared >= 4


def test_saving_replaces_an_old_folder_as_a_whole(folders, tmp_path):
    folder = make(folders, seed=0).save_pretrained(tmp_path / "model")
    (folder / "stale.txt").write_text("old")
    newer = make(folders, seed=1)
    newer.save_pretrained(folder)
    assert not (folder / "stale.txt").exists()
    again = RetrieverModel.from_pretrained(folder)
    assert torch.equal(again.encode("query", **inputs(again)), newer.encode("query", **inputs(newer)))


def test_failed_save_keeps_the_old_folder(folders, tmp_path, monkeypatch):
    folder = make(folders).save_pretrained(tmp_path / "model")
    before = (folder / "model.safetensors").read_bytes()

    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(checkpoint, "save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        make(folders, seed=1).save_pretrained(folder)
    assert (folder / "model.safetensors").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def edit(folder, change):
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def test_every_unfit_key_is_named_and_nothing_is_loaded(folders, tmp_path):
    folder = make(folders).save_pretrained(tmp_path / "model")

    def change(state):
        del state["query_model.ret_cell.mlp.0.bias"]
        state["query_model.extra.weight"] = torch.zeros(2)
        state["query_model.late_proj.weight"] = torch.zeros(4, 12)

    edit(folder, change)
    with pytest.raises(checkpoint.CheckpointMismatch) as error:
        RetrieverModel.from_pretrained(folder)
    text = str(error.value)
    assert "3 keys do not fit" in text
    assert "missing: query_model.ret_cell.mlp.0.bias" in text
    assert "unexpected: query_model.extra.weight" in text
    assert "misshapen: query_model.late_proj.weight (4, 12) in the file, (5, 12) here" in text
    assert error.value.report.missing == ("query_model.ret_cell.mlp.0.bias",)
    target = make(folders, seed=3)
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    with pytest.raises(checkpoint.CheckpointMismatch):
        checkpoint.load_weights(target, folder)
    assert all(torch.equal(tensor, before[name]) for name, tensor in target.state_dict().items())


def test_unfit_keys_can_be_allowed_by_name_only(folders, tmp_path):
    model = make(folders)
    folder = model.save_pretrained(tmp_path / "model")
    edit(folder, lambda state: state.update({"query_model.late_proj.weight": torch.zeros(4, 12)}))
    with pytest.raises(checkpoint.CheckpointMismatch):
        RetrieverModel.from_pretrained(folder, allow=["passage_model.*"])
    again, report = checkpoint.load(folder, allow=["query_model.late_proj.*"])
    assert len(report.misshapen) == 1
    assert again.query_model.late_proj.weight.shape == (5, 12)
    assert torch.equal(again.query_model.ret_cell.sa.in_proj_weight, model.query_model.ret_cell.sa.in_proj_weight)


@pytest.mark.parametrize("wrapped", [True, False], ids=["transformers4", "transformers5"])
@pytest.mark.parametrize("shared", [True, False])
def test_ret1_checkpoints_load_by_name(folders, tmp_path, wrapped, shared):
    """A synthetic checkpoint with ReT-1's key layout: whole towers, the norm nothing reads, old position numbers."""
    folder, state = save_ret1(tmp_path / "ret1", folders["clip_hf"], wrapped=wrapped, shared=shared)
    text = (folder / "config.json").read_text()
    with pytest.raises(FileNotFoundError, match=r"hold no tokenizer\. Pass tokenizer_source='its text backbone'"):
        RetrieverModel.from_pretrained(folder)
    model, report = checkpoint.load(folder, tokenizer_source=folders["clip_hf"])
    assert (folder / "config.json").read_text() == text
    assert report.missing == ("logit_scale",)
    assert report.unexpected == report.misshapen == ()
    assert {key.split(".")[2] for key in report.unused} >= {"sa_ln", "text_model", "vision_model"}
    assert model.config.pooling == "none"
    assert model.config.share_encoders is shared
    assert model.layers == {"text": tuple(range(12)), "vision": tuple(range(12))}
    assert model.logit_scale.item() == pytest.approx(2.6593, abs=1e-4)
    loaded = model.state_dict()
    compared = 0
    for key, tensor in state.items():
        if checkpoint.canonical_key(key) not in report.unused:
            assert torch.equal(loaded[checkpoint.canonical_key(key)], tensor), key
            compared += 1
    assert compared == len(loaded) - 1
    assert model.encode("query", **inputs(model)).shape == (2, 3, 5)


def save_ret1(folder, backbone_folder, *, wrapped, shared):
    """Twelve-layer towers (the strategy clip_vit_b) plus one more text layer that no step reads."""
    from transformers import CLIPConfig, CLIPModel

    source = json.loads((backbone_folder / "config.json").read_text())
    text = source["text_config"] | {"num_hidden_layers": 13, "model_type": "clip_text_model"}
    vision = source["vision_config"] | {"num_hidden_layers": 12, "model_type": "clip_vision_model"}
    torch.manual_seed(3)
    clip = CLIPModel(CLIPConfig(text_config=text, vision_config=vision)).state_dict()
    state = {}
    for name, tensor in clip.items():
        tower, _, rest = name.partition(".")
        if tower in ("text_model", "vision_model"):
            inner = f"{tower}." if wrapped else ""
            state[f"query_model.{tower}.{inner}{rest}"] = tensor
    inner = "text_model." if wrapped else ""
    state[f"query_model.text_model.{inner}embeddings.position_ids"] = torch.arange(12)[None]
    for side in ("query_model",) if shared else ("query_model", "passage_model"):
        state |= {f"{side}.{name}": torch.randn(shape) for name, shape in ret1_shapes().items()}
    cell = {
        "hidden_size": 64,
        "num_queries": 3,
        "late_proj_output_size": 5,
        "text_config": text,
        "vision_config": vision,
    }
    config = {
        "model_type": "retriever",
        "query_config": {"model_type": "ret", "layer_strategy": "clip_vit_b", **cell},
        "passage_config": None if shared else {"model_type": "ret", "layer_strategy": "clip_vit_b", **cell},
        "share_query_passage_models": shared,
    }
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    names = sorted(state)  # in two shards, as large checkpoints are
    for number, part in enumerate((names[::2], names[1::2])):
        save_file({name: state[name].contiguous() for name in part}, folder / f"model-{number}.safetensors")
    index = {name: f"model-{number % 2}.safetensors" for number, name in enumerate(names)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    return folder, state


def ret1_shapes(d=64, k=3, output=5):
    shapes = {"late_proj.weight": (output, d), "ret_cell.query_hidden_states": (1, k, d)}
    shapes |= {"ret_cell.query_state_ids": (1, k, d)}
    shapes |= {f"ret_cell.{gate}_gate_bias_prior": () for gate in ("input", "forget")}
    shapes |= {"ret_cell.sa.in_proj_weight": (3 * d, d), "ret_cell.sa.in_proj_bias": (3 * d,)}
    shapes |= {"ret_cell.sa.out_proj.weight": (d, d), "ret_cell.sa.out_proj.bias": (d,)}
    for modality, width in (("text", 16), ("vision", 24)):
        shapes |= {f"ret_cell.{modality}_xa.in_proj_weight": (3 * d, d)}
        shapes |= {f"ret_cell.{modality}_xa.out_proj.weight": (d, d)}
        for gate in ("input", "forget"):
            shapes |= {f"ret_cell.{modality}_{gate}_gate_w.weight": (d, d)}
            shapes |= {f"ret_cell.{modality}_{gate}_gate_w.bias": (d,)}
        for step in range(12):
            shapes |= {f"{modality}_adapter.{step}.weight": (d, width), f"{modality}_adapter.{step}.bias": (d,)}
    for norm in ("xa_ln", "text_ln", "vision_ln", "sa_ln", "mlp_ln"):
        shapes |= {f"ret_cell.{norm}.weight": (d,), f"ret_cell.{norm}.bias": (d,)}
    shapes |= {"ret_cell.mlp.0.weight": (4 * d, d), "ret_cell.mlp.0.bias": (4 * d,)}
    return shapes | {"ret_cell.mlp.3.weight": (d, 4 * d), "ret_cell.mlp.3.bias": (d,)}


def test_foreign_folders_are_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match=r"model_type 'bert' is no retriever.*'retcap_ret2'.*'retriever'"):
        RetrieverModel.from_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder, and not a hub id"):
        RetrieverModel.from_pretrained(tmp_path / "nothing")


def test_pickles_and_outside_paths_are_refused(folders, tmp_path):
    folder = make(folders).save_pretrained(tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match="safetensors only"):
        RetrieverModel.from_pretrained(folder)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../model.safetensors"}}')
    with pytest.raises(ValueError, match="lies outside the folder"):
        RetrieverModel.from_pretrained(folder)
