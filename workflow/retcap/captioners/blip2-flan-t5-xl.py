"""BLIP-2 with Flan-T5 XL: EVA-CLIP ViT-g/14 at 224 px, a Q-Former with 32 queries, an encoder-decoder.

Paper: Li et al. 2023, "BLIP-2: Bootstrapping Language-Image Pre-training with Frozen Image Encoders and Large Language
Models", ICML. Prompt: `Question: {query} Answer:`. Padded right, as T5 is trained.
"""

from retcap.captioning import policies
from retcap.records import CaptionerCard

CARD = CaptionerCard(
    name="blip2-flan-t5-xl",
    title="BLIP-2 Flan-T5 XL",
    model_id="Salesforce/blip2-flan-t5-xl",
    revision="0eb0d3b46c14c1f8c7680bca2693baafdb90bb28",
    architecture="Blip2ForConditionalGeneration",
    params_b=3.88,
    licence="MIT",
    image_policy="squashed to 224 x 224 px: the whole panorama, twice too narrow (32 image tokens)",
    padding_side="right",
    dtype="bfloat16",
    mem_mb=24_000,
    gpu_mem_gb=16,
    runtime_min=120,
)

IMAGE_POLICIES = policies.SQUASHED_ANYWAY
prepare = policies.squashed_anyway


def render(processor, text: str) -> str:
    """Full prompt of one request: the checkpoint has no chat template."""
    return f"Question: {text} Answer:"
