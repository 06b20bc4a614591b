"""What is looked at in several keys of the retrieval study, on what is well formed: one mistake hides no other."""

from collections.abc import Iterator
from typing import Any

from retcap.config.common import Common
from retcap.config.errors import Place, Problem
from retcap.config.retrieval import Retrieval
from retcap.config.study import STUDIES
from retcap.retrieval.trainings import trainings
from retcap.retriever import config as cells

NEEDED = {"train": "training queries", "test": "test queries", "passages": "the corpus that test queries search"}
ELSEWHERE = {  # fields of ReTConfig that have a key of their own, and where
    "text_frozen": "`retrieval.training.freeze: [text]`, for all retrievers",
    "vision_frozen": "`retrieval.training.freeze: [vision]`, for all retrievers",
    "layer_strategy": "`layer_strategy`, beside `cell`",
}


def problems(retrieval: Retrieval, config: Common) -> Iterator[Problem]:
    """Everything that these checks find."""
    for check in (
        enough,
        data_sets,
        weights,
        negatives,
        cut_offs,
        backbones,
        names,
        devices,
        selection,
        cell_settings,
    ):
        yield from check(retrieval, config)


def enough(retrieval: Retrieval, config: Common) -> Iterator[Problem]:
    """A study needs something to compare on and something to compare."""
    if "retrieval" not in config.studies:
        return
    for name, what in (("datasets", "data set"), ("retrievers", "retriever")):
        if not getattr(retrieval, name):
            yield Problem(
                ("retrieval", name),
                f"no {what} is left. The study needs at least one: name one, or take `retrieval` out of `studies`.",
                (STUDIES,),
            )


def data_sets(retrieval: Retrieval, config: Common) -> Iterator[Problem]:
    """Files and folders that every data set has to name."""
    for name, own in retrieval.datasets.items():
        place = ("retrieval", "datasets", name)
        for part, what in NEEDED.items():
            if not getattr(own, part):
                yield Problem((*place, part), f"no file is named. Every data set needs {what}: give JSONL files.")
        if not own.valid and own.holdout is None:
            text = "neither `valid` nor `holdout` is given. Name validation files, or hold rows out of training."
            yield Problem((*place, "valid"), text, ((*place, "holdout"),))
        if not own.roots or (isinstance(own.roots, dict) and not all(own.roots.values())):
            yield Problem(
                (*place, "roots"),
                f"no folder of pictures is named. Got {own.roots!r}. Give one folder, or path prefix → folder; without "
                "it every picture would count as missing.",
            )


def weights(retrieval: Retrieval, config: Common) -> Iterator[Problem]:
    """Something must be trained on."""
    shares = [own.weight for own in retrieval.datasets.values()]
    if shares and not any(shares):
        last = list(retrieval.datasets)[-1]
        text = "the weights of all data sets are 0, so there is nothing to train on. Give one a weight above 0."
        yield Problem(("retrieval", "datasets", last, "weight"), text)


def negatives(retrieval: Retrieval, config: Common) -> Iterator[Problem]:
    """A contrastive loss over one pair is 0 whatever the model does."""
    own, place = retrieval.training, ("retrieval", "training")
    if "retrieval" in config.studies and own.per_device_batch_size * (own.gpus if own.gather_negatives else 1) < 2:
        text = (
            "one pair has no negatives in its batch, so the loss is 0 and nothing is learnt; accumulated batches "
            "do not see each other. Use 2 or more."
        )
        reads: tuple[Place, ...] = ((*place, "gpus"), (*place, "gather_negatives"))
        yield Problem((*place, "per_device_batch_size"), text, reads)


def cut_offs(retrieval: Retrieval, config: Common) -> Iterator[Problem]:
    """What was not searched cannot be scored."""
    deepest, depth = max(retrieval.k), retrieval.search.depth
    if deepest > depth:
        text = f"{deepest} lies beyond search.depth = {depth}. Search deeper or lower k: what was not searched cannot "
        yield Problem(("retrieval", "k"), text + "be scored.", (("retrieval", "search", "depth"),))


def backbones(retrieval: Retrieval, config: Common) -> Iterator[Problem]:
    """Every retriever stands on a backbone that is there."""
    known = ", ".join(config.backbones) or "none"
    for name, own in retrieval.retrievers.items():
        if own.backbone not in config.backbones:
            text = f"no backbone is named `{own.backbone}`. Known: {known}."
            place = ("retrieval", "retrievers", name, "backbone")
            yield Problem(place, text, (("backbones", own.backbone), ("retrieval", "backbones")))


def names(retrieval: Retrieval, config: Common) -> Iterator[Problem]:
    """A retriever must not have the name of another one's training by a further seed."""
    own, seeds = retrieval.retrievers, retrieval.training.seeds
    for name, made in [one for retriever in own for one in trainings([retriever], seeds, config.seed).items()]:
        if name != made.retriever and name in own:
            text = f"`{name}` is what the training of `{made.retriever}` with seed {made.seed} is called. Rename it."
            yield Problem(("retrieval", "retrievers", name), text, (("retrieval", "training", "seeds"),))


def devices(retrieval: Retrieval, config: Common) -> Iterator[Problem]:
    """The number of GPUs is part of the experiment: it multiplies the batch."""
    gpus = retrieval.training.gpus
    if config.device == "cpu" and gpus > 1:
        text = (
            f"{gpus} GPUs are asked for, but `device` is cpu, where one process would train with 1/{gpus} of the "
            "batch. Set 1, or `device: cuda`."
        )
        yield Problem(("retrieval", "training", "gpus"), text, (("device",),))


def selection(retrieval: Retrieval, config: Common) -> Iterator[Problem]:
    """The metric that selects the checkpoint is one of those evaluated."""
    training = retrieval.training
    known = [f"{kind}@{cut}" for kind in ("R", "PR") for cut in training.eval_k]
    if training.select_metric not in known:
        place = ("retrieval", "training")
        text = f"must be one of {', '.join(known)}. Got {training.select_metric!r} instead; further cut-offs go into "
        yield Problem((*place, "select_metric"), text + "`eval_k`.", ((*place, "eval_k"),))


def cell_settings(retrieval: Retrieval, config: Common) -> Iterator[Problem]:
    """Settings of every retriever's cell, each problem at its own key."""
    for name, own in retrieval.retrievers.items():
        place = ("retrieval", "retrievers", name)
        settings: dict[str, Any] = {"layer_strategy": own.layer_strategy}
        for field, value in own.cell.items():
            if field in ELSEWHERE:
                text = f"is no key of the cell, so that it cannot stand in two places. Use {ELSEWHERE[field]}."
                yield Problem((*place, "cell", field), text)
            else:
                settings[field] = value
        if own.cell.get("pooling") == "none":
            text = (
                "'none' gives a matrix of tokens per item and is only for loading ReT-1 checkpoints: training and "
                "search take one vector. Use `mean` or `first`."
            )
            yield Problem((*place, "cell", "pooling"), text)
        for field, text in cells.problems(settings, elsewhere=ELSEWHERE):
            yield Problem((*place, *(() if field == "layer_strategy" else ("cell",)), field), text)
