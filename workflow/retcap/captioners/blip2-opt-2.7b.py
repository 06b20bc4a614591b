"""BLIP-2 with OPT 2.7B: EVA-CLIP ViT-g/14 at 224 px, a Q-Former with 32 queries, a frozen language model.

Paper: Li et al. 2023, "BLIP-2: Bootstrapping Language-Image Pre-training with Frozen Image Encoders and Large Language
Models", ICML. Prompt: `Question: {query} Answer:`.
"""

from retcap.captioning import policies
from retcap.records import CaptionerCard

CARD = CaptionerCard(
    name="blip2-opt-2.7b",
    title="BLIP-2 OPT 2.7B",
    model_id="Salesforce/blip2-opt-2.7b",
    revision="59a1ef6c1e5117b3f65523d1c6066825bcf315e3",
    architecture="Blip2ForConditionalGeneration",
    params_b=3.74,
    licence="MIT",
    image_policy="squashed to 224 x 224 px: the whole panorama, twice too narrow (32 image tokens)",
    padding_side="left",
    dtype="bfloat16",
    mem_mb=24_000,
    gpu_mem_gb=16,
    runtime_min=120,
    groups=("light",),
)

IMAGE_POLICIES = policies.SQUASHED_ANYWAY
prepare = policies.squashed_anyway


def render(processor, text: str) -> str:
    """Full prompt of one request: the checkpoint has no chat template."""
    return f"Question: {text} Answer:"
