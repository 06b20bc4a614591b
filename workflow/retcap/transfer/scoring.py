"""Everything that is scored of one encoder on one set: every classifier on the test pictures and on their shifts.

All classifiers are linear: they differ in where their weights come from. The result is a table of places (see `hits`),
one row per picture judged and one column per classifier, that the summary compares systems with; and a record.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from retcap.analysis import bootstrap
from retcap.features import image_sets
from retcap.features.frozen import Features
from retcap.transfer import few_shot, hits, image_text, overlap, probe, zero_shot

Scorer = Callable[[np.ndarray], np.ndarray]  # unit vectors (N, E) -> scores (N, C)
TEST = "test"
PROBE = "probe"


class Settings(NamedTuple):
    """What the configuration says; see `retcap.config.transfer`."""

    shots: Sequence[int]
    seeds: int
    few_shot_c: float
    c_low: float
    c_high: float
    per_decade: int
    max_iterations: int
    valid_share: float
    overlap_bits: int | None
    overlap_cosine: float | None
    recall_k: Sequence[int]
    draws: int
    seed: int


class Classifier(NamedTuple):
    """`kind`: zero-shot, probe or few-shot; of the last with k and the number of its draw."""

    name: str
    kind: str
    scores: Scorer
    k: int | None = None
    draw: int | None = None


class Evaluation(NamedTuple):
    """Pictures to judge on, and the classes to choose among (all, or those that a shifted set has)."""

    name: str
    features: Features
    rows: np.ndarray
    labels: np.ndarray  # numbers among `classes`
    classes: np.ndarray  # numbers of the base set


def evaluations(base: Features, shifts: Mapping[str, Features]) -> list[Evaluation]:
    """The test split, its shifted versions, and other sets' test splits that are shifts of this one.

    A shifted set with fewer classes than its base brings a second view of the base: the test pictures of its classes,
    to be told among these alone, so that both accuracies have the same task.
    """
    classes = np.arange(len(base.about["classes"]))
    present = set(base.items["split"])
    found = [_evaluation(split, base, split, classes) for split in image_sets.tested(sorted(present))]
    for name, other in shifts.items():
        own = np.array(image_sets.among(other.about["classes"], base.about["classes"], name, "its base set"))
        rows = _labelled(other, TEST)
        found.append(Evaluation(name, other, rows, other.items["label"][rows], own))
        if len(own) < len(classes):
            number = np.full(len(classes), -1)
            number[own] = np.arange(len(own))
            rows = _labelled(base, TEST)
            rows = rows[number[base.items["label"][rows]] >= 0]
            found.append(Evaluation(base_of(name), base, rows, number[base.items["label"][rows]], own))
    return [one for one in found if len(one.rows)]


def base_of(shift: str) -> str:
    """Name of the evaluation on the base set's pictures of a shifted set's classes.

    >>> base_of("imagenet_r")
    'test of imagenet_r'
    """
    return f"{TEST} of {shift}"


def classifiers(base: Features, settings: Settings) -> tuple[list[Classifier], dict[str, Any]]:
    """All classifiers that the set and the encoder allow, and how the probe came about."""
    count, found, about = len(base.about["classes"]), [], {}
    if base.prompts is not None:
        weights = zero_shot.weights_by_classifier(base.prompts, base.about["templates"])
        found = [Classifier(name, "zero-shot", _linear(own)) for name, own in weights.items()]
    train, valid = _training(base, settings)
    if not len(train):
        return found, about
    images, labels = np.asarray(base.images), base.items["label"]
    about["few_shot"] = {"shots": few_shot.possible(labels[train], count, settings.shots), "c": settings.few_shot_c}
    for draw in range(settings.seeds):
        for k in about["few_shot"]["shots"]:
            rng = np.random.default_rng([settings.seed, draw])  # the same for every k: draws are nested
            chosen = train[few_shot.draw(labels[train], count, k, rng)]
            fitted = probe.fit(
                images[chosen], labels[chosen], count, settings.few_shot_c, max_iterations=settings.max_iterations
            )
            found.append(Classifier(f"{k}-shot, draw {draw + 1}", "few-shot", fitted.scores, k, draw))
    fitted, about["probe"] = _probe(images, labels, train, valid, count, settings)
    return [*found, Classifier(PROBE, PROBE, fitted.scores)], about


def table(found: Sequence[Classifier], where: Sequence[Evaluation]) -> pd.DataFrame:
    """Places: columns evaluation, name, group, label, then one per classifier."""
    parts = []
    for one in where:
        images = np.asarray(one.features.images[one.rows])
        items = one.features.items
        columns: dict[str, Any] = {"evaluation": one.name, "name": items["name"][one.rows]}
        columns |= {"group": items["group"][one.rows], "label": one.classes[one.labels]}
        columns |= {own.name: hits.places(own.scores(images)[:, one.classes], one.labels) for own in found}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def retrieval(base: Features, ks: Sequence[int], draws: int, seed: int) -> dict[str, Any] | None:
    """R@k of both directions with intervals over pictures; None where test pictures have no captions or no vectors."""
    rows = [row for row in base.rows(TEST) if base.items["captions"][row]]
    if not rows or not base.captions:
        return None
    texts = [text for row in rows for text in base.items["captions"][row]]
    owner = np.repeat(np.arange(len(rows)), [len(base.items["captions"][row]) for row in rows])
    vectors = np.stack([base.captions[text] for text in texts])
    to_text, to_image = image_text.places(np.asarray(base.images[rows]), vectors, owner)
    codes, groups = bootstrap.cluster_codes(base.items["group"][rows])
    weights = bootstrap.draw_weights(groups, draws, np.random.default_rng([seed, 1]))
    found: dict[str, Any] = {"images": len(rows), "captions": len(texts), "distinct": len(set(texts))}
    for name, place, own in (("image to text", to_text, codes), ("text to image", to_image, codes[owner])):
        values = np.stack([place < k for k in ks], axis=1).astype(np.float64)
        spans = [(0.0, 1.0)] * len(ks)
        scores = bootstrap.mean_intervals(values, own, weights, spans=spans)
        found[name] = {f"R@{k}": estimate(score) for k, score in zip(ks, scores, strict=True)}
    return found


def overlaps(
    base: Features, places: pd.DataFrame, other: np.ndarray | None, settings: Settings
) -> dict[str, Any] | None:
    """What near duplicates add, per classifier: of pre-training pictures (`other`: their hashes), of training ones."""
    if settings.overlap_bits is None and settings.overlap_cosine is None:
        return None
    rows = _labelled(base, TEST)
    own = places[places["evaluation"] == TEST]
    codes, groups = bootstrap.cluster_codes(base.items["group"][rows])
    weights = bootstrap.draw_weights(groups, settings.draws, np.random.default_rng([settings.seed, 2]))
    found = dict[str, Any](bits=settings.overlap_bits, cosine=settings.overlap_cosine)
    for name, (train, near) in _near(base, rows, other, settings).items():
        of = [column for column in own.columns[4:] if "draw" not in column]
        scored = {column: overlap.accuracies((own[column] == 0).to_numpy(), near, codes, weights) for column in of}
        found[name] = {
            "pictures": train,
            "overlapping": int(near.sum()),
            "classifiers": {
                column: one._asdict() | {"gain": None if one.gain is None else estimate(one.gain)}
                for column, one in scored.items()
            },
        }
    return found


def _near(
    base: Features, rows: np.ndarray, other: np.ndarray | None, settings: Settings
) -> dict[str, tuple[int, np.ndarray]]:
    """By where was looked: number of pictures there, and which of the rows have a near duplicate among them."""
    hashes, trained = base.items["phash"], np.concatenate([base.rows("train"), base.rows("valid")])
    found = {}
    if settings.overlap_bits is not None:
        for name, own in (("training", hashes[trained]), ("pre-training", other)):
            if own is not None and len(own):
                found[name] = len(own), overlap.by_hash(own, hashes[rows], settings.overlap_bits)
    if settings.overlap_cosine is not None and len(trained):
        vectors = np.asarray(base.images[trained]), np.asarray(base.images[rows])
        found["training, by vector"] = len(trained), overlap.by_vector(*vectors, settings.overlap_cosine)
    return found


def estimate(found: bootstrap.Interval) -> dict[str, float | None]:
    """Value and bounds; None where too few clusters carry data."""
    known = not np.isnan(found.low)
    return {
        "value": found.value,
        "low": found.low if known else None,
        "high": found.high if known else None,
        "n": found.clusters,
    }


def _evaluation(name: str, features: Features, split: str, classes: np.ndarray) -> Evaluation:
    rows = _labelled(features, split)
    return Evaluation(name, features, rows, features.items["label"][rows], classes)


def _labelled(features: Features, split: str) -> np.ndarray:
    rows = features.rows(split)
    return rows[features.items["label"][rows] >= 0]


def _training(base: Features, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and to validate on; a share of the training rows where the set has no validation split."""
    train, valid = _labelled(base, "train"), _labelled(base, "valid")
    if len(train) and not len(valid):
        rng = np.random.default_rng([settings.seed, 3])
        kept, held = probe.split_validation(base.items["label"][train], settings.valid_share, rng)
        return train[kept], train[held]
    return train, valid


def _probe(
    images: np.ndarray, labels: np.ndarray, train: np.ndarray, valid: np.ndarray, classes: int, settings: Settings
) -> tuple[probe.Probe, dict[str, Any]]:
    swept = probe.sweep(
        (images[train], labels[train]),
        (images[valid], labels[valid]),
        classes,
        low=settings.c_low,
        high=settings.c_high,
        per_decade=settings.per_decade,
        max_iterations=settings.max_iterations,
    )
    both = np.concatenate([train, valid])
    fitted = probe.fit(images[both], labels[both], classes, swept.best, max_iterations=settings.max_iterations)
    about = {
        "c": swept.best,
        "at_edge": swept.at_edge,
        "validation": {f"{c:g}": accuracy for c, accuracy in sorted(swept.tried.items())},
        "train": len(train),
        "valid": len(valid),
        "iterations": fitted.iterations,
        "converged": fitted.converged,
    }
    return fitted, about


def _linear(weights: np.ndarray) -> Scorer:
    return lambda images: images.astype(np.float64) @ weights.T
