"""A GPT-2 in a size for tests, with random weights and no dropout."""

from typing import Any

VOCABULARY, WIDTH, HEADS, LAYERS, POSITIONS = 23, 8, 2, 2, 48


def build(seed: int = 0, **options: Any) -> Any:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes = {"vocab_size": VOCABULARY, "n_positions": POSITIONS, "n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS}
    quiet = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = GPT2Config(**{**sizes, **quiet, **ends, "initializer_range": 0.5, **options})
        return GPT2LMHeadModel(config).eval()
