"""SPICE: F-score of scene-graph tuples (Anderson et al. 2016). Not computed yet: null with the reason, never 0.

The SPICE jar parses captions with Stanford CoreNLP 3.6.0, whose code and models (384 MB, GPL) are in no Python package.
"""

from retcap.captions.context import Context, Result
from retcap.records import MetricCard

CARD = MetricCard(
    name="spice",
    title="SPICE",
    task="captioning",
    unit="fraction",
    low=0.0,
    high=1.0,
    source="Anderson et al. 2016, https://github.com/peteanderson80/SPICE",
)
KEYS = ("spice",)
REASON = (
    "SPICE needs stanford-corenlp-3.6.0.jar and stanford-corenlp-3.6.0-models.jar (Maven: "
    "edu.stanford.nlp:stanford-corenlp:3.6.0, with and without classifier `models`). The package pycocoevalcap does "
    "not contain them, and this version does not fetch them."
)


def score(candidates: list[str], references: list[list[str]], context: Context) -> dict[str, Result]:
    """No value, and that is no failure of the run; any substitute under this name would be another metric."""
    return {"spice": Result(None, len(candidates), "spice-1.0|not-run", reason=REASON, excused=True)}
