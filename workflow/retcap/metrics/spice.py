"""SPICE 1.0: F-score of scene-graph tuples, by the jar of pycocoevalcap, on PTB text; mean over items, 0 to 1.

    P = |T(c) ⊗ T(S)| / |T(c)|,  R = |T(c) ⊗ T(S)| / |T(S)|,  SPICE(c, S) = 2 P R / (P + R)
    T: objects, attributes and relations of the parsed text(s); ⊗ matches equal words and WordNet synonyms
    (Anderson et al. 2016, section 3.3, equations 2 to 4)

The jar parses with Stanford CoreNLP 3.6.0, which is in no Python package: `retcap.captions.corenlp`. Without it there
is no value and that is no failure; any substitute under this name would be another metric. An item whose caption or
whose references have no tuples scores 0, as in the jar.
"""

from retcap.captions.context import Context, Result
from retcap.captions.ptb import VERSION
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
SCORE_RAW = False  # parsing takes 0.1 s per caption


def score(candidates: list[str], references: list[list[str]], context: Context) -> dict[str, Result]:
    """Mean over items."""
    import numpy as np

    from retcap.captions.scene_graphs import SceneGraphs

    found, signature = context.corenlp, f"spice-1.0|corenlp:3.6.0|tok:ptb-{VERSION}|synsets:yes"
    if found.reason is not None:
        return {"spice": Result(None, len(candidates), signature, reason=found.reason, excused=True)}
    words, others = context.tokenised(candidates, references)
    graphs = context.keep("scene graphs", lambda: SceneGraphs(found, context.timeout_s))
    items = np.array(graphs.f_scores(words, others), dtype=np.float64)
    return {"spice": Result(float(items.mean()), len(items), signature, items=items)}
