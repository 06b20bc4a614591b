"""python -m retcap caption IMAGE... --model FOLDER: caption pictures with a model that a run has trained.

FOLDER is a trained cell of prefix captioning (results/<experiment>/prefix/models/<job>/<cell>) or the checkpoint of a
captioner of the ablation (results/<experiment>/models/<captioner>). One line per picture: its path, a tab, the caption.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from retcap import plugins

CONFIG = "config.json"
QUERY = "what is there"  # asked of a captioner where nothing else is


def main(arguments: Sequence[str]) -> int:
    """Command line entry; 1 where a picture or the model cannot be used."""
    options = _parser().parse_args(arguments)
    status = 0
    try:
        pictures = {path: path.read_bytes() for path in options.image}
        for path, text in _captions(pictures, options):
            print(f"{path}\t{text}")
    except (OSError, ValueError) as error:
        print(f"caption: {error}", file=sys.stderr)
        status = 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m retcap caption", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", nargs="+", type=Path, help="picture files")
    parser.add_argument("--model", required=True, type=Path, metavar="FOLDER", help="trained cell, or checkpoint")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--max-tokens", type=int, default=67, help="longest caption (default: 67)")
    cell = parser.add_argument_group("a cell of prefix captioning")
    cell.add_argument("--decoding", default="beam", choices=("greedy", "beam", "nucleus", "contrastive"))
    cell.add_argument("--seed", type=int, default=0, help="of nucleus sampling")
    cell.add_argument("--backbone", help="folder of its CLIP, where that is not where it was")
    captioner = parser.add_argument_group("a captioner of the ablation")
    captioner.add_argument("--captioner", help="its name, where the folder is not named so")
    captioner.add_argument("--query", default=QUERY, help=f"what the caption is to be about (default: {QUERY})")
    captioner.add_argument("--prompt", default="bare", help="captioning.prompt (default: bare)")
    captioner.add_argument("--image-policy", default="squash", help="captioning.image_policy (default: squash)")
    return parser


def _captions(pictures: dict[Path, bytes], options: argparse.Namespace) -> Iterator[tuple[Path, str]]:
    """Path and caption of every picture. FileNotFoundError for a folder that is no model."""
    file = options.model / CONFIG
    if not file.is_file():
        raise FileNotFoundError(f"{options.model}: no {CONFIG}, so this is no model. Give the folder that has it.")
    if "cell" in json.loads(file.read_text(encoding="utf-8")):
        yield from zip(pictures, _by_cell(list(pictures.items()), options), strict=True)
    else:
        yield from zip(pictures, _by_captioner(pictures, options), strict=True)


def _by_cell(pictures: list[tuple[Path, bytes]], options: argparse.Namespace) -> list[str]:
    import numpy as np

    from retcap.features import encoders
    from retcap.prefix import captioner, decoding, speaking

    loaded = captioner.load(options.model, device=options.device)
    about = loaded.about
    source = options.backbone or about["backbone_source"]
    own = about["backbone"] | {"checkpoint": str(source)}
    encoder = encoders.load(
        "backbone", None, own, options.device, resize=about["resize"], compute="fp32", batch_size=len(pictures)
    )
    seen = np.stack([_decoded(path, data, encoder.resize, encoder.side_px) for path, data in pictures])
    settings = decoding.Settings(max_tokens=options.max_tokens, seed=options.seed)
    numbers = range(len(pictures))
    said = speaking.caption(loaded, options.decoding, encoder.images(seen), numbers, settings, len(pictures))
    return [text for text, _ in said]


def _by_captioner(pictures: dict[Path, bytes], options: argparse.Namespace) -> Iterator[str]:
    name = options.captioner or options.model.name
    plugins.check("captioners", name)
    from retcap.captioning import model
    from retcap.captions.clean import clean

    captioner = model.load(
        plugins.load("captioners", name),
        options.model,
        policy=options.image_policy,
        prompt_set=options.prompt,
        device=options.device,
    )
    for path, data in pictures.items():
        picture = _decoded(path, data, "fit", 2048, 1024)
        encoded = captioner.encode(options.query, picture, str(path))
        yield clean(captioner.generate([encoded], options.max_tokens)[0].text)


def _decoded(path: Path, data: bytes, mode: Any, width_px: int, height_px: int | None = None) -> Any:
    """Pixels. ValueError with the path where the file is no picture."""
    from retcap.pictures import pixels

    try:
        return pixels.decode(data, pixels.Resize(mode, width_px, height_px or width_px))[0]
    except pixels.BadImage as error:
        raise ValueError(f"{path} is no picture that can be read: {error.detail}") from None
