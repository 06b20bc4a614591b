"""LLaVA-1.5 7B: CLIP ViT-L/14 at 336 px, a two-layer projector, Vicuna 7B.

Paper: Liu et al. 2024, "Improved Baselines with Visual Instruction Tuning", CVPR.
Prompt: `USER: <image>\\n{query} ASSISTANT:`, from the checkpoint's chat template.
"""

from retcap.captioning import policies
from retcap.records import CaptionerCard

CARD = CaptionerCard(
    name="llava-1.5-7b",
    title="LLaVA-1.5 7B",
    model_id="llava-hf/llava-1.5-7b-hf",
    revision="b234b804b114d9e37bb655e11cbbb5f5e971b7a9",
    architecture="LlavaForConditionalGeneration",
    params_b=7.06,
    licence="llama2",
    image_policy="shortest edge to 336 px, then a centre crop: the left and right quarters of a panorama are lost",
    padding_side="left",
    dtype="bfloat16",
    mem_mb=32_000,
    gpu_mem_gb=24,
    runtime_min=120,
)

IMAGE_POLICIES = {"squash": "no crop: the whole panorama resized to the full square, twice too narrow"}


def prepare(processor, policy: str):
    """`squash` turns the crop off: with it, a panorama loses its ends under every policy but `letterbox`."""
    if policy == "squash":
        crop = processor.image_processor.crop_size
        processor.image_processor.do_center_crop = False
        processor.image_processor.size = {"height": crop["height"], "width": crop["width"]}
        return policies.keep
    return policies.pixels(processor, policy)
