"""Decoding against plain loops without any cache, and what sampling may depend on."""

import numpy as np
import pytest
import torch

import tiny_gpt2
from retcap.prefix import decoding
from retcap.prefix.decoding import Settings

B, K, END = 5, 3, 0
NUMBERS = (11, 12, 13, 14, 15)


@pytest.fixture(scope="module")
def model():
    return tiny_gpt2.build(seed=3).double()


def prefixes(rows: int = B) -> torch.Tensor:
    return torch.randn(rows, K, tiny_gpt2.WIDTH, generator=torch.Generator().manual_seed(4)).double()


def read(model, prefix: torch.Tensor, tokens: list[int]):
    """Log-probabilities and unit states at every position, all read anew."""
    embeds = torch.cat([prefix[None], model.transformer.wte(torch.tensor([tokens], dtype=torch.long))], dim=1)
    hidden = model.transformer(inputs_embeds=embeds).last_hidden_state[0]
    return model.lm_head(hidden).log_softmax(-1), torch.nn.functional.normalize(hidden, dim=-1)


def ended(tokens: list[int]) -> list[int]:
    return tokens[: tokens.index(END)] if END in tokens else tokens


@torch.inference_mode()
def plain_greedy(model, prefix, longest: int) -> list[int]:
    tokens: list[int] = []
    while len(tokens) < longest and END not in tokens:
        tokens.append(int(read(model, prefix, tokens)[0][-1].argmax()))
    return ended(tokens)


@torch.inference_mode()
def plain_contrastive(model, prefix, longest: int, alpha: float, candidates: int) -> list[int]:
    tokens: list[int] = []
    while len(tokens) < longest and END not in tokens:
        said, states = read(model, prefix, tokens)
        scores = {}
        for token in said[-1].topk(candidates).indices.tolist():
            own = read(model, prefix, [*tokens, token])[1][-1]
            scores[token] = (1 - alpha) * float(said[-1][token].exp()) - alpha * max(float(own @ one) for one in states)
        tokens.append(max(scores, key=lambda token: scores[token]))
    return ended(tokens)


def test_greedy_takes_the_likeliest_token_again_and_again(model):
    found = decoding.decode("greedy", model, prefixes(), NUMBERS, END, Settings(max_tokens=9))
    assert found == [plain_greedy(model, prefix, 9) for prefix in prefixes()]
    assert len({tuple(one) for one in found}) > 1


def test_a_beam_is_at_least_as_likely_per_token_as_the_greedy_caption(model):
    def mean(prefix, tokens):
        whole = [*tokens, END] if len(tokens) < 6 else tokens
        said = read(model, prefix, whole)[0][K - 1 :]
        return float(sum(step[token] for step, token in zip(said, whole, strict=False))) / len(whole)

    settings = Settings(max_tokens=6, beams=23**2)  # wide enough to miss nothing of two tokens
    found = decoding.decode("beam", model, prefixes(), NUMBERS, END, settings)
    for prefix, tokens in zip(prefixes(), found, strict=True):
        assert mean(prefix, tokens) >= mean(prefix, plain_greedy(model, prefix, 6)) - 1e-9


@pytest.mark.parametrize(("alpha", "candidates"), [(0.6, 4), (0.1, 3), (0.0, 4), (0.6, 1)])
def test_contrastive_search_is_its_equation_read_without_a_cache(model, alpha: float, candidates: int):
    settings = Settings(max_tokens=9, alpha=alpha, candidates=candidates)
    found = decoding.decode("contrastive", model, prefixes(), NUMBERS, END, settings)
    assert found == [plain_contrastive(model, prefix, 9, alpha, candidates) for prefix in prefixes()]
    if alpha == 0.0 or candidates == 1:
        assert found == [plain_greedy(model, prefix, 9) for prefix in prefixes()]


def test_a_sampled_caption_hangs_on_seed_and_picture_not_on_the_batch(model):
    settings = Settings(max_tokens=9, top_p=0.9, seed=1)
    together = decoding.decode("nucleus", model, prefixes(), NUMBERS, END, settings)
    alone = [
        decoding.decode("nucleus", model, prefix[None], [number], END, settings)[0]
        for prefix, number in zip(prefixes(), NUMBERS, strict=True)
    ]
    assert together == alone
    assert decoding.decode("nucleus", model, prefixes(), NUMBERS, END, Settings(max_tokens=9, seed=2)) != together
    same = prefixes()[:1].expand(B, -1, -1)
    assert len({tuple(one) for one in decoding.decode("nucleus", model, same, NUMBERS, END, settings)}) > 1


def test_a_small_nucleus_is_greedy(model):
    settings = Settings(max_tokens=9, top_p=1e-9)
    assert decoding.decode("nucleus", model, prefixes(), NUMBERS, END, settings) == decoding.decode(
        "greedy", model, prefixes(), NUMBERS, END, settings
    )


def test_samples_follow_the_probabilities_within_the_nucleus():
    logits = torch.log(torch.tensor([[0.1, 0.5, 0.15, 0.25]]))
    chances = torch.from_numpy((np.arange(1000) + 0.5) / 1000)
    drawn = decoding.sample(logits.expand(1000, -1), chances, 0.7, 1.0)
    # 0.5 is not yet 0.7, so the nucleus holds the first two: 2 to 1
    assert torch.bincount(drawn, minlength=4).tolist() == pytest.approx([0, 667, 0, 333], abs=1)
    warm = decoding.sample(logits.expand(1000, -1), chances, 1.0, 1.0)
    assert torch.bincount(warm, minlength=4).tolist() == pytest.approx([100, 500, 150, 250], abs=1)
    last = decoding.sample(logits, torch.tensor([1 - 2**-53], dtype=torch.float64), 1.0, 1.0)
    assert last.tolist() == [0]


def test_an_unknown_way_is_named(model):
    with pytest.raises(ValueError, match=r"`bean` is no way of decoding. Known: greedy, beam, nucleus, contrastive"):
        decoding.decode("bean", model, prefixes(), NUMBERS, END, Settings())
