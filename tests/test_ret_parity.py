"""Our forward pass against the public ReT-1 code: same weights, same inputs.

Runs only where RETCAP_RET_CHECKOUT names a checkout of https://github.com/aimagelab/ReT (checked with commit 3fee6aa):
`RETCAP_RET_CHECKOUT=~/ReT pytest tests/test_ret_parity.py`. Nothing of that code is part of this project.
"""

import os
import sys
from pathlib import Path

import pytest
import torch

from retcap.retriever import checkpoint
from tiny_backbones import save_hf_clip

CHECKOUT = os.environ.get("RETCAP_RET_CHECKOUT")
pytestmark = pytest.mark.skipif(not CHECKOUT, reason="RETCAP_RET_CHECKOUT names no checkout of aimagelab/ReT")

CELL = {"hidden_size": 128, "num_queries": 5, "late_proj_output_size": 7, "layer_strategy": "clip_vit_b"}


@pytest.fixture(scope="module")
def ret1():
    sys.path.insert(0, str(Path(CHECKOUT)))
    try:
        from src.models.ret import RetConfig, RetModel
        from src.models.retriever import RetrieverConfig
        from src.models.retriever.modeling_retriever import RetrieverModel

        yield {"cell": RetConfig, "encoder": RetModel, "config": RetrieverConfig, "model": RetrieverModel}
    finally:
        sys.path.remove(str(Path(CHECKOUT)))
        for name in [name for name in sys.modules if name == "src" or name.startswith("src.")]:
            del sys.modules[name]


@pytest.mark.parametrize("extra", [{}, {"use_tanh": True, "activation_fn": "relu"}, {"use_pooler_features": True}])
@torch.no_grad()
def test_outputs_equal_the_public_code(ret1, tmp_path, extra):
    import json

    from safetensors.torch import save_file

    source = save_hf_clip(tmp_path / "hf")
    parts = json.loads((source / "config.json").read_text())
    text = parts["text_config"] | {"num_hidden_layers": 12, "model_type": "clip_text_model"}
    vision = parts["vision_config"] | {"num_hidden_layers": 12, "model_type": "clip_vision_model"}

    def side():
        return ret1["cell"](text_config=dict(text), vision_config=dict(vision), **CELL, **extra)

    torch.manual_seed(4)
    theirs = ret1["model"](
        ret1["config"](query_config=side(), passage_config=side(), fg_loss=not extra.get("use_pooler_features"))
    )
    theirs.train(False)  # its eval() returns None
    for parameter in theirs.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.05)
    folder = tmp_path / "ret1"
    folder.mkdir()
    config = {"model_type": "retriever", "share_query_passage_models": False}
    cell = {"text_config": text, "vision_config": vision, **CELL, **extra}
    (folder / "config.json").write_text(json.dumps(config | {"query_config": cell, "passage_config": cell}))
    shared = ("passage_model.text_model.", "passage_model.vision_model.")  # saved once, under query_model
    state = {name: t.contiguous() for name, t in theirs.state_dict().items() if not name.startswith(shared)}
    save_file(state, folder / "model.safetensors")
    ours, report = checkpoint.load(folder, tokenizer_source=source)
    assert report.missing == ("logit_scale",)

    ids, mask = ours.tokenizer(["a red disc", "", "a blue square and a ring"])
    given = {
        "input_ids": ids,
        "attention_mask": mask,
        "pixel_values": torch.randn(3, 3, 16, 16),
        "text_mask": torch.tensor([1, 0, 1]),
        "image_mask": torch.tensor([1, 1, 0]),
    }
    masks = {name: given[name].float() for name in ("text_mask", "image_mask")}  # its gates need floats
    for name, encoder in (("query", theirs.query_model), ("passage", theirs.passage_model)):
        expected = encoder(**(given | masks)).ret_features
        expected = torch.nn.functional.normalize(expected, dim=-1)
        torch.testing.assert_close(ours.encode(name, **given), expected, atol=1e-5, rtol=0)
