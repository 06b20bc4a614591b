"""The captioning study in the configuration."""

from collections.abc import Callable, Iterator
from pathlib import Path

from retcap import plugins
from retcap.config.captioning import Captioning, PanoramaWorld
from retcap.config.common import Common
from retcap.config.errors import Place, Problem
from retcap.config.study import STUDIES, Checkpoint, Study
from retcap.jobs import hub
from retcap.worlds import recipes


def problems(own: Captioning, config: Common) -> Iterator[Problem]:
    """The study needs something that captions, and tiny checkpoints need something to learn from."""
    if "captioning" not in config.studies:
        return
    if not own.models and not own.baselines and not own.predictions:
        text = "neither a captioner nor a baseline is left. Name one, or take `captioning` out of `studies`."
        yield Problem(("captioning", "models"), text, (("captioning", "baselines"), STUDIES))
    if own.encoder not in (None, "tiny", *config.backbones) and "clipscore" in own.metrics:
        text = f"no backbone is named `{own.encoder}`. Known: {', '.join(config.backbones) or 'none'}. Or give null."
        yield Problem(("captioning", "encoder"), text, (("backbones", own.encoder), ("captioning", "metrics"), STUDIES))
    tiny = [name for name in own.models if own.checkpoint_of(name) == "tiny"]
    if own.train_csv is None and tiny:
        text = f"is null, and the tiny checkpoints of {', '.join(tiny)} are trained on it. Name a CSV, or a checkpoint."
        reads: tuple[Place, ...] = (("captioning", "checkpoint"), ("captioning", "models"), STUDIES)
        yield Problem(("captioning", "train_csv"), text, reads)
    for name in tiny:
        if name not in recipes.names():
            place: Place = ("captioning", "options", name, "checkpoint")
            yield Problem(place, recipes.missing(name), (("captioning", "checkpoint"), ("captioning", "models")))


def files(own: Captioning) -> Iterator[tuple[Place, str]]:
    """The CSVs, captions made elsewhere, and people's ratings."""
    yield from ((("captioning", *place), path) for place, path in own.csvs().items())
    for name, made in own.predictions.items():
        yield ("captioning", "predictions", name, "file"), made.file
    yield from _given(own, "judgements")


def folders(own: Captioning) -> Iterator[tuple[Place, str]]:
    """Folders of pictures."""
    yield from _given(own, "images_root", "download_to")


def warnings(own: Captioning, comes: Callable[[str], bool]) -> Iterator[Problem]:
    """A folder of pictures that is not there yet, and captioners whose gated weights nobody here may have."""
    if own.images_root is not None and not comes(own.images_root):
        text = f"no folder at `{own.images_root}` (seen from {Path.cwd()}), so no picture of the CSV can be read."
        yield Problem(("captioning", "images_root"), f"warning: {text}")
    for at, name in enumerate(own.models):
        card, options = plugins.load("captioners", name).CARD, own.options.get(name)
        if not card.gated or own.checkpoint_of(name) not in ("hub", card.model_id):
            continue
        revision = (options.revision if options else None) or card.revision or "main"
        if hub.snapshot(card.model_id, revision) is None and hub.token() is None:
            text = (
                f"{card.model_id} is gated, and there is no token of the hub here, so {name} will fail alone. "
                f"{hub.GATED.format(source=card.model_id)} Or leave {name} out."
            )
            yield Problem(("captioning", "models", at), f"warning: {text}")


def checkpoints(own: Captioning) -> Iterator[Checkpoint]:
    """That of the study, and those of single captioners."""
    words = ("tiny", "hub")
    yield Checkpoint(("captioning", "checkpoint"), own.checkpoint, words, "config.json", None)
    for name, options in own.options.items():
        place = ("captioning", "options", name)
        if options.checkpoint is not None:
            yield Checkpoint((*place, "checkpoint"), options.checkpoint, words, "config.json", options.revision)
        elif options.revision is not None:
            yield Checkpoint((*place, "revision"), own.checkpoint, words, "config.json", options.revision)


def _given(own: Captioning, *names: str) -> Iterator[tuple[Place, str]]:
    for name in names:
        if (path := getattr(own, name)) is not None:
            yield ("captioning", name), path


STUDY = Study(
    number=2,
    meaning="vision-language models caption panoramas",
    section=Captioning,
    worlds=(PanoramaWorld,),
    problems=problems,
    files=files,
    folders=folders,
    checkpoints=checkpoints,
    warnings=warnings,
)
