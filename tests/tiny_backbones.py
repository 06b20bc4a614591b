"""Small things for the tests of backbones and retriever: drawn images with captions, and random CLIP models on disk."""

from pathlib import Path

import numpy as np

COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 180, 60),
    "blue": (50, 80, 220),
    "yellow": (235, 215, 50),
    "purple": (150, 60, 190),
    "orange": (245, 140, 30),
    "cyan": (60, 200, 210),
    "white": (240, 240, 240),
}
SHAPES = ("disc", "square", "ring", "cross", "triangle", "bar", "diamond", "checker")
SIDE = 64


def draw(rng: np.random.Generator, pairs: list[tuple[str, str]]) -> np.ndarray:
    """A 64 x 64 image of up to four (colour, shape) objects in a 2 x 2 grid, with jitter, two sizes and noise."""
    image = np.full((SIDE, SIDE, 3), rng.integers(0, 90), dtype=np.float32)
    cells = rng.permutation(4)[: len(pairs)]
    for cell, (colour, shape) in zip(cells, pairs, strict=True):
        centre = np.array([16, 16]) + 32 * np.array(divmod(int(cell), 2)) + rng.integers(-4, 5, 2)
        ink = np.array(COLOURS[colour]) + rng.normal(0, 12, 3)
        image[_inside(shape, centre, rng.integers(9, 13))] = ink
    return (image + rng.normal(0, 6, image.shape)).clip(0, 255).astype(np.uint8)


def _inside(shape: str, centre: np.ndarray, radius: int) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE]
    dy, dx = y - centre[0], x - centre[1]
    distance, box = np.hypot(dy, dx), (np.abs(dy) <= radius) & (np.abs(dx) <= radius)
    return {
        "disc": distance <= radius,
        "square": box,
        "ring": (distance <= radius) & (distance >= radius * 0.6),
        "cross": box & ((np.abs(dy) <= radius * 0.3) | (np.abs(dx) <= radius * 0.3)),
        "triangle": (dy <= radius) & (dy >= -radius) & (np.abs(dx) <= (dy + radius) / 2),
        "bar": (np.abs(dy) <= radius * 0.35) & (np.abs(dx) <= radius),
        "diamond": np.abs(dy) + np.abs(dx) <= radius,
        "checker": box & ((dy // 4 + dx // 4) % 2 == 0),
    }[shape]


def image_caption_pairs(count: int, seed: int = 0, objects: int = 2) -> tuple[np.ndarray, list[str]]:
    """Images with 1 to `objects` things; captions name colour and shape, and leave out place and size."""
    rng = np.random.default_rng(seed)
    images, captions = [], []
    for _ in range(count):
        pairs = [_pair(rng) for _ in range(rng.integers(1, objects + 1))]
        images.append(draw(rng, pairs))
        opening = str(rng.choice(["", "a picture of ", "there is ", "we see "]))
        captions.append(opening + " and ".join(f"a {colour} {shape}" for colour, shape in pairs))
    return np.stack(images), captions


def single_objects(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, list[list[str]]]:
    """Images of one thing, its class among 64, and the prompts of the classes."""
    rng = np.random.default_rng(seed)
    classes = [(colour, shape) for colour in COLOURS for shape in SHAPES]
    labels = rng.integers(0, len(classes), count)
    prompts = [[f"a {colour} {shape}", f"a picture of a {colour} {shape}"] for colour, shape in classes]
    return np.stack([draw(rng, [classes[label]]) for label in labels]), labels, prompts


def _pair(rng: np.random.Generator) -> tuple[str, str]:
    return str(rng.choice(list(COLOURS))), str(rng.choice(SHAPES))


# wkcn/TinyCLIP, src/open_clip/model_configs/TinyCLIP-ViT-61M-32-Text-29M.json; openai/clip-vit-base-patch32
REAL_SIZES = {  # width, layers, heads
    "tinyclip": {"text": (512, 9, 8), "vision": (640, 12, 10)},
    "vit_b32": {"text": (512, 12, 8), "vision": (768, 12, 12)},
}


def meta_backbone(name: str):
    """A real architecture without weights, on torch's meta device: for counting."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    from retcap.clip.hf_towers import towers
    from retcap.clip.tower import Backbone, ImageInput, Tokenizer

    class NoTokenizer(Tokenizer):
        context_length = 77

        def __call__(self, texts):
            raise NotImplementedError

        def save(self, folder):
            raise NotImplementedError

    parts = {}
    for tower, (width, layers, heads) in REAL_SIZES[name].items():
        parts[f"{tower}_config"] = {
            "hidden_size": width,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "intermediate_size": 4 * width,
        }
    parts["vision_config"]["patch_size"] = 32
    with torch.device("meta"):
        text, vision = towers(CLIPModel(CLIPConfig(**parts, projection_dim=512)))
        spec = {"plugin": "clip_hf", "spec": {}, "tokenizer": NoTokenizer(), "image": ImageInput(224)}
        return Backbone(text=text, vision=vision, logit_scale=4.6, **spec)


def save_hf_clip(folder: Path, *, eos_token_id: int | None = None, hidden_act: str = "gelu", seed: int = 0) -> Path:
    """A random transformers CLIP: text 5 x 16 of context 12, vision 6 x 24 on 16 px in 4 patches, joint 10."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    from retcap.clip.tokenizer import train_tokenizer

    tokenizer = train_tokenizer(["a red disc", "a blue square and a ring"], vocab_size=300)
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "num_hidden_layers": 5,
        "num_attention_heads": 2,
        "intermediate_size": 40,
        "max_position_embeddings": 12,
        "hidden_act": hidden_act,
        "eos_token_id": tokenizer.eos_token_id if eos_token_id is None else eos_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "hidden_size": 24,
        "num_hidden_layers": 6,
        "num_attention_heads": 3,
        "intermediate_size": 56,
        "image_size": 16,
        "patch_size": 8,
        "hidden_act": hidden_act,
    }
    torch.manual_seed(seed)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=10)).eval()
    for parameter in model.parameters():  # transformers' initial weights are too small to tell activations apart
        parameter.data.normal_(0, 0.25) if parameter.ndim > 1 else parameter.data.add_(
            torch.randn_like(parameter) * 0.1
        )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_open_clip(folder: Path, vision: str, seed: int = 0) -> Path:
    """A random open_clip model with its own tokenizer: text 5 x 16 of context 12; ViT 6 x 24 or ResNet on 32 px."""
    import json

    import torch
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    from retcap.clip.pretraining import model_config
    from retcap.clip.tokenizer import train_tokenizer

    tokenizer = train_tokenizer(["a red disc", "a blue square and a ring"], vocab_size=300)
    config = model_config(image_side_px=32, vocab_size=len(tokenizer), context_length=12, width=4)
    config["embed_dim"] = 10
    config["text_cfg"] |= {"width": 16, "heads": 2, "layers": 5}
    if vision == "vit":
        config["vision_cfg"] = {"image_size": 32, "layers": 6, "width": 24, "patch_size": 8, "head_width": 8}
    torch.manual_seed(seed)
    model = CLIP(**config)
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.1)
    folder.mkdir(exist_ok=True)
    tokenizer.save_pretrained(folder)
    text = {"model_cfg": config, "preprocess_cfg": {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.25]}}
    (folder / "open_clip_config.json").write_text(json.dumps(text))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    return folder
