"""The recurrent fusion cell of ReT (arXiv 2503.01980; aimagelab/ReT 3fee6aa, Apache-2.0), written from its equations.

Letters: B items, K query tokens, H hidden size, R items that have the modality, S states (tokens) of the modality.

    h   = h + PE                             at every step, also the first
    q   = LN_xa(h)                           the same q feeds all three attentions
    r   = h + SA(q, q, q)
    t   = XA_t(q, LN_t(T), LN_t(T); mask)    no biases, no residual
    v   = XA_v(q, LN_v(V), LN_v(V))
    i_m = m * sigmoid(W_im m' + b + b_in)    for each modality m' in {t, v} with its 0/1 mask m
    f   = sigmoid(sum of m * (W_fm m' + b) + b_forget)
    h'  = phi(r)*f + phi(t)*i_t + phi(v)*i_v
    h   = h' + MLP(LN_mlp(h'))

Names of parameters are those of ReT-1 checkpoints. Its `sa_ln` is left out: nothing ever used it.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from retcap.retriever.config import ReTConfig

QUERY_STD = 0.2  # ReT-1's initial spread of the query tokens


class Modality(NamedTuple):
    """What the items have of one modality: states of the `rows` that have it (None: all B rows have it or a filler)."""

    states: Float[Tensor, "R S H"]
    mask: Float[Tensor, " B"]
    rows: Int[Tensor, " R"] | None = None
    token_mask: Bool[Tensor, "R S"] | None = None


class RetCell(nn.Module):
    """One step of the recurrence; the same weights serve every step."""

    query_state_ids: Tensor
    input_gate_bias_prior: Tensor
    forget_gate_bias_prior: Tensor

    def __init__(self, config: ReTConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.query_hidden_states = nn.Parameter(torch.empty(1, config.num_queries, size).normal_(0, QUERY_STD))
        self.register_buffer("query_state_ids", sinusoids(config.num_queries, size)[None])
        self.register_buffer("input_gate_bias_prior", torch.tensor(config.input_gate_bias_prior))
        self.register_buffer("forget_gate_bias_prior", torch.tensor(config.forget_gate_bias_prior))
        options = {"num_heads": config.heads, "dropout": config.attention_dropout, "batch_first": True}
        self.sa = nn.MultiheadAttention(size, **options)
        self.text_xa = nn.MultiheadAttention(size, bias=False, **options)
        self.vision_xa = nn.MultiheadAttention(size, bias=False, **options)
        self.mlp = nn.Sequential(
            nn.Linear(size, 4 * size),
            nn.Dropout(config.dropout_p),  # before the activation, as in ReT-1
            nn.GELU() if config.activation_fn == "gelu" else nn.ReLU(),
            nn.Linear(4 * size, size),
            nn.Dropout(config.dropout_p),
        )
        for gate in ("input", "forget"):
            for modality in ("text", "vision"):
                self.add_module(f"{modality}_{gate}_gate_w", nn.Linear(size, size))
        self.xa_ln, self.text_ln = nn.LayerNorm(size), nn.LayerNorm(size)
        self.vision_ln, self.mlp_ln = nn.LayerNorm(size), nn.LayerNorm(size)
        self.phi = nn.Tanh() if config.use_tanh else nn.Identity()

    def start(self, items: int) -> Float[Tensor, "B K H"]:
        """State before the first step: the learned query tokens, once per item."""
        return self.query_hidden_states.expand(items, -1, -1)

    def forward(
        self, state: Float[Tensor, "B K H"], text: Modality | None, vision: Modality | None
    ) -> Float[Tensor, "B K H"]:
        """State after one step. A modality that is None, or whose mask is 0, adds exactly nothing."""
        state = state + self.query_state_ids
        query = self.xa_ln(state)
        residual = state + self.sa(query, query, query, need_weights=False)[0]
        forget, added = self.forget_gate_bias_prior, 0
        for name, modality in (("text", text), ("vision", vision)):
            if modality is not None:
                seen, input_gate, forget_part = self._read(name, query, modality)
                forget = forget + forget_part
                added = added + self.phi(seen) * input_gate
        fused = self.phi(residual) * torch.sigmoid(forget) + added
        return fused + self.mlp(self.mlp_ln(fused))

    def _read(
        self, name: str, query: Float[Tensor, "B K H"], modality: Modality
    ) -> tuple[Float[Tensor, "B K H"], Float[Tensor, "B K H"], Float[Tensor, "B K H"]]:
        """Cross-attention to one modality, its input gate, and its part of the forget gate; masked per item."""
        norm, attention = getattr(self, f"{name}_ln"), getattr(self, f"{name}_xa")
        rows, states = modality.rows, norm(modality.states)
        asking = query if rows is None else query[rows]
        padding = None if modality.token_mask is None else ~modality.token_mask
        seen = attention(asking, states, states, key_padding_mask=padding, need_weights=False)[0]
        if rows is not None:
            seen = seen.new_zeros(query.shape).index_copy(0, rows, seen)
        mask = modality.mask[:, None, None].to(seen.dtype)
        input_gate = torch.sigmoid(getattr(self, f"{name}_input_gate_w")(seen) + self.input_gate_bias_prior)
        return seen, mask * input_gate, mask * getattr(self, f"{name}_forget_gate_w")(seen)


def sinusoids(positions: int, size: int) -> Float[Tensor, "K H"]:
    """Sinusoidal position code, base 10000: sin on even channels, cos on odd ones (Vaswani et al. 2017, section 3.5).

    >>> sinusoids(2, 2)[1].tolist() == [math.sin(1), math.cos(1)] or sinusoids(2, 2)[0].tolist()
    [0.0, 1.0]
    """
    position = torch.arange(positions)[:, None]
    frequency = torch.exp(torch.arange(0, size, 2) * (-math.log(10000.0) / size))
    code = torch.zeros(positions, size)
    code[:, 0::2], code[:, 1::2] = torch.sin(position * frequency), torch.cos(position * frequency)
    return code
