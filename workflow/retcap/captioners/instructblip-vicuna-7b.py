"""InstructBLIP with Vicuna 7B: EVA-CLIP ViT-g/14 at 224 px, a Q-Former that reads the prompt, Vicuna.

Paper: Dai et al. 2023, "InstructBLIP: Towards General-purpose Vision-Language Models with Instruction Tuning", NeurIPS.
Prompt: the request alone, to the language model and to the Q-Former.
"""

from retcap.captioning import policies
from retcap.records import CaptionerCard

CARD = CaptionerCard(
    name="instructblip-vicuna-7b",
    title="InstructBLIP Vicuna 7B",
    model_id="Salesforce/instructblip-vicuna-7b",
    revision="19103d0c5b5263c8a7891012e08573439fb6607f",
    architecture="InstructBlipForConditionalGeneration",
    params_b=7.91,
    licence="research use (LLaMA and Vicuna terms)",
    image_policy="squashed to 224 x 224 px: the whole panorama, twice too narrow (32 image tokens)",
    padding_side="left",
    dtype="bfloat16",
    mem_mb=36_000,
    gpu_mem_gb=28,
    runtime_min=150,
)

IMAGE_POLICIES = policies.SQUASHED_ANYWAY
prepare = policies.squashed_anyway


def render(processor, text: str) -> str:
    """Full prompt of one request: the checkpoint has no chat template."""
    return text
