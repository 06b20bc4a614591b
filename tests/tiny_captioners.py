"""A little world of coloured blocks and the helpers that build and briefly train tiny captioners on it."""

import itertools

import numpy as np

from retcap import plugins
from retcap.captioning import model, train_tiny

NAMES = plugins.names("captioners")
COLOURS = {"red": (215, 35, 35), "green": (30, 150, 45), "blue": (35, 65, 215)}
QUERIES = ("left", "the right side", "what is there")
FULL_VIEW = {"llava-1.5-7b": "squash", "qwen2.5-vl-3b": "native"}  # policies under which a model sees both ends


def blocks(height: int = 64, width: int = 128) -> tuple[dict[str, np.ndarray], list[tuple[str, str, str]]]:
    """Nine panoramas with a block at either end, and their (image key, query, caption) rows."""
    pack, rows = {}, []
    for left, right in itertools.product(COLOURS, COLOURS):
        image = np.full((height, width, 3), 200, np.uint8)
        image[height // 4 : -height // 4, width // 16 : width // 4] = COLOURS[left]
        image[height // 4 : -height // 4, -width // 4 : -width // 16] = COLOURS[right]
        key = f"{left}-{right}"
        pack[key] = image
        captions = (f"a {left} block .", f"a {right} block .", f"a {left} block and a {right} block .")
        rows += [(key, query, caption) for query, caption in zip(QUERIES, captions, strict=True)]
    return pack, rows


def build(name: str, folder, seed: int = 3):
    """An untrained tiny checkpoint in `folder`; gives the plugin."""
    plugin = plugins.load("captioners", name)
    _, rows = blocks()
    plugin.build_tiny(folder, sorted({text for row in rows for text in row[1:]}), seed)
    return plugin


def build_and_train(name: str, folder, steps: int, seed: int = 3):
    """A tiny checkpoint that has begun to learn the blocks: it ends its captions, and they depend on the prompt."""
    plugin = build(name, folder, seed)
    pack, rows = blocks()
    result = train_tiny.train_tiny(plugin, folder, rows, pack, steps=steps, batch_size=9, policy=FULL_VIEW[name])
    return plugin, result


def load(name: str, folder, **options) -> model.Captioner:
    """The checkpoint in `folder`, under the policy that shows it the whole panorama."""
    return model.load(plugins.load("captioners", name), folder, **{"policy": FULL_VIEW[name], **options})
