"""InternVL3 2B: InternViT 300M on 448 px tiles, Qwen2.5 1.5B. It stands in for InternVL2 2B.

InternVL2 2B exists as code on its hub alone, which transformers 5 does not load; this is the smallest of the family's
next generations that has transformers' own classes and a published commit. Its numbers are not those of InternVL2 2B.
Paper: Zhu et al. 2025, "InternVL3", arXiv 2504.10479. Prompt: the checkpoint's chat template, without a system line.
"""

from retcap.records import CaptionerCard

CARD = CaptionerCard(
    name="internvl3-2b",
    title="InternVL3 2B",
    model_id="OpenGVLab/InternVL3-2B-hf",
    revision="cb57a075cb75a2e6d1b668b128d48bb00ae321d2",
    architecture="InternVLForConditionalGeneration",
    params_b=2.09,
    licence="Apache-2.0 (Qwen2.5: Qwen licence)",
    image_policy="448 px tiles at 2:1 and a thumbnail: 3 up to 1024 px width, then 9, of 256 image tokens each",
    padding_side="left",
    dtype="bfloat16",
    mem_mb=16_000,
    gpu_mem_gb=16,
    runtime_min=120,
    groups=("light",),
)

IMAGE_POLICIES = {"squash": "stretched to a square, then 448 px tiles and a thumbnail: twice too narrow"}
