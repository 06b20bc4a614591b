"""The captioner of this study: a mapper and GPT-2, with names as in ClipCap's checkpoints."""

from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from retcap.clip.tower import count_parameters

Tuning = Literal["frozen", "lora", "tuned"]
TUNINGS = ("frozen", "lora", "tuned")
LORA_TARGETS = ("c_attn", "c_proj", "c_fc")  # every matrix of a block


class PrefixCaptioner(nn.Module):
    """GPT-2 that reads a prefix made of a picture's vector, then the caption.

    Positions count from the prefix on, and nothing is padded on the left: all rows of a batch have the same prefix
    length. Captions are padded on the right; which tokens are padding says a mask, never a token's id.
    """

    def __init__(self, mapper: nn.Module, language_model: Any, prefix_length: int, tuning: Tuning = "tuned") -> None:
        super().__init__()
        self.clip_project, self.gpt = mapper, language_model
        self.prefix_length, self.tuning = prefix_length, tuning
        if tuning == "frozen":
            self.gpt.requires_grad_(False)

    def forward(
        self, vectors: Float[Tensor, "B D"], tokens: Int[Tensor, "B T"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B T V"]:
        """Logits of every caption token, from the prefix and the tokens before it.

        The last token is no input: nothing is predicted from it.
        """
        embeds = torch.cat([self.clip_project(vectors), self.embed(tokens[:, :-1])], dim=1)
        seen = torch.cat([mask.new_ones(len(mask), self.prefix_length), mask[:, :-1]], dim=1)
        hidden = self.language_model().transformer(inputs_embeds=embeds, attention_mask=seen.long()).last_hidden_state
        return self.language_model().lm_head(hidden[:, self.prefix_length - 1 :])

    def log_likelihood(self, vectors: Tensor, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Sum of the log-probabilities of all tokens that the mask names, in nats, and their number."""
        logits = self(vectors, tokens, mask)
        exact = logits.to(torch.promote_types(logits.dtype, torch.float32))  # from bf16 up
        losses = functional.cross_entropy(exact.transpose(1, 2), tokens, reduction="none")
        return -(losses * mask).sum(), mask.sum()

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T E"]:
        """Token embeddings of GPT-2, positions not added."""
        return self.language_model().transformer.wte(tokens)

    def language_model(self) -> Any:
        """GPT-2 itself, inside peft's wrapper where there is one."""
        return self.gpt.get_base_model() if self.tuning == "lora" else self.gpt

    def train(self, mode: bool = True) -> "PrefixCaptioner":
        """Training mode; a frozen GPT-2 stays in evaluation mode, without dropout."""
        super().train(mode)
        if self.tuning == "frozen":
            self.gpt.eval()
        return self

    def trained_state(self) -> dict[str, Tensor]:
        """What training changes, by name: the mapper, and what of GPT-2 is not frozen; tied tensors once."""
        return {name: value.detach() for name, value in self.named_parameters() if value.requires_grad}

    def load_trained(self, state: dict[str, Tensor]) -> None:
        """Put back what `trained_state` gave. ValueError where names or shapes differ."""
        own = self.trained_state()
        if (missing := sorted(own.keys() ^ state.keys()))[:1]:
            raise ValueError(f"The weights do not belong to this model: {len(missing)} names differ, as {missing[0]}.")
        for name, value in own.items():
            if value.shape != state[name].shape:
                raise ValueError(f"{name} has the shape {tuple(state[name].shape)}, the model {tuple(value.shape)}.")
            value.copy_(state[name])

    def parameter_counts(self) -> dict[str, int]:
        """Of the mapper, of GPT-2, and what is trained."""
        return {
            "mapper": count_parameters(self.clip_project),
            "language_model": count_parameters(self.gpt),
            "trained": count_parameters(self, trainable_only=True),
        }


def with_lora(language_model: Any, rank: int, alpha: int) -> Any:
    """GPT-2 with low-rank updates of all matrices of its blocks (Hu et al. 2021), the rest frozen; by peft."""
    import peft

    # GPT-2's matrices are Conv1D, [in, out]; no dropout, as the loss is to be that of the weights
    settings = peft.LoraConfig(
        r=rank, lora_alpha=alpha, target_modules=list(LORA_TARGETS), lora_dropout=0.0, fan_in_fan_out=True
    )
    return peft.get_peft_model(language_model, settings)
