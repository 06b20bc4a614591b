"""LLaVA-1.6 (LLaVA-NeXT) with Mistral 7B: CLIP ViT-L/14 on a grid of 336 px tiles and the whole picture.

Source: Liu et al. 2024, "LLaVA-NeXT: Improved reasoning, OCR, and world knowledge".
Prompt: `[INST] <image>\\n{query} [/INST]`, from the checkpoint's chat template.
"""

from retcap.records import CaptionerCard

CARD = CaptionerCard(
    name="llava-1.6-mistral-7b",
    title="LLaVA-1.6 Mistral 7B",
    model_id="llava-hf/llava-v1.6-mistral-7b-hf",
    revision="52320fb52229c8d942b1dcb8b63b3dc8087bc83b",
    architecture="LlavaNextForConditionalGeneration",
    params_b=7.57,
    licence="Apache-2.0",
    image_policy="two 336 px tiles at 2:1, and the whole panorama squashed to 336 x 336 px (1752 image tokens)",
    padding_side="left",
    dtype="bfloat16",
    mem_mb=32_000,
    gpu_mem_gb=32,
    runtime_min=180,
)

IMAGE_POLICIES = {"squash": "stretched to a square, then four 336 px tiles and the whole: twice too narrow"}
