"""Scores of the runs of one job, and of the baselines, by the scoring that captioning uses."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from retcap.captions import baselines, corenlp, files, frequencies, item_tables, scoring
from retcap.captions.clean import clean_captions
from retcap.captions.context import Context
from retcap.captions.judge import parser
from retcap.captions.places import Places, of_human
from retcap.captions.reference_texts import ReferenceTexts
from retcap.features.frozen import Features
from retcap.prefix.items import QUERY, TEST, TRAIN, item_id

BLIND, HUMAN = "blind", "human"


class Settings(msgspec.Struct, kw_only=True, frozen=True):
    """How captions are scored; the names are those of the configuration."""

    metrics: list[str]
    human_draws: int
    bootstrap_draws: int
    seed: int


def items(features: Features) -> pd.DataFrame:
    """The test pictures as pairs.parquet has them, with all their captions as references."""
    own = features.items
    return pd.DataFrame(
        [
            {
                "item_id": item_id(own["name"][row]),
                "image": own["name"][row],
                "image_key": own["sha256"][row],
                "query": QUERY,
                "references": list(own["captions"][row]),
                "rows": [],
            }
            for row in features.rows(TEST)
        ]
    )


def human(pairs: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """References that are held out, as captions."""
    return clean_captions(baselines.human(pairs, seed=settings.seed, draws=settings.human_draws))


def blind(features: Features, pairs: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """One training caption for every picture: the one that is nearest to all others."""
    captions = features.items["captions"]
    training = [(QUERY, text) for row in features.rows(TRAIN) for text in captions[row]]
    return clean_captions(baselines.blind(pairs, training, seed=settings.seed))


class Judge:
    """Scores one system after another with the same context: references are tokenised once, METEOR starts once."""

    def __init__(self, features: Features, settings: Settings, spice: corenlp.CoreNLP) -> None:
        self.settings, self.pairs = settings, items(features)
        texts = sorted({text for one in self.pairs["references"] for text in one})
        with Context() as first:
            tokens = dict(zip(texts, first.ptb(texts), strict=True))
            idf = frequencies.build(self.pairs["references"], first)
        self.context = Context(idf, spice, ReferenceTexts(tokens, None))
        self.human = human(self.pairs, settings)
        self.held: Places = of_human(self.human)

    def score(self, captions: pd.DataFrame) -> tuple[dict[str, Any], pd.DataFrame]:
        """The content of a metrics file, and the table of values per picture."""
        found = scoring.score_captions(self.pairs, captions, self.settings.metrics, self.context, self.held)
        rng = np.random.default_rng(self.settings.seed)
        return scoring.report(found, rng=rng, draws=self.settings.bootstrap_draws), item_tables.item_table(found)

    def write(self, folder: Path, name: str, captions: pd.DataFrame, about: Mapping[str, Any]) -> None:
        """Score a system and write `<name>.json` and `<name>.parquet`."""
        result, table = self.score(captions)
        (folder / f"{name}.json").write_text(json.dumps(dict(about) | result, indent=1) + "\n", encoding="utf-8")
        table.to_parquet(folder / f"{name}.parquet")

    def __enter__(self) -> "Judge":
        self.context.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.context.__exit__(*error)


def score_runs(out: Path, captions: Path, features: Features, settings: Settings, spice: corenlp.CoreNLP) -> list[str]:
    """Score every run whose captions lie in a folder; gives what could not be computed."""
    out.mkdir()
    missing = []
    with Judge(features, settings, spice) as judge:
        for path in sorted(captions.glob("*.parquet")):
            said = clean_captions(files.read_captions(path))
            judge.write(out, path.stem, said, {"run": path.stem})
            result = json.loads((out / f"{path.stem}.json").read_text(encoding="utf-8"))
            missing += [f"{key}: {reason}" for key, reason in scoring.not_computed(result).items()]
    return missing


def score_baselines(out: Path, features: Features, settings: Settings, spice: corenlp.CoreNLP) -> None:
    """Score captions that saw no picture, and those of people."""
    out.mkdir()
    with Judge(features, settings, spice) as judge:
        judge.write(out, BLIND, blind(features, judge.pairs, settings), {"run": BLIND})
        judge.write(out, HUMAN, judge.human, {"run": HUMAN})


def spice_parser(path: str | list[str] | None, failed: Mapping[str, Any]) -> corenlp.CoreNLP:
    """What SPICE parses with, from the rule's input."""
    return parser(path if isinstance(path, str) else None, failed)
