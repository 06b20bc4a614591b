"""What experiments share below `results/data/`: generated worlds and downloads, one folder for each of their settings.

The configuration names such a folder by a placeholder at the beginning of a path, `<panorama_world>/test.csv`. Other
settings are another folder, so no experiment redraws or replaces what the results of another one came from.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retcap.config import Config

FOLDER = "results/data"
PLACEHOLDERS = ("m2kr_world", "panorama_world", "m2kr")
LONGEST = 80  # characters of a folder's name; longer ones become a hash


def folders(values: Mapping[str, Any]) -> dict[str, str]:
    """The folder of every placeholder, from the values of a whole configuration.

    `results/data/m2kr_world/seed-0`; for downloads repository and revision, `results/data/m2kr/owner/name/main`.
    """
    download = values["retrieval"]["download"]
    worlds = {name: f"{FOLDER}/{name}/{named(values[name])}" for name in ("m2kr_world", "panorama_world")}
    return {**worlds, "m2kr": f"{FOLDER}/m2kr/{download['repository']}/{download['revision'] or 'main'}"}


def named(settings: Mapping[str, Any]) -> str:
    """A folder's name that says the settings, or a hash where they do not fit into one.

    >>> named({"train_images": 2500, "seed": 0})
    'train_images-2500-seed-0'
    """
    text = "-".join(f"{name}-{value}" for name, value in settings.items())
    if len(text) <= LONGEST and all(isinstance(value, int) for value in settings.values()):
        return text
    return hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode()).hexdigest()[:16]


def is_made(path: str, found: dict[str, str]) -> bool:
    """Whether a rule makes this file or folder; `found` are the folders of the placeholders."""
    world, panoramas, download = (found[name] for name in PLACEHOLDERS)
    return (
        path == world
        or path.startswith(f"{world}/")
        or path in (f"{panoramas}/train.csv", f"{panoramas}/test.csv", f"{panoramas}/images")
        or (path.startswith(f"{download}/jsonl/") and path.endswith(".jsonl"))
    )


def placed(config: "Config") -> "Config":
    """The configuration with folders in the place of placeholders."""
    found = folders(config.model_dump())
    captioning, retrieval = config.captioning, config.retrieval
    names = ("csv", "train_csv", "images_root", "download_to")
    paths = {name: _placed(getattr(captioning, name), found) for name in names}
    sets = {
        name: own.model_copy(update=_placed({**own.files(), "roots": own.roots}, found))
        for name, own in retrieval.datasets.items()
    }
    return config.model_copy(
        update={
            "captioning": captioning.model_copy(update=paths),
            "retrieval": retrieval.model_copy(update={"datasets": sets}),
        }
    )


def _placed(value: Any, found: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _placed(item, found) for name, item in value.items()}
    if isinstance(value, list):
        return [_placed(item, found) for item in value]
    if isinstance(value, str) and value.startswith("<"):
        name, _, rest = value[1:].partition(">")
        return found[name] + rest
    return value
