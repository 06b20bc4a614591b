"""chrF and the other ROUGE-L against their packages; what says how captions look, by values a reader can count."""

import numpy as np
import pandas as pd
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer

from retcap import plugins
from retcap.captions import item_tables, scoring
from retcap.captions.context import Context
from retcap.metric_titles import look_keys, short_keys

WORDS = st.sampled_from(["a", "red", "buses", "running", "The", "road,", "mat.", "it's", "(big)", "ran"])
SENTENCE = st.lists(WORDS, min_size=1, max_size=9).map(" ".join)
ITEMS = st.lists(
    st.tuples(st.lists(WORDS, max_size=9).map(" ".join), st.lists(SENTENCE, min_size=1, max_size=4)),
    min_size=1,
    max_size=4,
)
LOOKS = ["length", "distinct", "repetition", "refusals"]


class Spaces(Context):
    """Tokens are words between spaces: no JVM."""

    def ptb(self, texts):
        return list(texts)


def compute(metric: str, candidates: list[str], references: list[list[str]] | None = None):
    return plugins.load("metrics", metric).score(candidates, references or [["x"]] * len(candidates), Spaces())


@given(ITEMS)
@settings(max_examples=40, deadline=None)
def test_chrf_and_rouge_score_equal_their_packages(items):
    candidates, references = map(list, zip(*items, strict=True))
    streams = [[texts[k] if k < len(texts) else None for texts in references] for k in range(4)]
    for key, result in compute("chrf", candidates, references).items():
        metric = sacrebleu.CHRF(word_order=2 if key == "chrf_pp" else 0)
        assert result.value == pytest.approx(metric.corpus_score(candidates, streams).score / 100, abs=1e-12)
        theirs = [metric.sentence_score(one, texts).score / 100 for one, texts in items]
        assert result.items.tolist() == pytest.approx(theirs, abs=1e-12)
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=True)
    theirs = [scorer.score_multi(texts, one)["rougeL"].fmeasure for one, texts in items]
    assert compute("rouge_score", candidates, references)["rougeL_f1"].items.tolist() == pytest.approx(
        theirs, abs=1e-12
    )


def test_only_rouge_score_stems():
    candidates, references = ["two cats"], [["two cat"]]
    assert compute("rouge_score", candidates, references)["rougeL_f1"].value == 1.0
    assert compute("rouge_l", candidates, references)["rougeL"].value == pytest.approx(0.5)


def test_how_captions_look_can_be_counted():
    said = ["a red bus a red bus a red bus", "", "I'm sorry, I can\u2019t see it"]
    assert compute("length", said)["words"].items.tolist() == [9, 0, 6]
    # six 4-grams of which three differ
    assert compute("repetition", said)["repeated4"].items.tolist() == [0.5, 0, 0]
    assert compute("refusals", said)["refusals"].items.tolist() == [0, 0, 1]
    different = compute("distinct", said)
    assert different["distinct1"].value == (3 + 6) / (9 + 6)
    assert different["distinct2"].value == (3 + 5) / (8 + 5)
    assert different["distinct1"].items is None
    assert [result.value for result in compute("distinct", [""]).values()] == [0.0, 0.0]


@pytest.mark.parametrize(
    "text", ["A man who cannot cross the road.", "People are sorry to leave.", "An AI conference."]
)
def test_captions_that_describe_are_no_refusals(text: str):
    assert compute("refusals", [text])["refusals"].value == 0


def test_human_captions_look_like_one_caption_per_pair():
    """Scores of the human row are means of all draws; how it looks is that of the first draw, on as many captions."""
    ids = ["1", "2", "3"]
    references = [["a b c d e", "a"], ["x y", "x y z"], ["alone"]]
    items = pd.DataFrame({"item_id": ids, "image": ids, "image_key": ids, "references": references})
    held = {"1": [0, 1], "2": [1, 0]}
    human = {"item_id": ids, "raw": ["a b c d e", "x y z", ""], "status": ["ok", "ok", "excluded"]}
    captions = pd.DataFrame(human | {"held_out": [[0, 1], [1, 0], None]})
    scores = scoring.score_captions(items, captions, ["rouge_l", *LOOKS], Spaces(), held)
    assert scores.held_out is not None
    found = scores.held_out.results
    assert (found["words"].value, found["words"].n) == ((5 + 3) / 2, 2)
    assert found["words"].items.tolist() == [[5, 5], [3, 3]]
    assert found["distinct1"].value == 1.0
    shown = scoring.report(scores, rng=np.random.default_rng(0), draws=100)
    assert shown["details"]["words"]["value"] == 4.0
    assert shown["details"]["words"]["signature"].endswith("|draw:first")
    assert "words_held_out" in item_tables.item_table(scores)
    model = pd.DataFrame({"item_id": ids, "raw": ["a b", "x", "y"], "status": "ok"})
    own = scoring.score_captions(items, model, ["rouge_l", *LOOKS], Spaces(), held)
    assert own.results["words"].value == 4 / 3
    assert own.held_out is not None
    assert set(own.held_out.results) == {"rougeL"}  # a caption looks the same whatever it is held against


def test_how_captions_look_is_no_score():
    assert not set(look_keys()) & set(short_keys())
    assert {"words", "distinct1", "distinct2", "repeated4", "refusals"} <= set(look_keys())
