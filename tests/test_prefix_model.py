"""The prefix captioner against equations written out here, the published shapes, and a checkout of the original code.

RETCAP_CLIPCAP names that checkout (the folder with train.py); the tests that need it skip where it is not set.
"""

import importlib.util
import math
import os
import sys
import types
from pathlib import Path

import pytest
import torch

import tiny_gpt2
from retcap.prefix import mappers, original
from retcap.prefix.model import PrefixCaptioner, with_lora

D, E, K, B, T = 6, tiny_gpt2.WIDTH, 3, 4, 5


def mapper(kind: str, length: int = K, **sizes: int) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return mappers.build(kind, D, E, length, matched_to=2, layers=2, heads=2, **sizes)


def captioner(kind: str = mappers.MLP, tuning: str = "tuned") -> PrefixCaptioner:
    gpt = tiny_gpt2.build()
    return PrefixCaptioner(mapper(kind), with_lora(gpt, 2, 4) if tuning == "lora" else gpt, K, tuning)  # type: ignore


def batch(seed: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.tensor([5, 2, 1, 4])
    tokens = torch.randint(tiny_gpt2.VOCABULARY, (B, T), generator=generator)
    return torch.randn(B, D, generator=generator), tokens, torch.arange(T) < lengths[:, None]


def norm(x, weight, bias):
    centred = x - x.mean()
    return centred / math.sqrt(float((centred**2).mean()) + 1e-5) * weight + bias


def gpt2_log_probabilities(weights: dict, inputs: list) -> list:
    """GPT-2 (Radford et al. 2019) one position at a time, on embeddings: what it expects after each of them."""
    states = [x + weights["transformer.wpe.weight"][at] for at, x in enumerate(inputs)]
    for layer in range(tiny_gpt2.LAYERS):
        own = {name.split(f"h.{layer}.")[1]: value for name, value in weights.items() if f".h.{layer}." in name}
        normed = [norm(x, own["ln_1.weight"], own["ln_1.bias"]) for x in states]
        parts = [(x @ own["attn.c_attn.weight"] + own["attn.c_attn.bias"]).split(E) for x in normed]
        for at in range(len(states)):
            heads = []
            for head in range(tiny_gpt2.HEADS):
                part = slice(head * E // tiny_gpt2.HEADS, (head + 1) * E // tiny_gpt2.HEADS)
                scores = torch.stack([parts[at][0][part] @ parts[other][1][part] for other in range(at + 1)])
                shares = (scores / math.sqrt(E // tiny_gpt2.HEADS)).softmax(0)
                heads.append(sum(share * parts[other][2][part] for other, share in enumerate(shares)))
            states[at] = states[at] + torch.cat(heads) @ own["attn.c_proj.weight"] + own["attn.c_proj.bias"]
        for at, x in enumerate(states):
            inner = norm(x, own["ln_2.weight"], own["ln_2.bias"]) @ own["mlp.c_fc.weight"] + own["mlp.c_fc.bias"]
            inner = 0.5 * inner * (1 + torch.tanh(math.sqrt(2 / math.pi) * (inner + 0.044715 * inner**3)))
            states[at] = x + inner @ own["mlp.c_proj.weight"] + own["mlp.c_proj.bias"]
    ended = [norm(x, weights["transformer.ln_f.weight"], weights["transformer.ln_f.bias"]) for x in states]
    return [(weights["transformer.wte.weight"] @ x).log_softmax(0) for x in ended]


def plain_prefix(model: PrefixCaptioner, vector) -> list:
    """The equations of both mappers, one vector and one position at a time."""
    own = dict(model.clip_project.state_dict())
    if "prefix_const" not in own:
        hidden = torch.tanh(own["model.0.weight"] @ vector + own["model.0.bias"])
        return list((own["model.2.weight"] @ hidden + own["model.2.bias"]).view(K, E))
    states = [*(own["linear.weight"] @ vector + own["linear.bias"]).view(-1, E), *own["prefix_const"]]
    for layer in range(2):
        part = {n.split(f"layers.{layer}.")[1]: v for n, v in own.items() if f"layers.{layer}." in n}
        normed = [norm(x, part["norm1.weight"], part["norm1.bias"]) for x in states]
        queries = [part["attn.to_queries.weight"] @ x for x in normed]
        both = [(part["attn.to_keys_values.weight"] @ x).view(2, 2, E // 2) for x in normed]  # (k or v, head, size)
        mixed = []
        for query in queries:
            heads = []
            for head in range(2):
                scores = torch.stack([query.view(2, -1)[head] @ pair[0, head] for pair in both]) * (E // 2) ** -0.5
                heads.append(sum(share * pair[1, head] for share, pair in zip(scores.softmax(0), both, strict=True)))
            mixed.append(part["attn.project.weight"] @ torch.cat(heads) + part["attn.project.bias"])
        states = [x + y for x, y in zip(states, mixed, strict=True)]
        for at, x in enumerate(states):
            inner = part["mlp.fc1.weight"] @ norm(x, part["norm2.weight"], part["norm2.bias"]) + part["mlp.fc1.bias"]
            states[at] = x + part["mlp.fc2.weight"] @ inner.clamp(min=0) + part["mlp.fc2.bias"]
    return states[-K:]


@pytest.mark.parametrize("kind", mappers.KINDS)
def test_the_loss_is_that_of_equations_written_out_one_position_at_a_time(kind: str):
    model = captioner(kind).double().eval()
    vectors, tokens, mask = batch()
    weights = dict(model.gpt.state_dict())
    expected = []
    for vector, caption, known in zip(vectors.double(), tokens, mask, strict=True):
        words = [int(token) for token, there in zip(caption, known, strict=True) if there]  # no padding at all
        inputs = plain_prefix(model, vector) + [weights["transformer.wte.weight"][word] for word in words[:-1]]
        said = gpt2_log_probabilities(weights, inputs)[K - 1 :]
        expected += [float(step[word]) for step, word in zip(said, words, strict=True)]
    total, count = model.log_likelihood(vectors.double(), tokens, mask)
    assert int(count) == len(expected) == int(mask.sum())
    assert float(total) == pytest.approx(sum(expected), rel=1e-12)


def test_token_0_is_learnt_and_padding_is_not():
    model = captioner().eval()
    vectors, tokens, mask = batch()
    tokens[:, 0] = 0
    with_zero = model.log_likelihood(vectors, tokens, mask)
    assert int(with_zero[1]) == int(mask.sum())
    changed = torch.where(mask, tokens, (tokens + 5) % tiny_gpt2.VOCABULARY)
    assert torch.equal(model.log_likelihood(vectors, changed, mask)[0], with_zero[0])
    total = with_zero[0]
    total.backward()
    assert model.gpt.transformer.wte.weight.grad[0].abs().sum() > 0


def test_a_frozen_gpt2_neither_drops_out_nor_gets_gradients():
    gpt = tiny_gpt2.build(resid_pdrop=0.5, embd_pdrop=0.5, attn_pdrop=0.5)
    model = PrefixCaptioner(mapper(mappers.MLP), gpt, K, "frozen").train()
    first, second = (model.log_likelihood(*batch())[0] for _ in range(2))
    assert torch.equal(first, second)
    first.backward()
    assert all(value.grad is None for value in model.gpt.parameters())
    assert all(value.grad is not None for value in model.clip_project.parameters())
    tuned = PrefixCaptioner(mapper(mappers.MLP), gpt.requires_grad_(True), K, "tuned").train()
    assert not torch.equal(*(tuned.log_likelihood(*batch())[0] for _ in range(2)))


def test_lora_starts_at_gpt2_itself_and_trains_its_updates_alone():
    plain, model = captioner(tuning="frozen"), captioner(tuning="lora")
    assert torch.allclose(plain(*batch()), model(*batch()), atol=1e-6)
    trained = {name for name in model.trained_state() if name.startswith("gpt.")}
    # A and B of c_attn, both c_proj and c_fc in every block
    assert len(trained) == 2 * 4 * tiny_gpt2.LAYERS
    assert all("lora_" in name for name in trained)


def test_lora_merges_into_the_original_format():
    model = captioner(tuning="lora")
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lora_B" in name:
                value.normal_()
    merged = original.captioner(original.state(model), tiny_gpt2.build())
    assert torch.allclose(merged(*batch()), model(*batch()), atol=1e-4)  # fp32, sums of 8 to 32 terms
    assert not torch.allclose(captioner()(*batch()), model(*batch()), atol=1e-2)


@pytest.mark.parametrize("kind", mappers.KINDS)
@pytest.mark.parametrize("tuning", ["frozen", "tuned", "lora"])
def test_what_is_trained_can_be_put_back(kind: str, tuning: str):
    model = captioner(kind, tuning)
    state = {name: value + 1 for name, value in model.trained_state().items()}
    other = captioner(kind, tuning)
    other.load_trained(state)
    assert all(torch.equal(value, state[name]) for name, value in other.trained_state().items())
    with pytest.raises(ValueError, match="1 names differ, as clip_project"):
        other.load_trained({name: value for name, value in state.items() if name != next(iter(state))})


@pytest.mark.parametrize(("length", "count"), [(1, 492_672), (10, 31_468_800), (20, 121_920_000), (40, 479_769_600)])
def test_the_published_mlp_has_the_published_parameters(length: int, count: int):
    with torch.device("meta"):
        model = mappers.MlpMapper(512, 768, length)
    assert sum(value.numel() for value in model.parameters()) == count
    assert mappers.mlp_parameters(512, 768, length, mappers.published_hidden(768, length)) == count


@pytest.mark.parametrize(
    ("size", "length", "count"),
    [(512, 10, 41_745_408), (640, 10, 42_728_448), (512, 40, 53_587_968), (640, 40, 57_520_128)],
)
def test_the_published_transformer_has_the_published_parameters(size: int, length: int, count: int):
    with torch.device("meta"):
        model = mappers.TransformerMapper(size, 768, length)
    assert sum(value.numel() for value in model.parameters()) == count


@pytest.mark.parametrize("length", [1, 5, 10, 20, 40])
def test_matched_mlps_differ_by_less_than_a_thousandth(length: int):
    hidden = mappers.matched_hidden(512, 768, length, like=10)
    count = mappers.mlp_parameters(512, 768, length, hidden)
    assert count == pytest.approx(31_468_800, rel=1e-3)


def published_shapes(kind: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the original's state dict for GPT-2 small: 153 with the MLP."""
    blocks = {
        "ln_1.weight": (768,), "ln_1.bias": (768,), "attn.c_attn.weight": (768, 2304), "attn.c_attn.bias": (2304,),
        "attn.c_proj.weight": (768, 768), "attn.c_proj.bias": (768,), "ln_2.weight": (768,), "ln_2.bias": (768,),
        "mlp.c_fc.weight": (768, 3072), "mlp.c_fc.bias": (3072,), "mlp.c_proj.weight": (3072, 768),
        "mlp.c_proj.bias": (768,),
    }  # fmt: skip
    gpt: dict[str, tuple[int, ...]] = {"transformer.wte.weight": (50257, 768), "transformer.wpe.weight": (1024, 768)}
    gpt |= {f"transformer.h.{layer}.{name}": shape for layer in range(12) for name, shape in blocks.items()}
    gpt |= {"transformer.ln_f.weight": (768,), "transformer.ln_f.bias": (768,), "lm_head.weight": (50257, 768)}
    found = {f"gpt.{name}": shape for name, shape in gpt.items()}
    if kind == mappers.MLP:
        own: dict[str, tuple[int, ...]] = {
            "model.0.weight": (3840, 512), "model.0.bias": (3840,), "model.2.weight": (7680, 3840),
            "model.2.bias": (7680,),
        }  # fmt: skip
    else:
        own = {"prefix_const": (10, 768), "linear.weight": (7680, 512), "linear.bias": (7680,)}
        layers = {
            "norm1.weight": (768,), "norm1.bias": (768,), "attn.to_queries.weight": (768, 768),
            "attn.to_keys_values.weight": (1536, 768), "attn.project.weight": (768, 768),
            "attn.project.bias": (768,), "norm2.weight": (768,), "norm2.bias": (768,),
            "mlp.fc1.weight": (1536, 768), "mlp.fc1.bias": (1536,), "mlp.fc2.weight": (768, 1536),
            "mlp.fc2.bias": (768,),
        }  # fmt: skip
        own |= {f"transformer.layers.{layer}.{name}": shape for layer in range(8) for name, shape in layers.items()}
    return found | {f"clip_project.{name}": shape for name, shape in own.items()}


@pytest.mark.parametrize("kind", [mappers.MLP, mappers.TRANSFORMER])
def test_keys_and_shapes_are_those_of_the_published_checkpoints(kind: str):
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.device("meta"):
        own = mappers.build(kind, 512, 768, 10, matched_to=10, layers=8, heads=8)
        model = PrefixCaptioner(own, GPT2LMHeadModel(GPT2Config()), 10)
    shapes = {name: tuple(value.shape) for name, value in original.state(model).items()}
    assert shapes == published_shapes(kind)
    assert kind != mappers.MLP or len(shapes) == 153


@pytest.mark.parametrize("kind", mappers.KINDS)
def test_an_original_checkpoint_goes_in_and_out(tmp_path: Path, kind: str):
    model = captioner(kind)
    old = dict(original.state(model))
    for layer in range(tiny_gpt2.LAYERS):  # what files of 2021 have beside the weights
        old[f"gpt.transformer.h.{layer}.attn.bias"] = torch.ones(1, 1, 4, 4)
        old[f"gpt.transformer.h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    torch.save(old, tmp_path / "coco_weights.pt")
    read = original.captioner(original.read(tmp_path / "coco_weights.pt"), tiny_gpt2.build(seed=5), heads=2)
    again = original.state(read)
    assert again.keys() == original.state(model).keys()
    assert all(torch.equal(value, old[name]) for name, value in again.items())
    assert torch.equal(read(*batch()), model(*batch()))
    wrong = dict(original.state(model))
    wrong["gpt.x"] = wrong.pop("gpt.transformer.ln_f.bias")
    with pytest.raises(ValueError, match="1 weights are missing and 1 left over, first gpt"):
        original.captioner(wrong, tiny_gpt2.build(), heads=2)
    torch.save({"x": torch.ones(1)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"other.pt is no checkpoint of ClipCap"):
        original.read(tmp_path / "other.pt")


@pytest.fixture
def clipcap(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    folder = os.environ.get("RETCAP_CLIPCAP")
    if not folder or not Path(folder, "train.py").is_file():
        pytest.skip("RETCAP_CLIPCAP names no checkout of rmokady/CLIP_prefix_caption")
    import transformers

    monkeypatch.setattr(transformers, "AdamW", torch.optim.AdamW, raising=False)  # the class is gone from transformers
    spec = importlib.util.spec_from_file_location("clipcap_train", Path(folder, "train.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "clipcap_train", module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", [mappers.MLP, mappers.TRANSFORMER])
def test_logits_are_those_of_the_original_code(clipcap: types.ModuleType, monkeypatch: pytest.MonkeyPatch, kind: str):
    monkeypatch.setattr(clipcap.GPT2LMHeadModel, "from_pretrained", lambda *_, **__: tiny_gpt2.build())
    with torch.random.fork_rng():
        theirs = clipcap.ClipCaptionModel(
            K, clip_length=K, prefix_size=D, num_layers=2,
            mapping_type=clipcap.MappingType.MLP if kind == mappers.MLP else clipcap.MappingType.Transformer,
        ).eval()  # fmt: skip
    ours = original.captioner(theirs.state_dict(), tiny_gpt2.build(), heads=8).eval()
    vectors, tokens, _ = batch()
    everything = torch.ones(B, K + T)
    expected = theirs(tokens, vectors, everything).logits[:, K - 1 : -1]
    assert torch.allclose(ours(vectors, tokens, torch.ones(B, T, dtype=torch.bool)), expected, atol=1e-4)
