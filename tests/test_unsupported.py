"""Words in no reference: the counts by hand, and what they are worth on captions that people marked."""

import json

import numpy as np
import pytest

import real_data
from retcap import plugins
from retcap.captions.context import Context

HAT = real_data.folder("judgements") / "hat.json"
UNSUPPORTED = plugins.load("metrics", "unsupported")


def scored(candidates: list[str], references: list[list[str]]):
    return UNSUPPORTED.score(candidates, references, Context())["unsupported"]


def auc(scores: list[float], marked: list[bool]) -> float:
    """Share of (marked, unmarked) pairs in which the marked one scores higher; ties count half."""
    values, yes = np.array(scores, dtype=np.float64), np.array(marked)
    one, other = values[yes][:, None], values[~yes][None]
    return float(((one > other) + (one == other) / 2).mean())


def test_counts_are_summed_before_they_are_divided():
    found = scored(["a red cat sleeps", "dogs", ""], [["The cat was sleeping."], ["a dog", "grass"], ["anything"]])
    assert found.items is not None
    assert found.items.tolist() == [1 / 3, 0.0, 0.0]  # red of red, cat, sleep; an empty caption says nothing
    assert found.value == 1 / 4
    assert found.n == 3


def test_a_caption_of_function_words_and_one_equal_to_its_reference_say_nothing_new():
    assert scored(["it is in there"], [["a cat"]]).value == 0.0
    text = "Two GREEN lamps, 3 chairs; and a sofa"
    assert scored([text.lower()], [[text]]).value == 0.0
    assert scored(["qqq www"], [[text]]).value == 1.0


def test_more_references_never_raise_it():
    captions, texts = ["a man rides a blue bike"], ["a man", "a bike rider", "something blue"]
    values = [scored(captions, [texts[:count]]).value for count in (1, 2, 3)]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1]


@pytest.mark.skipif(not HAT.is_file(), reason=f"{HAT} is not there: {real_data.VARIABLE} names the folder of real data")
def test_it_tells_hallucinated_captions_better_than_their_length():
    """The 400 captions of HAT (Petryk et al. 2024, ALOHa), of which people marked 135."""
    captions = json.loads(HAT.read_text(encoding="utf-8"))
    marked = [one["contains_hallucination"] for one in captions]
    assert (len(marked), sum(marked)) == (400, 135)
    texts = [one["caption"] for one in captions]
    items = scored(texts, [one["references"] for one in captions]).items
    assert items is not None
    found, length = auc(items.tolist(), marked), auc([float(len(text.split())) for text in texts], marked)
    print(f"AUC on HAT: words in no reference {found:.3f}, length {length:.3f}")
    assert found == pytest.approx(0.701, abs=5e-4)
    assert length == pytest.approx(0.507, abs=5e-4)
