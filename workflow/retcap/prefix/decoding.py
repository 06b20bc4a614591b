"""From prefixes to captions: greedy, beam search, nucleus sampling, contrastive search.

Greedy and beam search are those of transformers. Sampling is ours, so that a caption depends on the seed and on its
picture's number alone, not on the batch; so is contrastive search, which transformers no longer ships.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

GREEDY, BEAM, NUCLEUS, CONTRASTIVE = "greedy", "beam", "nucleus", "contrastive"
KINDS = (GREEDY, BEAM, NUCLEUS, CONTRASTIVE)


@dataclass(frozen=True)
class Settings:
    """How captions are decoded. The defaults are ClipCap's, and those of contrastive search its authors'."""

    max_tokens: int = 67
    beams: int = 5  # the score of a beam is its mean log-probability per token
    top_p: float = 0.8
    temperature: float = 1.0
    alpha: float = 0.6  # weight of the penalty (Su et al. 2022, section 5)
    candidates: int = 4
    seed: int = 0


@torch.inference_mode()
def decode(
    kind: str,
    language_model: Any,
    prefix: Float[Tensor, "B K E"],
    numbers: Sequence[int],
    end: int,
    settings: Settings,
) -> list[list[int]]:
    """Tokens of every caption, the end token and what comes after it left out. `numbers`: of the pictures."""
    if kind in (GREEDY, BEAM):
        found = _by_transformers(language_model, prefix, end, settings, settings.beams if kind == BEAM else 1)
    elif kind == NUCLEUS:
        found = _nucleus(language_model, prefix, numbers, end, settings)
    elif kind == CONTRASTIVE:
        found = _contrastive(language_model, prefix, end, settings)
    else:
        raise ValueError(f"`{kind}` is no way of decoding. Known: {', '.join(KINDS)}.")
    return [_until(row, end) for row in found.tolist()]


def _by_transformers(model: Any, prefix: Tensor, end: int, settings: Settings, beams: int) -> Int[Tensor, "B T"]:
    # without input ids the output begins behind the prefix
    return model.generate(
        inputs_embeds=prefix,
        attention_mask=prefix.new_ones(prefix.shape[:2], dtype=torch.long),
        max_new_tokens=settings.max_tokens,
        num_beams=beams,
        do_sample=False,
        length_penalty=1.0,
        eos_token_id=end,
        pad_token_id=end,
    )


def _nucleus(model: Any, prefix: Tensor, numbers: Sequence[int], end: int, settings: Settings) -> Int[Tensor, "B T"]:
    """Sampling from the smallest set of tokens whose probabilities reach `top_p` (Holtzman et al. 2020)."""
    chances = np.stack(
        [np.random.default_rng([settings.seed, number]).random(settings.max_tokens) for number in numbers]
    )
    drawn = torch.from_numpy(chances).to(prefix.device, torch.float64)
    output = model(inputs_embeds=prefix, use_cache=True)
    tokens = []
    for step in range(settings.max_tokens):
        tokens.append(sample(output.logits[:, -1], drawn[:, step], settings.top_p, settings.temperature))
        if _all_ended(tokens, end):
            break
        output = model(input_ids=tokens[-1][:, None], past_key_values=output.past_key_values, use_cache=True)
    return torch.stack(tokens, dim=1)


def sample(
    logits: Float[Tensor, "B V"], chances: Float[Tensor, " B"], top_p: float, temperature: float
) -> Int[Tensor, " B"]:
    """The token at a point of the cumulative probabilities, within the nucleus; `chances` lie in [0, 1).

    The nucleus holds every token before which less than `top_p` has been reached, so at least the likeliest.
    """
    probabilities, order = (logits.double() / temperature).softmax(dim=-1).sort(dim=-1, descending=True, stable=True)
    cumulative = probabilities.cumsum(dim=-1)
    kept = torch.where(cumulative - probabilities < top_p, probabilities, 0.0)
    reached = kept.cumsum(dim=-1)
    place = torch.searchsorted(reached, (chances * reached[:, -1])[:, None], right=True)
    last = (kept > 0).sum(dim=-1, keepdim=True) - 1
    return order.gather(1, torch.minimum(place, last)).squeeze(1)


def _contrastive(model: Any, prefix: Tensor, end: int, settings: Settings) -> Int[Tensor, "B T"]:
    """Su et al. 2022, "A Contrastive Framework for Neural Text Generation", eq. 5:

        x_t = argmax over the k likeliest v of (1 - α) p(v | x_<t) - α max_j cos(h_v, h_j),   j < t

    h are the states of the last layer, those of the prefix included. All k candidates are read in one batch, on a
    cache that is repeated k times; the cache of the chosen one goes on.
    """
    width = settings.candidates
    output = model.transformer(inputs_embeds=prefix, use_cache=True)
    cache, states = output.past_key_values, functional.normalize(output.last_hidden_state, dim=-1)
    logits, rows, tokens = model.lm_head(output.last_hidden_state[:, -1]), torch.arange(len(prefix)), []
    rows = rows.to(prefix.device)
    for _ in range(settings.max_tokens):
        likely, candidates = logits.softmax(dim=-1).topk(width, dim=-1)
        cache.batch_repeat_interleave(width)
        output = model.transformer(input_ids=candidates.reshape(-1, 1), past_key_values=cache, use_cache=True)
        hidden = output.last_hidden_state[:, -1].view(len(prefix), width, -1)
        unit = functional.normalize(hidden, dim=-1)
        penalty = torch.einsum("bke,bte->bkt", unit, states).amax(dim=-1)
        best = ((1 - settings.alpha) * likely - settings.alpha * penalty).argmax(dim=-1)
        tokens.append(candidates[rows, best])
        if _all_ended(tokens, end):
            break
        cache = output.past_key_values
        cache.batch_select_indices(rows * width + best)
        states = torch.cat([states, unit[rows, best][:, None]], dim=1)
        logits = model.lm_head(hidden[rows, best])
    return torch.stack(tokens, dim=1)


def _all_ended(tokens: list[Tensor], end: int) -> bool:
    return bool((torch.stack(tokens) == end).any(dim=0).all())


def _until(row: list[int], end: int) -> list[int]:
    return row[: row.index(end)] if end in row else row
