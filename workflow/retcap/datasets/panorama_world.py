"""The panorama world: drawn 2:1 panoramas and their captions, in the format of QuIC-360 and with its irregularities.

    train.csv, test.csv   url,query,annotation; train has one caption per pair, test about five differently worded ones
    scenes.csv            image,place,shape,colour,size: what was drawn, for checks that a caption is right
    images/*.jpg

Each panorama shows one coloured shape on the left, one in the middle and one on the right, on one of five backgrounds.
The query names a place, or asks "what is there". So a caption is right only if the image was looked at: guessing gets
the colour in one of 6 and the shape in one of 3. The same sizes and seed give the same bytes.
"""

import csv
from pathlib import Path
from typing import NamedTuple

from retcap.records import DatasetCard

CARD = DatasetCard(
    name="panorama_world",
    title="Panorama world (generated)",
    task="world",
    licence="CC0-1.0 (drawn by this program)",
    source="generated: retcap.datasets.panorama_world.build",
    citation="none",
    notes="Same file format and same kinds of broken rows as QuIC-360. Train pictures are 256x128 px, since the tiny "
    "captioners see 56 to 112 px; test pictures are 512x256 px.",
)

TRAIN_SIZE, TEST_SIZE = (256, 128), (512, 256)  # width, height in px
COLOURS = {
    "red": (215, 35, 35),
    "green": (30, 150, 45),
    "blue": (35, 65, 215),
    "yellow": (240, 215, 30),
    "purple": (140, 40, 165),
    "orange": (245, 130, 20),
}
SHAPES = ("circle", "square", "triangle")
PLACES = ("left", "middle", "right")
OVERVIEW = "what is there"
QUERIES = (*PLACES, OVERVIEW)
BACKGROUNDS = (  # sky, ground: pale, so that no background hides a colour
    ((205, 225, 245), (190, 205, 180)),
    ((240, 235, 225), (205, 190, 170)),
    ((225, 225, 228), (165, 165, 170)),
    ((40, 44, 60), (75, 75, 82)),
    ((250, 250, 250), (220, 222, 228)),
)
WHERE = {"left": "on the left", "middle": "in the middle", "right": "on the right"}
FIRST_WORDING = "there is a {size}{colour} {shape} {where} ."  # what most training captions say
WORDINGS = (
    FIRST_WORDING,
    "a {size}{colour} {shape} can be seen {where} of the panorama .",
    "{where} you can see a {shape} that is {colour} .",
    "i see one {size}{colour} {shape} standing {where} of this place .",
    "the {place} part of the picture shows a {size}{colour} {shape} .",
    "{where} of the scene somebody has put a {colour} {shape} .",
    "looking to the {place} there is just a {size}{shape} , and it is {colour} .",
)
FIRST_OVERVIEW = "there is a {left} , a {middle} and a {right} ."
OVERVIEWS = (
    FIRST_OVERVIEW,
    "a {left} , a {middle} and a {right} can be seen from left to right .",
    "the panorama shows three things : a {left} , a {middle} and a {right} .",
    "on the left is a {left} , then a {middle} , and on the right a {right} .",
    "i see a {left} beside a {middle} , followed by a {right} .",
    "between a {left} and a {right} there is a {middle} .",
)
FIRST_SHARE = 0.7  # of training captions: enough for a model to settle on one wording, the rest keeps the words varied
TRAIN_QUERIES = 4  # rows per training picture
SIZE_WORDS = {"small": "small ", "plain": "", "large": "large "}


class Thing(NamedTuple):
    """One shape of a scene. `extent` is its half height as a share of the picture's height."""

    shape: str
    colour: str
    size: str
    extent: float
    x: float  # centre, as shares of width and height
    y: float


def build(folder: Path, *, train_images: int, test_images: int, seed: int) -> dict[str, int]:
    """Write the world into `folder` and return the number of pictures and rows per split."""
    import numpy as np

    folder = Path(folder)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    counts, seen = {}, [("image", "place", "shape", "colour", "size")]
    for split, images, size in (("train", train_images, TRAIN_SIZE), ("test", test_images, TEST_SIZE)):
        # Streams of their own, so that more training pictures leave the test split as it is.
        scenes, look, text = (np.random.default_rng([seed, split == "test", stream]) for stream in range(3))
        rows = []
        for number in range(images):
            url, things = f"images/{split}-{number:05d}.jpg", _scene(scenes)
            _draw(things, size, look).save(folder / url, quality=85 if split == "train" else 90)
            seen += [(url, place, *thing[:3]) for place, thing in zip(PLACES, things, strict=True)]
            rows += _train_rows(url, things, text) if split == "train" else _test_rows(url, things, text)
        if images:
            rows = _with_irregular_rows(rows, split, folder)
        _write(folder / f"{split}.csv", [("url", "query", "annotation"), *rows])
        counts |= {f"{split}_images": images, f"{split}_rows": len(rows)}
    _write(folder / "scenes.csv", seen)
    return counts


def _write(path: Path, rows: list[tuple]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def _scene(rng) -> list[Thing]:
    things = []
    for place in range(3):
        extent = float(rng.uniform(0.22, 0.31))  # a third of the picture is 0.67 of its height wide: no overlap
        size = "small" if extent < 0.25 else "large" if extent > 0.28 else "plain"
        shape, colour = SHAPES[rng.integers(len(SHAPES))], list(COLOURS)[rng.integers(len(COLOURS))]
        x = (2 * place + 1) / 6 + float(rng.uniform(-0.01, 0.01))
        things.append(Thing(shape, colour, size, extent, x, 0.55 + float(rng.uniform(-0.1, 0.1))))
    return things


def _draw(things: list[Thing], size: tuple[int, int], rng):
    import numpy as np
    from PIL import Image, ImageDraw

    width, height = size
    sky, ground = (np.array(colour) for colour in BACKGROUNDS[rng.integers(len(BACKGROUNDS))])
    horizon = float(rng.uniform(0.4, 0.65))
    rows = np.arange(height)[:, None] / height
    shade = np.where(rows < horizon, sky + 25 * (rows - horizon), ground - 40 * (rows - horizon))  # height x 3
    shade = (shade + rng.normal(0, 4, 3)).astype(np.int16)
    grain = rng.integers(-10, 11, (height // 4, width // 4, 1), dtype=np.int16).repeat(4, axis=0).repeat(4, axis=1)
    image = Image.fromarray(np.clip(shade[:, None, :] + grain, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for thing in things:
        x, y, half = thing.x * width, thing.y * height, thing.extent * height
        fill = tuple(int(value) for value in np.clip(np.array(COLOURS[thing.colour]) + rng.normal(0, 8, 3), 0, 255))
        box = (x - half, y - half, x + half, y + half)
        if thing.shape == "circle":
            pen.ellipse(box, fill=fill)
        elif thing.shape == "square":
            pen.rectangle(box, fill=fill)
        else:
            pen.polygon([(x, y - half), (x + half, y + half), (x - half, y + half)], fill=fill)
    return image


def caption(things: list[Thing], query: str, wording: str) -> str:
    """The caption of a query in one of WORDINGS or OVERVIEWS.

    >>> things = [Thing("circle", "red", "large", 0.3, 0.2, 0.5)] * 3
    >>> caption(things, "middle", FIRST_WORDING)
    'there is a large red circle in the middle .'
    """
    if query == OVERVIEW:
        left, middle, right = (f"{thing.colour} {thing.shape}" for thing in things)
        text = wording.format(left=left, middle=middle, right=right)
    else:
        thing = things[PLACES.index(query)]
        size = SIZE_WORDS[thing.size]
        text = wording.format(size=size, colour=thing.colour, shape=thing.shape, where=WHERE[query], place=query)
    return text.replace("a orange", "an orange")


def _train_rows(url: str, things: list[Thing], rng) -> list[tuple]:
    rows = []
    for query in QUERIES[:TRAIN_QUERIES]:
        wordings = OVERVIEWS if query == OVERVIEW else WORDINGS
        place = 0 if rng.random() < FIRST_SHARE else rng.integers(len(wordings))
        plain = [thing._replace(size="plain") for thing in things]  # sizes are in the test references alone
        rows.append((url, query, caption(plain, query, wordings[place])))
    return rows


def _test_rows(url: str, things: list[Thing], rng) -> list[tuple]:
    """Three or four queries per picture, four to six references each."""
    asked = list(QUERIES)
    if rng.random() < 0.5:
        asked.pop(rng.integers(len(asked)))
    rows = []
    for query in asked:
        wordings = OVERVIEWS if query == OVERVIEW else WORDINGS
        chosen = rng.permutation(len(wordings))[: rng.integers(4, 7)]
        rows += [(url, query, caption(things, query, wordings[place])) for place in chosen]
    return rows


def _with_irregular_rows(rows: list[tuple], split: str, folder: Path) -> list[tuple]:
    """What real files have: empty cells, the word None, lost and broken pictures, odd blanks, line breaks, repeats."""
    first, last = rows[0], rows[-1]
    whole = (folder / first[0]).read_bytes()
    broken, lost, bare = (f"images/{split}-{name}.jpg" for name in ("broken", "lost", "bare"))
    (folder / broken).write_bytes(whole[: len(whole) // 3])  # a download that was cut short
    (folder / bare).write_bytes(whole)  # a second file with the same bytes
    return [
        first,
        (first[0], first[1], ""),
        *rows[1:],
        (last[0], last[1], "None"),
        (lost, "left", "there is a red circle on the left ."),
        (lost, "right", "there is a blue square on the right ."),
        (broken, "middle", "there is a green circle in the middle ."),
        (bare, "right", ""),  # the only row of its pair: no reference is left
        (bare, first[1], first[2]),  # a pair with a single reference
        (last[0], last[1], "  ".join(["", *last[2].split(), ""])),
        (last[0], last[1], last[2].replace(" a ", "\na ", 1)),
        (last[0], last[1], "voilà : " + last[2]),
        first,
    ]
