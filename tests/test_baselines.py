"""Human and blind rows: what is drawn, what is never seen, and the medoid against its formula."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retcap.captions import baselines, files

COLUMNS = ["item_id", "image", "image_key", "query", "references"]


def items(*rows):
    """Frame of (image, query, references); the key is the image's name in capitals."""
    records = [(f"{image}/{query}", image, image.upper(), query, references) for image, query, references in rows]
    return pd.DataFrame(records, columns=COLUMNS)


MANY = items(*[(f"i{n}", "sea", [f"caption {n} number {r}" for r in range(2 + n % 4)]) for n in range(40)])


def test_human_says_a_reference_and_names_those_of_all_draws():
    captions = baselines.human(MANY, seed=3, draws=3)
    assert len(captions) == 40
    for (_, item), (_, caption) in zip(MANY.iterrows(), captions.iterrows(), strict=True):
        assert caption["item_id"] == item["item_id"]
        assert caption["raw"] == item["references"][caption["held_out"][0]]
        assert len(caption["held_out"]) == 3
        assert len(set(caption["held_out"])) == min(3, len(item["references"]))  # another one each time
        assert caption["status"] == "ok"
    assert {held[0] for held in captions["held_out"]} == {0, 1, 2, 3, 4}  # not always the first


def test_human_draw_hangs_on_seed_and_item_only():
    whole, part = baselines.human(MANY, seed=3, draws=2), baselines.human(MANY.iloc[::-3], seed=3, draws=2)
    said = dict(zip(whole["item_id"], whole["held_out"], strict=True))
    assert [said[item] for item in part["item_id"]] == list(part["held_out"])
    assert list(baselines.human(MANY, seed=4, draws=2)["raw"]) != list(whole["raw"])


def test_human_excludes_pairs_with_a_single_reference():
    captions = baselines.human(items(("a", "sea", ["x"]), ("b", "sea", ["x", "y"])), seed=0, draws=2)
    assert list(captions["status"]) == ["excluded", "ok"]
    assert list(captions["reason"]) == ["single_reference", None]
    assert captions["raw"][0] == ""
    assert captions["held_out"][0] is None


def test_records_fit_the_captions_file(tmp_path):
    frame = items(("a", "sea", ["x"]), ("b", "sea", ["x", "y"]))
    for captions in (baselines.human(frame, seed=0, draws=2), baselines.blind(frame, None, seed=0)):
        files.write_captions(tmp_path / "c.parquet", captions)
        back = files.read_captions(tmp_path / "c.parquet")
        assert list(back["raw"]) == list(captions["raw"])
        assert list(back["held_out"]) == list(captions["held_out"])


@given(st.lists(st.text("abc ", max_size=8), min_size=1, max_size=9))
def test_medoid_equals_the_formula(captions):
    def overlap(a, b):
        a, b = set(a.split()), set(b.split())
        return len(a & b) / len(a | b) if a | b else 0.0

    sums = {caption: sum(overlap(caption, other) for other in captions) for caption in captions}
    best = max(sums.values())
    assert baselines.medoid(captions) == min(caption for caption, value in sums.items() if value > best - 1e-9)


@given(st.permutations(["a red bus", "a red car", "the sea", "a blue car", "a blue bus"]))
def test_medoid_does_not_depend_on_order(captions):
    assert baselines.medoid(captions) == baselines.medoid(sorted(captions))


def test_overlaps_are_symmetric_with_one_on_the_diagonal():
    found = baselines.overlaps(["It's a Car.", "a car", "...", "it's"])
    np.testing.assert_allclose(found, found.T)
    np.testing.assert_allclose(np.diag(found), [1, 1, 0, 1])  # "..." has no words
    assert found[0, 1] == 2 / 3  # {it's, a, car} and {a, car}


def test_blind_says_one_training_caption_per_query():
    typical = "a wide blue sea with many waves is seen"
    training = [("sea", typical), ("sea", typical + " here"), ("sea", "a wide blue sea with some boats is there")]
    training += [("sky", "clouds are over the whole sky in this picture")]
    captions = baselines.blind(MANY, training, seed=0)
    assert set(captions["raw"]) == {typical}
    assert set(captions["prompt"]) == {"training medoid"}
    assert set(captions["status"]) == {"ok"}


def test_blind_takes_captions_of_usual_length_if_there_are_any():
    long = "one two three four five six seven eight nine"
    assert set(baselines.blind(MANY, [("sea", "short"), ("sea", "short two"), ("sea", long)], seed=0)["raw"]) == {long}
    assert set(baselines.blind(MANY, [("sea", "short")], seed=0)["raw"]) == {"short"}


def test_blind_without_training_never_uses_the_image_itself():
    captions = baselines.blind(MANY, None, seed=0)
    assert set(captions["prompt"]) == {"other-image medoid"}
    for item, raw in zip(MANY["references"], captions["raw"], strict=True):
        assert raw not in item
    assert set(captions["raw"]) <= set(itertools.chain(*MANY["references"]))


def test_blind_knows_an_image_by_its_content_not_by_its_path():
    frame = items(("a", "sea", ["mine"]), ("copy", "sea", ["also mine"]), ("b", "sea", ["theirs"]))
    frame["image_key"] = ["A", "A", "B"]
    assert list(baselines.blind(frame, None, seed=0)["raw"][:2]) == ["theirs", "theirs"]


def test_blind_falls_back_to_any_query_then_gives_up_openly():
    captions = baselines.blind(items(("a", "sea", ["x"]), ("b", "sky", ["y"])), None, seed=0)
    assert list(captions["raw"]) == ["y", "x"]
    assert set(captions["prompt"]) == {"any-query medoid"}
    alone = baselines.blind(items(("a", "sea", ["x"]), ("a", "sky", ["y"])), None, seed=0)
    assert list(alone["status"]) == ["excluded", "excluded"]
    assert list(alone["reason"]) == ["no_other_image", "no_other_image"]


def test_blind_uses_other_images_only_for_queries_without_training():
    frame = items(("a", "sea", ["x", "xx"]), ("a", "sky", ["y"]), ("b", "sky", ["z"]))
    captions = baselines.blind(frame, [("sea", "trained")], seed=0)
    assert list(captions["raw"]) == ["trained", "z", "y"]
    assert list(captions["prompt"]) == ["training medoid", "other-image medoid", "other-image medoid"]


def test_blind_does_not_depend_on_the_order_of_training_rows():
    training = [("sea", f"word{n % 7} word{n % 5} word{n % 11} a b c d e f") for n in range(300)]
    forwards = baselines.blind(MANY, training, seed=1)
    pd.testing.assert_frame_equal(baselines.blind(MANY, training[::-1], seed=1), forwards)


def test_blind_works_without_images():
    frame = items(("a", "sea", ["x"]), ("b", "sea", ["y"]))
    frame["image_key"] = pd.Series([None, None], dtype=object)
    assert list(baselines.blind(frame, None, seed=0)["raw"]) == ["y", "x"]


@pytest.mark.parametrize(
    "function", [lambda f: baselines.human(f, seed=0, draws=2), lambda f: baselines.blind(f, None, seed=0)]
)
def test_items_are_not_changed(function):
    frame = items(("a", "sea", ["x", "y"]), ("b", "sea", ["z"]))
    before = [list(references) for references in frame["references"]]
    function(frame)
    assert list(frame["references"]) == before
