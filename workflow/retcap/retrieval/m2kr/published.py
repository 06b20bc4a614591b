"""Published retrieval numbers on M2KR, each with its source and the caveat that belongs beside it.

Fractions, except where a name says percent. None: not published there. Corrections of the pilot experiment's own
write-up stand here too, each recomputed from numbers of its table or from published model configurations.
"""

from typing import NamedTuple

RET = "README of aimagelab/ReT, commit 3fee6aa"
FLMR = "README and docs/MODEL_ZOO.md of LinWeizheDragon/FLMR, commit be4b748"
PAPER = "Lin et al. 2024, PreFLMR (arXiv 2402.08327)"
PILOT = "pilot experiment, as stated in its write-up"

TEXT_ONLY = "searches passages of text only and was trained with MSMARCO; PLAID (approximate) search, 500 per query"
WITH_IMAGES = "OVEN, InfoSeek, E-VQA and OKVQA passages carry an image; PLAID (approximate) search, 500 per query"
CONVERTED = TEXT_ONLY + "; released weights differ slightly from those of the paper"
UNKNOWN_ORIGIN = "model and protocol are not identified; whether only the backbone differs is unknown"
PILOT_PROTOCOL = (
    "four training sets as they are, one device, about 354,000 steps; the official models use other mixtures"
)

CAVEATS = (
    "PreFLMR searches passages of text only; those of ReT in OVEN, InfoSeek, E-VQA and OKVQA carry an image.",
    "PreFLMR was trained with MSMARCO, ReT without.",
    "PreFLMR and ReT numbers come from PLAID, an approximate search, with 500 documents per query; ours is exact.",
    "The model zoo's figures for InfoSeek, E-VQA and OKVQA are PR@5, printed beside R@5 of other sets.",
    "Released and paper weights of PreFLMR differ slightly after conversion.",
    "ReT-2's own rows are not known here; no gap to it can be stated.",
    "PR of OVEN by the dialect `ret` is about 1 by construction: a string answer is compared character by character. "
    "The pilot's 53.4 % is therefore not of that dialect.",
    "PR of InfoSeek: the published program looks for a number as text, ours for any number in the answer's range, "
    "which is found more often. Compare with the row `ret` of the same rankings by other rules.",
)
COLUMNS = (
    ("wit", "R@10"),
    ("iglue", "R@1"),
    ("kvqa", "R@5"),
    ("msmarco", "R@5"),
    ("oven", "R@5"),
    ("llava", "R@1"),
    ("infoseek", "R@5"),
    ("infoseek", "PR@5"),
    ("evqa", "R@5"),
    ("evqa", "PR@5"),
    ("okvqa", "R@5"),
    ("okvqa", "PR@5"),
    ("oven", "PR@5"),
)


class Published(NamedTuple):
    """One row of a published table: scores by (data set, metric), only those that were published."""

    system: str
    scores: dict[tuple[str, str], float]
    source: str
    caveat: str

    def value(self, dataset: str, metric: str) -> float | None:
        """The published score on one of our data sets, which is matched by its name."""
        return self.scores.get((family(dataset), metric))


def family(dataset: str) -> str:
    """The name that published tables give one of our data sets.

    >>> family("m2kr_evqa"), family("okvqa_mm")
    ('evqa', 'okvqa')
    """
    return dataset.lower().removeprefix("m2kr_").removesuffix("_mm")


TABLE = """
ReT CLIP ViT-L                 .734 .818 .635 -    .820  .799 .470  .605  .445  .579  .202  .662  -
ReT OpenCLIP ViT-H             .714 .800 .593 -    .830  .798 .473  .607  .448  .578  .182  .634  -
ReT OpenCLIP ViT-G             .751 .822 .606 -    .840  .792 .520  .625  .486  .602  .190  .638  -
PreFLMR ViT-B/32, released     .427 .574 .294 .786 .468  .673 .260  .496  .550  .663  .272  .658  -
PreFLMR ViT-L, released        .605 .699 .440 .779 .608  .729 .374  .578  .609  .708  .314  .690  -
PreFLMR ViT-G, released        .619 .718 .419 .783 .643  .726 .392  .577  .625  .721  .302  .674  -
PreFLMR ViT-B, paper (327M)    .417 .573 .286 .795 .463  .672 -     .488  -     .679  -     .661  -
PreFLMR ViT-L, paper (543M)    .605 .692 .436 .787 .598  .718 -     .579  -     .708  -     .685  -
PreFLMR ViT-G, paper (2.1B)    .615 .715 .421 .786 .634  .724 -     .596  -     .731  -     .686  -
"baseline" of the pilot        -    -    -    -    .738  -    .369  -     .361  -     .120  -  -
TinyCLIP ReT-2 of the pilot    -    -    -    -    .5512 -    .0858 .3101 .0827 .2467 .0159 .3549  .5344
"""
ORIGINS = (  # how a system's name begins -> (source, caveat)
    ("ReT ", RET, WITH_IMAGES),
    ("PreFLMR ViT-B/32, released", FLMR, CONVERTED),
    ("PreFLMR ViT-L, released", FLMR, CONVERTED),
    ("PreFLMR ViT-G, released", FLMR, CONVERTED),
    ("PreFLMR ", PAPER, TEXT_ONLY),
    ('"baseline"', PILOT, UNKNOWN_ORIGIN),
    ("TinyCLIP ", PILOT, PILOT_PROTOCOL),
)


def _row(line: str) -> Published:
    *words, last = line.rsplit(maxsplit=len(COLUMNS) - 1)
    system, first = words[0].rsplit(maxsplit=1)
    cells = [first, *words[1:], last]
    known = {column: float(cell) for column, cell in zip(COLUMNS, cells, strict=True) if cell != "-"}
    source, caveat = next((source, caveat) for start, source, caveat in ORIGINS if system.startswith(start))
    return Published(system.strip(), known, source, caveat)


ROWS = tuple(_row(line) for line in TABLE.strip().split("\n"))


class PilotResult(NamedTuple):
    """One data set of the pilot's table, in percent, with the relative drop that its text claims for R@5."""

    dataset: str
    baseline_r5_percent: float
    tiny_r5_percent: float
    tiny_pr5_percent: float
    claimed_drop_percent: float
    test_queries: int  # size of the M2KR test set; all percentages are whole counts over it

    @property
    def drop_percent(self) -> float:
        """Relative change of R@5 that follows from the table: 100 * (tiny - baseline) / baseline."""
        return 100 * (self.tiny_r5_percent - self.baseline_r5_percent) / self.baseline_r5_percent

    @property
    def gap_points(self) -> float:
        """PR@5 - R@5, in percent points."""
        return self.tiny_pr5_percent - self.tiny_r5_percent


PILOT_TABLE = (
    PilotResult("oven", 73.8, 55.12, 53.44, -28.7, 5120),
    PilotResult("evqa", 36.1, 8.27, 24.67, -80.3, 3750),
    PilotResult("infoseek", 36.9, 8.58, 31.01, -77.6, 4708),
    PilotResult("okvqa_mm", 12.0, 1.59, 35.49, -89.0, 5046),
)


class Tower(NamedTuple):
    """Size of one CLIP tower, from which its parameters follow."""

    layers: int
    width: int
    positions: int
    embeddings: int  # parameters that turn the input into vectors: patches and class token, or the vocabulary
    norms: int  # layer norms outside the blocks
    output: int = 512

    @property
    def parameters(self) -> int:
        """Blocks (attention 4d^2 + 4d, MLP 8d^2 + 5d, two layer norms 4d), embeddings, positions, norms, projection."""
        block = 12 * self.width**2 + 13 * self.width
        outside = self.embeddings + self.positions * self.width + 2 * self.norms * self.width
        return self.layers * block + outside + self.width * self.output


VOCABULARY, CONTEXT, PATCHES = 49_408, 77, 50  # patches: 7 x 7 of a 224 px image at 32 px, and the class token


def _vision(layers: int, width: int) -> Tower:
    return Tower(layers, width, PATCHES, embeddings=3 * 32 * 32 * width + width, norms=2)


def _text(layers: int, width: int) -> Tower:
    return Tower(layers, width, CONTEXT, embeddings=VOCABULARY * width, norms=1)


TOWERS = {
    "TinyCLIP-ViT-61M-32-Text-29M": (_vision(12, 640), _text(9, 512)),  # wkcn/TinyCLIP, src/open_clip/model_configs
    "CLIP ViT-B/32": (_vision(12, 768), _text(12, 512)),  # Radford et al. 2021, table 20
}
STATED_MILLIONS = {  # vision, text, total as the pilot's write-up states them
    "TinyCLIP-ViT-61M-32-Text-29M": (61, 29, 90),
    "CLIP ViT-B/32": (86, 63, 149),
}
TEMPERATURE = 1  # the learned scale of the logits, one parameter beside the towers

CORRECTIONS = (  # (what the pilot's write-up says, what is right)
    (
        "OVEN is 'Object Video Event Network'",
        "Open-domain Visual Entity recognitioN (arXiv 2302.11154): image and text query to Wikipedia entity; no video",
    ),
    (
        "EVQA is 'Embodied Video Question Answering'",
        "Encyclopedic-VQA (arXiv 2306.09224): fine-grained categories, Wikipedia knowledge base; still images only",
    ),
    (
        "relative R@5 drops of -28.7 / -80.3 / -77.6 / -89.0 %",
        "-25.3 / -77.1 / -76.7 / -86.8 % (OVEN, E-VQA, InfoSeek, OKVQA), from the same table",
    ),
    (
        "61M vision and 29M text against 86M and 63M: 1.66 times smaller",
        "61.41M and 53.97M against 87.85M and 63.43M, so 115.38M against 151.28M: 1.31 times smaller; "
        "the 29M leave out the token embedding, the 63M do not",
    ),
    (
        "the total is the backbone",
        "fusion cell and adapters add about 28.8M at width 1,024, so the retriever has about 144M",
    ),
    (
        "the best checkpoint, epoch 19, is the final one of 20 finished epochs",
        "step 353,647 ends epoch 19, epoch 20 would end at 372,260; with the best at epoch 19 and patience 3, early "
        "stopping cannot have ended the run there",
    ),
    (
        "only the backbone differs from the baseline",
        "training sets, their balance, devices and steps differ as well; where the baseline is from is not stated",
    ),
    (
        "PR far above R means that related passages are found",
        "PR counts any passage with the answer string: floor, gold ceiling and whole-word variant come first",
    ),
    (
        "the smaller the set, the larger the gap",
        "four points; the gap also follows answer length and corpus size",
    ),
    (
        "OVEN is a simple task",
        "its corpus has 3,192 passages against 51,472 to 114,516: chance R@5 is 0.16 % against 0.005 to 0.03 %",
    ),
)
