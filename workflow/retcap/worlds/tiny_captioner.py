"""Parts of tiny checkpoints: a tokenizer trained on the spot, an initialisation that learns in seconds, saving.

A tiny checkpoint has the real architecture and the real files, so everything that runs on it runs on the real one.
"""

import math
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from retcap.captioning.prompts import PROMPT_SETS
from retcap.torch_state import seeded

VOCABULARY = 800  # 256 bytes, the special tokens, and merges for the words of a small caption world
GRID_STD = 1.0  # of row and column parts of position embeddings: places have to be told apart from the start
EMBEDDING_STD = 0.3  # with weights of unit gain, what lets a width of 64 learn shapes as well as colours


def train_tokenizer(
    corpus: list[str], special: list[str], *, frame: str = "", begin: str | None = None, end: str | None = None, **named
) -> Any:
    """Byte-level BPE tokenizer of at most VOCABULARY entries; `special` come first, in order.

    frame: text that the model's template puts around every request; it and the prompt sets become short too.
    begin, end: tokens put in front of every text and behind it. named: roles such as eos_token="</s>", or
    `extra_special_tokens` as a dict from a processor's attribute name to the token.
    """
    from tokenizers import Tokenizer, models, processors
    from transformers import PreTrainedTokenizerFast

    from retcap.clip.tokenizer import train_on_bytes

    core = Tokenizer(models.BPE())
    prompts = [text.replace("{query}", "") for text in PROMPT_SETS.values()]
    texts = [*corpus, *[frame, *prompts] * len(corpus)]
    train_on_bytes(core, texts, special, VOCABULARY, blank_in_front=False)
    if begin is not None or end is not None:
        around = [token for token in (begin, end) if token is not None]
        core.post_processor = processors.TemplateProcessing(
            single=" ".join(token for token in (begin, "$A", end) if token is not None),
            special_tokens=[(token, core.token_to_id(token)) for token in around],
        )
    named = {"model_max_length": 4096, "padding_side": "left", **named}
    return PreTrainedTokenizerFast(tokenizer_object=core, clean_up_tokenization_spaces=False, **named)


def build_model(model_class: Any, config: Any, seed: int, keep: tuple[str, ...] = ()) -> Any:
    """A random model of the configuration, drawn from `seed` alone; the caller's random state is left as it was."""
    with seeded(seed):
        model = model_class(config)
    redraw(model, torch.Generator().manual_seed(seed), keep)
    return model.eval()


@torch.no_grad()
def redraw(model: Any, generator: torch.Generator, keep: tuple[str, ...] = ()) -> None:
    """Weights of linear layers and convolutions anew from N(0, 1/fan_in), embeddings from N(0, EMBEDDING_STD^2).

    The library's 0.02 suits widths of thousands; at width 64 signals die out and shapes are never learned.
    keep: name prefixes of modules to leave alone (T5's attention is unscaled and wants the library's draw).
    """
    for name, module in model.named_modules():
        if name.startswith(keep) if keep else False:
            continue
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d):
            fan_in = module.weight[0].numel()
            module.weight.normal_(0.0, fan_in**-0.5, generator=generator)
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, nn.Embedding):
            module.weight.normal_(0.0, EMBEDDING_STD, generator=generator)
        for own, parameter in module.named_parameters(recurse=False):
            if own in {"class_embedding", "query_tokens", "position_embedding", "cls_token"}:
                parameter.normal_(0.0, EMBEDDING_STD, generator=generator)
    model.tie_weights()


@torch.no_grad()
def lay_out(positions: Tensor, seed: int) -> None:
    """Position embeddings of a square grid of patches, after that of a class token if any, as row plus column part.

    Drawn apart, every place of the grid would have to be learned by itself, and "left" would mean four unrelated ones.
    """
    count, width = positions.shape
    side = math.isqrt(count)
    generator = torch.Generator().manual_seed(seed)
    rows, columns = (torch.empty(side, width).normal_(0.0, GRID_STD, generator=generator) for _ in range(2))
    positions[count - side * side :] = (rows[:, None] + columns[None, :]).reshape(side * side, width)


@torch.no_grad()
def draw_key_biases(language_model: nn.Module, seed: int) -> None:
    """Biases of the keys from N(0, 1): with rotary positions they let a query attend to a place from the start.

    At zero, that has to be learned as a product of two small numbers, and often is not within a minute.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in language_model.named_parameters():
        if name.endswith("k_proj.bias"):
            parameter.normal_(0.0, 1.0, generator=generator)


def save(folder: str | Path, model: Any, processor: Any) -> None:
    """Write model and processor as one checkpoint folder that `from_pretrained` reads."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder, safe_serialization=True)
    processor.save_pretrained(folder)


def replace_model(source: str | Path, target: str | Path, model: Any) -> None:
    """Write the checkpoint in `source` to `target` with another model in it; the processor's files stay as they are.

    The processor of a loaded captioner must not be saved: an image policy has changed it.
    """
    target = Path(target)
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(Path(source).rglob("*")):  # a second tokenizer has a folder of its own
        copy = target / file.relative_to(source)
        if file.is_file() and file.suffix != ".safetensors" and file != copy:
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, copy)  # without the rights of the temporary folder it came from
    model.save_pretrained(target, safe_serialization=True)
