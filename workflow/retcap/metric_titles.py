"""The titles of metrics on the page and on the terminal, and which of their values stand in short tables."""

from collections.abc import Iterator
from functools import cache
from types import ModuleType

from retcap import plugins

HEADLINES = {"bleu4": "BLEU-4", "meteor": "METEOR", "rougeL": "ROUGE-L", "cider": "CIDEr", "spice": "SPICE"}  # by key
HEADLINE = "cider"  # the metric that ranks sight above no sight; BLEU-4 and ROUGE-L do not on multi-reference data


@cache
def titles() -> dict[str, str]:
    """Key of a caption metric → title: its card's, and the key behind it where a metric has several."""
    found = {}
    for module in _modules("captioning"):
        found |= {key: module.CARD.title if len(module.KEYS) == 1 else _of(module, key) for key in module.KEYS}
    return found | HEADLINES


def title(key: str) -> str:
    """Title of one key; of one that no plugin has (any more), the key itself."""
    return titles().get(key, key.replace("_", " "))


@cache
def short_keys() -> list[str]:
    """Keys of caption metrics for short tables: the five of the field, then what other plugins want to show."""
    others = [key for module in _modules("captioning") for key in _shown(module, module.KEYS)]
    return [*HEADLINES, *(key for key in others if key not in HEADLINES)]


@cache
def short_measures() -> list[str]:
    """Retrieval measures for short tables, R first."""
    shown = [name for module in _modules("retrieval") for name in _shown(module, tuple(module.MEASURES))]
    return sorted(shown, key=lambda name: name != "R")


def _modules(task: str) -> Iterator[ModuleType]:
    return (plugins.load("metrics", name) for name in plugins.names("metrics", task))


@cache
def look_keys() -> list[str]:
    """Keys of caption metrics that say how captions look: they stand in a table of their own."""
    return [key for module in _modules("captioning") if module.CARD.kind == "look" for key in module.KEYS]


def _shown(module: ModuleType, every: tuple[str, ...]) -> tuple[str, ...]:
    if module.CARD.kind == "look":
        return ()
    return every if module.CARD.shown is None else module.CARD.shown


def _of(module: ModuleType, key: str) -> str:
    return f"{module.CARD.title}: {key.replace('_', ' ')}"
