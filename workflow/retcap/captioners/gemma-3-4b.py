"""Gemma 3 4B instruction-tuned: SigLIP at 896 px pooled to 256 image tokens, Gemma 3.

Paper: Gemma Team 2025, "Gemma 3 Technical Report", arXiv 2503.19786. Prompt: the checkpoint's chat template, which
writes the begin token itself. Float16 overflows.
Pan-and-scan stays off, as it is by default. Gated: accept the terms on the hub, and have a token.
"""

from retcap.captioning import policies
from retcap.records import CaptionerCard

CARD = CaptionerCard(
    name="gemma-3-4b",
    title="Gemma 3 4B",
    model_id="google/gemma-3-4b-it",
    revision="093f9f388b31de276ce2de164bdc2081324b9767",
    architecture="Gemma3ForConditionalGeneration",
    params_b=4.3,
    licence="Gemma terms of use",
    image_policy="squashed to 896 x 896 px: the whole panorama, twice too narrow (256 image tokens)",
    padding_side="left",
    dtype="bfloat16",
    mem_mb=24_000,
    gpu_mem_gb=20,
    runtime_min=120,
    groups=("light", "newest"),
    gated=True,
)

IMAGE_POLICIES = {
    "letterbox": "padded to a square with the mean colour, then resized: the whole panorama at half height",
    "squash": "the same as native: the model squashes by itself",
}


def prepare(processor, policy: str):
    """`squash` leaves the squashing to the processor: once instead of twice."""
    return policies.pixels(processor, "native" if policy == "squash" else policy)
