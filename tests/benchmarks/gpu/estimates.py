"""What the models should need, computed from their configurations: nothing here was measured.

weights       bytes of the parameters in the dtypes of a loaded checkpoint, counted on the meta device
KV cache      2 x layers x key-value heads x head size x 2 bytes per token (Flan-T5: of its decoder, and the
              encoder's keys and values once more)
activations   of one item in the prefill, the widest moment: max over the image tower and the language model of
              tokens x (4 x width + 3 x inner width) x 2 bytes, as scaled dot products keep no square matrix
seconds       the least for a batch of captions of 64 tokens: every token reads all weights once, at 2 TB/s
overhead      of the driver, CUDA's context and cuBLAS's workspace, 0.8 GiB
"""

import tempfile
from pathlib import Path
from typing import Any

import torch

from gpu import captioner_models
from gpu.cases import Context
from gpu.measure import GIB
from retcap import plugins
from retcap.captioning.model import Captioner
from retcap.captioning.padding import Encoded

OVERHEAD_GIB = 0.8  # 0.4 to 0.6 for a context on current cards, and workspaces
BF16 = 2  # bytes
NEW_TOKENS = 64
BANDWIDTH = 2e12  # bytes per second, of an A100 of 80 GB (NVIDIA's data sheet)
BATCHES = (1, 8, 32)  # 8: the default of captioning.batch_size
COLUMNS = (
    *("params, billions", "weights GiB", "KV KiB/token", "prompt tokens", "activations MiB/item"),
    *(f"batch {size}: GiB" for size in BATCHES),
    "least s per batch",
)


def text() -> str:
    """The table of all captioners that have a true size, and the retriever's."""
    lines = ["Estimates, computed from the configurations; nothing was measured.", ""]
    lines += ["| " + " | ".join(("captioner", *COLUMNS, "card asks GiB")) + " |", "|---" * (len(COLUMNS) + 2) + "|"]
    with tempfile.TemporaryDirectory() as scratch:
        context = Context(torch.device("cpu"), False, Path(scratch))
        for name in plugins.names("captioners"):
            if name not in captioner_models.SIZES:
                lines.append(f"| {name} | its true size is not written down |")
                continue
            row = needs(*on_meta(context, name))
            cells = [
                f"{row[column]:,.2f}" if isinstance(row[column], float) else f"{row[column]:,}" for column in COLUMNS
            ]
            lines.append(
                f"| {name} | " + " | ".join(cells) + f" | {plugins.load('captioners', name).CARD.gpu_mem_gb} |"
            )
        lines += ["", *_retriever()]
    return "\n".join(lines) + "\n"


def on_meta(context: Context, name: str) -> tuple[Captioner, Encoded]:
    """A captioner of true size without weights, and the inputs of one panorama of 2048 x 1024 px and a short query."""
    made = captioner_models.captioner(context, name, device="meta")
    return made, made.encode(captioner_models.QUERIES[0], captioner_models.panorama(context, 0), "panorama")


def needs(made: Captioner, inputs: Encoded) -> dict[str, Any]:
    """One captioner's needs by column."""
    model, weights = made.model, weight_bytes(made.model)
    prompt = inputs["input_ids"].shape[1]
    token, activations = kv_bytes(model.config), activation_bytes(model.config, inputs)
    row: dict[str, Any] = {
        "params, billions": sum(p.numel() for p in model.parameters()) / 1e9,
        "weights GiB": weights / GIB,
        "KV KiB/token": token / 1024,
        "prompt tokens": prompt,
        "activations MiB/item": activations / 2**20,
    }
    for batch in BATCHES:
        need = weights + batch * ((prompt + NEW_TOKENS) * token + activations)
        row[f"batch {batch}: GiB"] = need / GIB + OVERHEAD_GIB
    return row | {"least s per batch": NEW_TOKENS * weights / BANDWIDTH}


def weight_bytes(model: torch.nn.Module) -> int:
    """Bytes of all parameters; a shared one counts once."""
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())


def kv_bytes(config: Any) -> int:
    """Bytes of keys and values of one token in all layers, in bf16."""
    text = config.get_text_config()
    if text.is_encoder_decoder:
        return 2 * 2 * text.num_decoder_layers * text.num_heads * text.d_kv * BF16  # its own, and the encoder's
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return 2 * text.num_hidden_layers * heads * size * BF16


def activation_bytes(config: Any, inputs: dict[str, torch.Tensor]) -> int:
    """Bytes of one item's activations at the widest moment of the prefill."""
    vision, text = config.vision_config, config.get_text_config()
    inner = next(value for name in ("intermediate_size", "ffn_dim", "d_ff") if (value := getattr(text, name, None)))
    width = text.d_model if text.is_encoder_decoder else text.hidden_size
    of_text = inputs["input_ids"].shape[1] * (4 * width + 3 * inner)
    of_image = _patches(vision, inputs["pixel_values"]) * (4 * vision.hidden_size + 3 * vision.intermediate_size)
    return BF16 * max(of_text, of_image)


def _patches(vision: Any, pixels: torch.Tensor) -> int:
    """Tokens of the image tower for one item: all its tiles."""
    if pixels.ndim == 2:
        return len(pixels)  # rows are patches already
    side = vision.patch_size[0] if isinstance(vision.patch_size, list | tuple) else vision.patch_size
    return pixels.numel() // (3 * side * side)


def _retriever() -> list[str]:
    """Parameters and the memory that training them takes before any activation."""
    from gpu import retrievers

    count = retrievers.parameters()
    fixed = count * (4 + 4 + 8 + BF16)  # weights, gradients, AdamW's two moments in fp32; autocast's copies in bf16
    return [
        f"TinyCLIP-61M/32 ReT-2: {count / 1e6:.1f}M parameters, {count * 4 / GIB:.2f} GiB in fp32; training holds "
        f"{fixed / GIB:.2f} GiB before any activation, embedding {count * 4 / GIB + OVERHEAD_GIB:.2f} GiB."
    ]
