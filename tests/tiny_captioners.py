"""A little world of coloured blocks, tiny captioners briefly trained on it, and fixtures that give both to tests.

A test file takes the fixtures in by `pytest_plugins = ["tiny_captioners"]`; the models are trained once per session.
"""

import itertools

import numpy as np
import pytest
import torch

import quick_start
from retcap import plugins
from retcap.captioning import model
from retcap.worlds import recipes
from retcap.worlds import train_tiny_captioner as train_tiny

NAMES = plugins.names("captioners")
COLOURS = {"red": (215, 35, 35), "green": (30, 150, 45), "blue": (35, 65, 215)}
QUERIES = ("left", "the right side", "what is there")
QUICK = ["llava-1.5-7b", "qwen2.5-vl-3b"]  # the captioners that fast tests train; slow ones train the others too
FULL_VIEW = {name: "squash" if name == "llava-1.5-7b" else "native" for name in NAMES}  # policies that show both ends
STEPS = {"blip2-flan-t5-xl": 240, "blip2-opt-2.7b": 120, "gemma-3-4b": 120, "instructblip-vicuna-7b": 90}  # else 60


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
    recipes.load(name).build(folder, sorted({text for row in rows for text in row[1:]}), seed)
    return plugin


def build_and_train(name: str, folder, steps: int, seed: int = 3):
    """A tiny checkpoint that has begun to learn the blocks: it ends its captions, and they depend on the prompt."""
    plugin = build(name, folder, seed)
    pack, rows = blocks()
    end = getattr(recipes.load(name), "END_OF_ANSWER", None)
    result = train_tiny.train_tiny(
        plugin, folder, rows, pack, steps=steps, batch_size=9, policy=FULL_VIEW[name], end_of_answer=end
    )
    return plugin, result


def load(name: str, folder, **options) -> model.Captioner:
    """The checkpoint in `folder`, under the policy that shows it the whole panorama."""
    return model.load(plugins.load("captioners", name), folder, **{"policy": FULL_VIEW[name], **options})


def timeless(records: list[dict]) -> list[dict]:
    """Records without the seconds, the one field that differs between runs."""
    return [{name: value for name, value in record.items() if name != "seconds"} for record in records]


def count_generated(captioner, monkeypatch) -> list[int]:
    """A list that grows by the size of every batch generated from now on."""
    sizes, real = [], captioner.generate

    def counting(items, max_new_tokens):
        sizes.append(len(items))
        return real(items, max_new_tokens)

    monkeypatch.setattr(captioner, "generate", counting)
    return sizes


@pytest.fixture(scope="session")
def one_thread():
    """More threads than free cores make tiny models many times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def trained(one_thread):
    """Briefly trained tiny checkpoints by captioner name: folders that all workers share, to be read only."""

    class Made(dict):
        def __missing__(self, name):  # when a test first asks for it
            folder = quick_start.folder() / f"trained-{name}"
            with quick_start.locked(folder):
                if not folder.exists():
                    unfinished = folder.with_name(f"unfinished-{name}")
                    build_and_train(name, unfinished, steps=STEPS.get(name, 60))
                    unfinished.rename(folder)
            self[name] = folder
            return folder

    return Made()


@pytest.fixture(params=[name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NAMES])
def captioner(request, trained):
    """Each captioner in turn, briefly trained."""
    return load(request.param, trained[request.param])


@pytest.fixture
def world():
    """(items, pack): 15 items about five panoramas."""
    pack, rows = blocks()
    return [(f"{key}|{query}", query, key) for key, query, _ in rows[:15]], pack
