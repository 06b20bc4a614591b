"""Qwen2.5-VL 3B Instruct: a window-attention vision tower at native resolution, Qwen2.5 3B.

Paper: Bai et al. 2025, "Qwen2.5-VL Technical Report", arXiv 2502.13923.
Prompt: the checkpoint's chat template, which adds the system line "You are a helpful assistant." by itself.
"""

from retcap.captioning import policies
from retcap.records import CaptionerCard

CARD = CaptionerCard(
    name="qwen2.5-vl-3b",
    title="Qwen2.5-VL 3B",
    model_id="Qwen/Qwen2.5-VL-3B-Instruct",
    revision="66285546d2b821cf421d4f5eb2576359d3770cd3",
    architecture="Qwen2_5_VLForConditionalGeneration",
    params_b=3.75,
    licence="Qwen research licence",
    image_policy="native 2:1 aspect ratio, at most 1280 x 28 x 28 pixels (1250 image tokens for a large panorama)",
    padding_side="left",
    dtype="bfloat16",
    mem_mb=24_000,
    gpu_mem_gb=16,
    runtime_min=120,
    groups=("light", "newest"),
)

IMAGE_POLICIES = {
    "letterbox": "padded to a square with the mean colour, then native: half of the pixel budget goes to the bars"
}
MAX_PIXELS = 1280 * 28 * 28  # uncapped, one 5376 x 2688 panorama costs 16,290 tokens and dominates a whole study


def prepare(processor, policy: str):
    """A cap on the pixels under every policy."""
    size = dict(processor.image_processor.size)
    size["longest_edge"] = min(size["longest_edge"], MAX_PIXELS)  # of the whole image, in pixels, despite its name
    processor.image_processor.size = size
    return policies.pixels(processor, policy)
