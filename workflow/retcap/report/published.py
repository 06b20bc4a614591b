"""Published numbers, shown beside ours as orientation and never as a like-for-like comparison.

Fractions. Sources: README of aimagelab/ReT (ReT rows); README and docs/MODEL_ZOO.md of LinWeizheDragon/FLMR, weights as
released (PreFLMR rows, arXiv 2402.08327). The TinyCLIP row and its baseline are the pilot experiment's own figures.
"""

from dataclasses import dataclass

METRICS = ("R@5", "PR@5")


@dataclass(frozen=True)
class Published:
    """One published row: (R@5, PR@5) as fractions by data set, None where nothing was published."""

    system: str
    source: str
    values: dict[str, tuple[float | None, float | None]]

    def value(self, dataset: str, metric: str) -> float | None:
        """A published value for one of our data sets, which is matched by its name."""
        pair = self.values.get(family(dataset) or "", (None, None))
        return pair[METRICS.index(metric)] if metric in METRICS else None


SETS = ("oven", "infoseek", "evqa", "okvqa")
TABLE = [
    ("ReT CLIP ViT-L", "ReT README", (0.820, None), (0.470, 0.605), (0.445, 0.579), (0.202, 0.662)),
    ("ReT OpenCLIP ViT-H", "ReT README", (0.830, None), (0.473, 0.607), (0.448, 0.578), (0.182, 0.634)),
    ("ReT OpenCLIP ViT-G", "ReT README", (0.840, None), (0.520, 0.625), (0.486, 0.602), (0.190, 0.638)),
    ("PreFLMR ViT-B/32", "FLMR model zoo", (0.468, None), (0.260, 0.496), (0.550, 0.663), (0.272, 0.658)),
    ("PreFLMR ViT-L", "FLMR model zoo", (0.608, None), (0.374, 0.578), (0.609, 0.708), (0.314, 0.690)),
    ("PreFLMR ViT-G", "FLMR model zoo", (0.643, None), (0.392, 0.577), (0.625, 0.721), (0.302, 0.674)),
    ("pilot's “baseline”, as stated", "pilot experiment", (0.738, None), (0.369, None), (0.361, None), (0.120, None)),
    ("pilot's TinyCLIP with ReT-2", "pilot experiment", (0.551, 0.534), (0.086, 0.310), (0.083, 0.247), (0.016, 0.355)),
]  # fmt: skip
ROWS = [Published(system, source, dict(zip(SETS, pairs, strict=True))) for system, source, *pairs in TABLE]

CAVEATS = [
    "PreFLMR searches text only; in ReT the passages of OVEN, InfoSeek, E-VQA and OKVQA carry an image too.",
    "PreFLMR was trained with MSMARCO, ReT without; both saw more sets than the four shown here.",
    "Both used PLAID, an approximate search, with 500 documents per query; here the search is exact.",
    "Released and paper weights of PreFLMR differ slightly after conversion; the rows show the released ones.",
    "In the FLMR model zoo the figures for InfoSeek, E-VQA and OKVQA are PR@5 printed beside R@5 of other sets.",
    "What the pilot calls its baseline is not identified beyond that name; its protocol differs as well.",
]


def family(dataset: str) -> str | None:
    """The published data set a local one stands for, by its name.

    >>> family("m2kr_evqa"), family("okvqa_mm"), family("shapes")
    ('evqa', 'okvqa', None)
    """
    return next((name for name in SETS if name in dataset.lower().split("_")), None)
