"""Configuration of the CLIP transfer study."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from retcap.config.limits import BATCH, DRAWS, SEEDS, STEPS
from retcap.config.parts import (
    DataPath,
    Fraction,
    NotNegative,
    OwnName,
    Positive,
    PositiveNumber,
    Section,
    Unique,
    key,
    plugin,
    without_nulls,
)
from retcap.config.study import SharedFolder

ClassificationSet = Annotated[str, plugin("datasets", "classification")]
PAPER = "Radford et al. 2021"
PER_CLASS = (100_000.0, "no classification set has that many pictures of every class")
BITS = (16.0, "two pictures that have nothing in common differ in 32 of 64 bits")


def template(text: str) -> str:
    """A prompt template: one place for the name of the class."""
    if text.replace("{c}", "{}").count("{}") != 1:
        raise ValueError(f"`{text}` needs one {{}} where the name of the class goes.")
    return text


class TransferWorld(SharedFolder):
    """A generated classification set: things by colour and shape, 64 classes, six shifts of its test pictures."""

    PLACEHOLDER: ClassVar[str] = "transfer_world"
    MEANING: ClassVar[str] = "the generated classification set"
    train: Positive = key(20, "training pictures per class", "pictures", most=PER_CLASS)
    valid: Positive = key(4, "validation pictures per class", "pictures", most=PER_CLASS)
    test: Positive = key(8, "test pictures per class, each under six shifts too", "pictures", most=PER_CLASS)
    seed: NotNegative = key(0, "seed of the world", most=SEEDS)

    def makes(self, path: str, *, folder: bool) -> bool:
        """The folder itself."""
        return path == ""


class TransferSet(Section):
    """One classification or image-text set."""

    plugin: ClassificationSet = key("image_folder", "how its files are read")
    folder: DataPath | None = key(None, "folder of its files; null for a set that needs none", "path")
    shift_of: str | None = key(None, "name of the set whose classes it shows under a shift; its probes judge it")
    templates: list[Annotated[str, AfterValidator(template)]] | None = key(
        None, "prompt templates, {} for the name, the first also alone; null: those of the set"
    )
    metric: Literal["top-1", "mean per class"] = key("top-1", "the accuracy that the set's authors use")
    train_per_class: Positive | None = key(
        None, "training pictures read per class, the first in the set's order; null: all", "pictures", most=PER_CLASS
    )
    needs_none: ClassVar[tuple[str, ...]] = ("sklearn_digits",)


class ProbeSettings(Section):
    """The linear probe; C is its inverse strength of the L2 penalty."""

    c_low: PositiveNumber = key(0.1, "smallest C tried; the paper's 1e-6 for features before the projection")
    c_high: PositiveNumber = key(1000.0, "largest C tried; the paper's 1e6")
    per_decade: Positive = key(
        2, "values of C per power of ten in the end; the paper has 8", most=(64.0, "every value is a fit")
    )
    max_iterations: Positive = key(1000, "of L-BFGS", "iterations", PAPER, most=STEPS)
    valid_share: Fraction = key(
        0.2, "share of the training pictures to choose C on, for sets without a validation split"
    )


class FewShot(Section):
    """Few-shot probes."""

    shots: Annotated[Unique[Positive], Field(min_length=1)] = key(
        [1, 2, 4, 8, 16], "training pictures per class", "pictures", PAPER
    )
    draws: Positive = key(5, "draws of the training pictures", "draws", most=(1000.0, "each is a fit for every k"))
    c: PositiveNumber = key(32.0, "C: unit vectors at 32 are vectors of length 10 at the 0.32 of CLIP's own example")


class Transfer(Section):
    """Study 3: frozen features of CLIP backbones on classification and image-text sets."""

    backbones: Annotated[Unique[str], Field(min_length=1)] | None = key(
        None, "which of `backbones`, in order; null: all of them"
    )
    pixels: bool = key(True, "raw pixels beside the backbones: a probe on 8 x 8 pixels")
    sets: dict[OwnName, TransferSet] = key(
        {
            "things": TransferSet(plugin="webdataset_tars", folder="<transfer_world>"),
            "digits": TransferSet(plugin="sklearn_digits"),
        },
        "sets, by a name of your own; null leaves one out",
    )
    jobs: Literal["encoder", "set"] = key(
        "encoder", "what one job embeds or scores: `encoder`, all sets by one encoder; `set`, one, for large sets"
    )
    resize: Literal["cover", "squash"] = key(
        "squash", "`cover`: shortest side, centre crop, as CLIP; `squash`: exact size"
    )
    compute: Literal["fp32", "bf16", "fp16"] = key("fp32", "what the model computes in")
    batch_size: Positive = key(128, "pictures or texts per batch", "items", most=BATCH)
    few_shot: FewShot = key(FewShot(), "few-shot probes")
    probe: ProbeSettings = key(ProbeSettings(), "the linear probe")
    near_duplicate_bits: NotNegative | None = key(
        4, "bits of 64 in which near-duplicate pictures may differ; null: hashes are not compared", "bits", most=BITS
    )
    near_duplicate_cosine: Fraction | None = key(
        None, "cosine of two pictures' vectors from which they are near duplicates too; null: by their hashes alone"
    )
    trained_on: dict[OwnName, DataPath] = key(
        {},
        "by backbone, a CSV whose column `filepath` names pictures that it was trained on, to look for their near "
        "duplicates among the test pictures; those of `tiny` are known",
        "path",
    )
    k: Annotated[Unique[Positive], Field(min_length=1)] = key([1, 5, 10], "cut-offs of image-text retrieval")
    bootstrap_draws: Positive = key(1000, "draws of the bootstrap over pictures", "draws", most=DRAWS, least=100)

    @field_validator("sets", mode="before")
    @classmethod
    def _null_leaves_out(cls, entries: Any, info: ValidationInfo) -> Any:
        return without_nulls(cls, entries, info)
