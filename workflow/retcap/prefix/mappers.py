"""Mappers from one CLIP vector to a prefix of embeddings: shapes, initial weights and names as in ClipCap.

Mokady et al. 2021, "ClipCap", section 3; names and shapes as in its published code, so
that its checkpoints load. `K` is the length of the prefix, `E` the width of the language model, `D` of the vectors.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

MLP, MATCHED, TRANSFORMER = "mlp", "mlp_matched", "transformer"
KINDS = (MLP, MATCHED, TRANSFORMER)


class MlpMapper(nn.Module):
    """D → hidden → K x E with a tanh between. The published hidden width is E·K // 2: it grows with the square of K."""

    def __init__(self, vector_size: int, width: int, prefix_length: int, hidden: int | None = None) -> None:
        super().__init__()
        hidden = published_hidden(width, prefix_length) if hidden is None else hidden
        self.prefix_length, self.width = prefix_length, width
        self.model = nn.Sequential(nn.Linear(vector_size, hidden), nn.Tanh(), nn.Linear(hidden, prefix_length * width))

    def forward(self, vectors: Float[Tensor, "B D"]) -> Float[Tensor, "B K E"]:
        """The prefix of every vector."""
        return self.model(vectors).view(-1, self.prefix_length, self.width)


class Attention(nn.Module):
    """Multi-head self-attention without mask; one matrix gives keys and values, and only the projection has a bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"A width of {width} cannot be shared by {heads} heads. Choose a number that divides it.")
        self.heads = heads
        self.to_queries = nn.Linear(width, width, bias=False)
        self.to_keys_values = nn.Linear(width, 2 * width, bias=False)
        self.project = nn.Linear(width, width)

    def forward(self, tokens: Float[Tensor, "B M E"]) -> Float[Tensor, "B M E"]:
        """softmax(q·k / sqrt(E / heads)) v, over all positions."""
        batch, length, width = tokens.shape
        shape = (batch, length, self.heads, width // self.heads)
        keys, values = self.to_keys_values(tokens).view(batch, length, 2, *shape[2:]).unbind(2)
        parts = (part.view(shape).transpose(1, 2) for part in (self.to_queries(tokens), keys, values))
        mixed = nn.functional.scaled_dot_product_attention(*parts)
        return self.project(mixed.transpose(1, 2).reshape(batch, length, width))


class FeedForward(nn.Module):
    """Two matrices with a ReLU between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """The same for every position."""
        return self.fc2(self.fc1(tokens).relu())


class Layer(nn.Module):
    """A layer with its norms in front."""

    def __init__(self, width: int, heads: int, ratio: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn, self.mlp = Attention(width, heads), FeedForward(width, int(width * ratio))

    def forward(self, tokens: Tensor) -> Tensor:
        """Attention, then the feed-forward network, both added to what came in."""
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class Layers(nn.Module):
    """Layers one after the other, without a norm at the end."""

    def __init__(self, width: int, heads: int, layers: int, ratio: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer(width, heads, ratio) for _ in range(layers)])

    def forward(self, tokens: Tensor) -> Tensor:
        """The last layer's output."""
        for layer in self.layers:
            tokens = layer(tokens)
        return tokens


class TransformerMapper(nn.Module):
    """`clip_length` tokens made of the vector, then K learned constants, which become the prefix."""

    def __init__(
        self,
        vector_size: int,
        width: int,
        prefix_length: int,
        *,
        clip_length: int | None = None,
        layers: int = 8,
        heads: int = 8,
        ratio: float = 2.0,
    ) -> None:
        super().__init__()
        self.clip_length = clip_length or prefix_length
        self.prefix_length, self.width = prefix_length, width
        self.transformer = Layers(width, heads, layers, ratio)
        self.linear = nn.Linear(vector_size, self.clip_length * width)
        self.prefix_const = nn.Parameter(torch.randn(prefix_length, width))

    def forward(self, vectors: Float[Tensor, "B D"]) -> Float[Tensor, "B K E"]:
        """What the constants have become."""
        seen = self.linear(vectors).view(-1, self.clip_length, self.width)
        constants = self.prefix_const.expand(len(seen), -1, -1)
        return self.transformer(torch.cat([seen, constants], dim=1))[:, self.clip_length :]


def published_hidden(width: int, prefix_length: int) -> int:
    """Hidden width of the published MLP: E·K // 2."""
    return width * prefix_length // 2


def mlp_parameters(vector_size: int, width: int, prefix_length: int, hidden: int) -> int:
    """Weights and biases of an MLP mapper.

    >>> mlp_parameters(512, 768, 10, published_hidden(768, 10))
    31468800
    """
    return hidden * (vector_size + 1) + width * prefix_length * (hidden + 1)


def matched_hidden(vector_size: int, width: int, prefix_length: int, like: int) -> int:
    """Hidden width with which an MLP for this prefix has as many parameters as the published one for a prefix `like`.

        h = (P - E·K) / (D + 1 + E·K)       P: parameters of the published MLP; rounded, at least 1

    >>> [matched_hidden(512, 768, length, like=10) for length in (1, 10, 20)]
    [24565, 3840, 1982]
    """
    target = mlp_parameters(vector_size, width, like, published_hidden(width, like))
    out = width * prefix_length
    return max(1, round((target - out) / (vector_size + 1 + out)))


def build(
    kind: str,
    vector_size: int,
    width: int,
    prefix_length: int,
    *,
    matched_to: int | None,
    layers: int | None,
    heads: int | None,
) -> nn.Module:
    """A mapper by its name in the configuration; its initial weights come from torch's generator.

    What concerns another mapper is None.
    """
    if kind == TRANSFORMER:
        assert layers is not None
        assert heads is not None
        return TransformerMapper(vector_size, width, prefix_length, layers=layers, heads=heads)
    hidden = None
    if kind == MATCHED:
        assert matched_to is not None
        hidden = matched_hidden(vector_size, width, prefix_length, matched_to)
    return MlpMapper(vector_size, width, prefix_length, hidden)
