"""The recurrent cell against an independent numpy version of its equations, and what its masks promise."""

import math
from itertools import product

import numpy as np
import pytest
import torch

from retcap.retriever import layers
from retcap.retriever.cell import Modality, RetCell, sinusoids
from retcap.retriever.config import ReTConfig

pytestmark = pytest.mark.numeric

B, K, H, T, P = 3, 4, 8, 5, 6
HEADS = 2


def make_cell(**changes):
    torch.manual_seed(0)
    config = ReTConfig(hidden_size=H, num_queries=K, num_heads=HEADS, **changes)
    cell = RetCell(config).eval()
    for parameter in cell.parameters():  # biases and norms start at 0 and 1; move them so that each one matters
        parameter.data.add_(torch.randn_like(parameter) * 0.3)
    return cell


def make_inputs(seed=1):
    generator = torch.Generator().manual_seed(seed)
    text, vision = torch.randn(B, T, H, generator=generator), torch.randn(B, P, H, generator=generator)
    token_mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]]).bool()
    return text, vision, token_mask


# The equations, once more, in numpy and float64, from the fact that a head is a slice of channels.


def numpy_cell(weights, state, text, vision, token_mask, text_mask, vision_mask, *, phi, activation, b_in, b_forget):
    w = {name: tensor.double().numpy() for name, tensor in weights.items()}
    state = state + w["query_state_ids"]
    query = norm(state, w, "xa_ln")
    residual = state + attend(query, query, w, "sa", np.ones((B, K), bool))
    t = attend(query, norm(text, w, "text_ln"), w, "text_xa", token_mask)
    v = attend(query, norm(vision, w, "vision_ln"), w, "vision_xa", np.ones((B, P), bool))
    m_t, m_v = text_mask[:, None, None], vision_mask[:, None, None]
    i_t = m_t * sigmoid(linear(t, w, "text_input_gate_w") + b_in)
    i_v = m_v * sigmoid(linear(v, w, "vision_input_gate_w") + b_in)
    forget = m_t * linear(t, w, "text_forget_gate_w") + m_v * linear(v, w, "vision_forget_gate_w") + b_forget
    fused = phi(residual) * sigmoid(forget) + phi(t) * i_t + phi(v) * i_v
    return fused + linear(activation(linear(norm(fused, w, "mlp_ln"), w, "mlp.0")), w, "mlp.3")


def linear(x, w, name):
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def norm(x, w, name):
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]


def attend(query, keys, w, name, keep):
    w_q, w_k, w_v = np.split(w[f"{name}.in_proj_weight"], 3)
    b_q, b_k, b_v = np.split(w.get(f"{name}.in_proj_bias", np.zeros(3 * H)), 3)
    q, k, v = query @ w_q.T + b_q, keys @ w_k.T + b_k, keys @ w_v.T + b_v
    out, width = np.zeros_like(q), H // HEADS
    for item, head in product(range(B), range(HEADS)):
        part = slice(head * width, (head + 1) * width)
        scores = q[item, :, part] @ k[item, keep[item], part].T / math.sqrt(width)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        out[item, :, part] = weights / weights.sum(-1, keepdims=True) @ v[item, keep[item], part]
    return out @ w[f"{name}.out_proj.weight"].T + w.get(f"{name}.out_proj.bias", 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gelu(x):
    return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2


@torch.no_grad()
@pytest.mark.parametrize(("use_tanh", "activation"), [(False, "gelu"), (True, "relu")])
def test_three_steps_equal_the_numpy_equations(use_tanh, activation):
    cell = make_cell(
        use_tanh=use_tanh, activation_fn=activation, input_gate_bias_prior=0.7, forget_gate_bias_prior=-0.4
    )
    text_mask, vision_mask = torch.tensor([1.0, 0.0, 1.0]), torch.tensor([1.0, 1.0, 0.0])
    state, expected = cell.start(B), cell.start(B).double().numpy()
    options = {
        "phi": np.tanh if use_tanh else lambda x: x,
        "activation": gelu if activation == "gelu" else lambda x: np.maximum(x, 0),
        "b_in": 0.7,
        "b_forget": -0.4,
    }
    for step in range(3):
        text, vision, token_mask = make_inputs(seed=step)
        state = cell(state, Modality(text, text_mask, None, token_mask), Modality(vision, vision_mask))
        arrays = [tensor.double().numpy() for tensor in (text, vision)]
        masks = [token_mask.numpy(), text_mask.numpy(), vision_mask.numpy()]
        expected = numpy_cell(cell.state_dict(), expected, *arrays, *masks, **options)
    np.testing.assert_allclose(state.numpy(), expected, atol=1e-5)  # fp32 against fp64


@torch.no_grad()
def test_position_code_is_added_at_every_step():
    cell = make_cell()
    text, vision, token_mask = make_inputs()
    modalities = Modality(text, torch.ones(B), None, token_mask), Modality(vision, torch.ones(B))
    once = cell(cell.start(B), *modalities)
    cell.query_state_ids.zero_()
    assert not torch.allclose(cell(once, *modalities), once)
    shifted = cell(once + sinusoids(K, H), *modalities)
    cell.query_state_ids.copy_(sinusoids(K, H)[None])
    torch.testing.assert_close(cell(once, *modalities), shifted)


@torch.no_grad()
def test_missing_rows_equal_a_masked_filler_exactly():
    cell = make_cell()
    text, vision, token_mask = make_inputs()
    present = torch.tensor([1.0, 0.0, 1.0])
    rows = torch.tensor([0, 2])
    whole = Modality(text, torch.ones(B), None, token_mask)
    filler = cell(cell.start(B), whole, Modality(vision, present))
    skipped = cell(cell.start(B), whole, Modality(vision[rows], present, rows))
    assert torch.equal(filler[1], skipped[1])  # the item without an image: bit for bit
    torch.testing.assert_close(filler, skipped, atol=1e-6, rtol=0)  # others: attention over another batch size
    absent = cell(cell.start(B), whole, None)
    assert torch.equal(absent, cell(cell.start(B), whole, Modality(vision, torch.zeros(B))))


@torch.no_grad()
def test_padding_is_invisible():
    cell = make_cell()
    text, vision, token_mask = make_inputs()
    seen = Modality(vision, torch.ones(B))
    before = cell(cell.start(B), Modality(text, torch.ones(B), None, token_mask), seen)
    text[~token_mask] = 1e4
    after = cell(cell.start(B), Modality(text, torch.ones(B), None, token_mask), seen)
    assert torch.equal(before, after)


@torch.no_grad()
def test_neither_modality_gives_one_fixed_state():
    cell = make_cell(forget_gate_bias_prior=0.0)
    text, vision, token_mask = make_inputs()
    zeros = torch.zeros(B)
    masked = cell(cell.start(B), Modality(text, zeros, None, token_mask), Modality(vision, zeros))
    assert torch.equal(masked, cell(cell.start(B), None, None))
    assert torch.equal(masked[0], masked[1])


def test_every_parameter_gets_a_gradient():
    cell = make_cell().train()
    text, vision, token_mask = make_inputs()
    rows = torch.tensor([0, 2])
    present = torch.tensor([1.0, 0.0, 1.0])
    state = cell.start(B)
    for _ in range(2):
        state = cell(state, Modality(text, torch.ones(B), None, token_mask), Modality(vision[rows], present, rows))
    state.square().sum().backward()
    assert [name for name, p in cell.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_dropout_acts_in_training_only():
    text, vision, token_mask = make_inputs()
    modalities = Modality(text, torch.ones(B), None, token_mask), Modality(vision, torch.ones(B))
    for options in ({"dropout_p": 0.5}, {"attention_dropout": 0.5}):
        cell = make_cell(**({"dropout_p": 0.0, "attention_dropout": 0.0} | options))
        assert torch.equal(cell(cell.start(B), *modalities), cell(cell.start(B), *modalities))
        cell.train()
        assert not torch.equal(cell(cell.start(B), *modalities), cell(cell.start(B), *modalities))


def test_parameter_count_formula():
    """Self-attention 4d2+4d, two cross-attentions 8d2, MLP 8d2+5d, gates 4d2+4d, four norms 8d, queries kd."""
    with torch.device("meta"):
        cell = RetCell(ReTConfig(hidden_size=1024, num_queries=32))
    d, k = 1024, 32
    assert sum(p.numel() for p in cell.parameters()) == 24 * d * d + (4 + 5 + 4 + 8) * d + k * d
    assert ReTConfig().heads == 16


def test_sinusoids_by_hand():
    code = sinusoids(3, 4)
    assert code[0].tolist() == [0, 1, 0, 1]
    expected = [math.sin(2), math.cos(2), math.sin(2 / 100), math.cos(2 / 100)]  # 10000 ** (2 / 4) = 100
    assert code[2].tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (9, (2, 5, 8)),
        (12, (3, 7, 11)),
        (24, (7, 15, 23)),
        (32, (9, 20, 31)),
        (48, (15, 31, 47)),
        (4, (0, 1, 3)),
        (1, (0, 0, 0)),
    ],
)
def test_auto_layers(count, expected):
    assert layers.auto_layers(count) == expected


def test_named_strategies_have_the_published_layers():
    shapes = {"clip_vit_b": (12, 12), "clip_vit_l": (12, 24), "openclip_vit_h": (24, 32), "openclip_vit_g": (32, 48)}
    assert sorted(shapes) == sorted(layers.NAMED)
    for name, (text_count, vision_count) in shapes.items():
        text, vision = layers.resolve(name, text_layers=text_count, vision_layers=vision_count)
        assert len(text) == len(vision) == (16 if name == "openclip_vit_g" else 12)
    assert layers.NAMED["clip_vit_l"][1][-1] == 22  # the last layer is not read
    assert layers.NAMED["openclip_vit_h"][1] == (0, 2, 5, 8, 11, 14, 17, 20, 23, 26, 29, 31)
    assert layers.NAMED["openclip_vit_g"][0] == (0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 31)
    assert layers.NAMED["openclip_vit_g"][1][0] == 2
    assert layers.NAMED["openclip_vit_g"][1][-1] == 47


def test_layer_errors_name_the_remedy():
    both = {"text_layers": 5, "vision_layers": 6}
    with pytest.raises(ValueError, match=r"text layers \[5, .*11\] do not exist, the tower has 5"):
        layers.resolve("clip_vit_b", **both)
    with pytest.raises(ValueError, match=r"2 text layers .* and 1 vision layers"):
        layers.resolve("explicit", **both, explicit_text=[0, 1], explicit_vision=[3])
    with pytest.raises(ValueError, match=r"vision layers \[-1\] do not exist"):
        layers.resolve("explicit", **both, explicit_text=[0], explicit_vision=[-1])
    with pytest.raises(ValueError, match="'explicit' only"):
        layers.resolve("auto", **both, explicit_text=[0])
    with pytest.raises(ValueError, match=r"'each' is unknown. Choose one of auto, explicit"):
        layers.resolve("each", **both)
    assert layers.resolve("explicit", **both, explicit_text=[4, 0], explicit_vision=[5, 5]) == ((4, 0), (5, 5))
