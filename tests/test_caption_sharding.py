"""One model's captions from several jobs: every pair once, in the batches of a single job, nothing captioned twice."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import tiny_captioners
from retcap.captioning import batches, outcome, study
from retcap.captions import files
from retcap.pictures import images
from retcap.pictures.pixels import Resize

pytest_plugins = ["tiny_captioners"]
NAME = tiny_captioners.QUICK[0]
QUERIES = st.sampled_from(["left", "what the people on the far side of the road are doing", "", "ü" * 40])


@given(
    st.lists(st.tuples(QUERIES, st.sampled_from(["a", "b", "c", None])), max_size=40),
    st.integers(1, 5),
    st.integers(1, 7),
)
def test_every_pair_has_one_job_and_every_batch_is_one_of_a_single_job(pairs, batch_size, shards):
    items = [(str(place), query, key) for place, (query, key) in enumerate(pairs)]
    contents = [f"{query}|{key or item_id}" for item_id, query, key in items]
    shares = [batches.share(items, contents, batch_size, shard, shards) for shard in range(shards)]
    assert sorted(place for share in shares for place in share) == list(range(len(items)))
    assert all(share == sorted(share) for share in shares)

    def batches_of(places: list[int]) -> list[tuple[str, ...]]:
        first = [places[at] for at in batches.distinct_places([contents[place] for place in places])]
        buckets = batches.plan([items[place] for place in first], batch_size)
        return [tuple(contents[first[at]] for at in batch) for bucket in buckets for batch in bucket]

    dealt = [batch for share in shares for batch in batches_of(share)]
    assert sorted(dealt) == sorted(batches_of(list(range(len(items)))))
    sizes = [len(batches_of(share)) for share in shares]
    assert max(sizes) - min(sizes) <= 1


def test_a_shard_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="Shard 2 is none of 0 to 1"):
        batches.share([], [], 1, 2, 2)


@pytest.fixture(scope="module")
def whole(trained, tmp_path_factory):
    """A job that captions all, with its results: 9 panoramas with three queries each, and a pair without a picture."""
    folder = tmp_path_factory.mktemp("job")
    pack, rows = tiny_captioners.blocks()
    for name, image in pack.items():
        Image.fromarray(image).save(folder / f"{name}.png")
    images.build(folder / "pack", [(name, folder / f"{name}.png") for name in pack], Resize("fit", 128, 64))
    keys = dict(zip(pack, images.ImagePack(folder / "pack").keys(), strict=True))
    items = [{"item_id": f"{at:02}", "query": row[1], "image_key": keys[row[0]]} for at, row in enumerate(rows)]
    files.write_requests(folder / "requests.parquet", [*items, {"item_id": "x", "query": "left", "image_key": None}])
    job = study.Study(
        captioner=NAME,
        requests=folder / "requests.parquet",
        pack=folder / "pack",
        model=trained[NAME],
        checkpoint="tiny",
        revision=None,
        trust_remote_code=False,
        prompt="bare",
        image_policy="squash",
        batch_size=4,
        max_new_tokens=12,
        kept=folder / "kept",
        code="",
    )
    return job, study.caption_study(job, "cpu")


def in_shards(job: study.Study, shards: int) -> tuple[Any, dict]:
    """Captions and outcome as `merge_captions` puts them together."""
    parts = [study.caption_study(dataclasses.replace(job, shard=at, shards=shards), "cpu") for at in range(shards)]
    captions: Any = pd.concat([part for part, _ in parts])
    lost = {"failed": 0, "of": 0, "first": None, "tried_again": False}
    outcomes = [found | {"failed_pairs": lost} for _, found in parts]
    return captions.set_index("item_id").sort_index().reset_index(), outcome.merged(outcomes, captions)


def test_shards_give_the_captions_of_one_job_and_other_numbers_of_them_caption_nothing_again(
    whole, tmp_path, monkeypatch
):
    job, (expected, about) = whole
    job = dataclasses.replace(job, kept=tmp_path / "kept")
    captions, merged = in_shards(job, 3)
    assert len(set(expected["raw"])) > 3
    for column in ("item_id", "raw", "status", "reason", "tokens", "prompt", "image_key"):
        assert list(captions[column]) == list(expected[column]), column
    assert (captions["seconds"] > 0).sum() == 27  # all but the one that failed
    same = ("model_id", "weights_sha256", "captioned", "mean_tokens", "at_token_cap", "kept_from_before", "dtype")
    assert {name: merged[name] for name in same} == {name: about[name] for name in same}
    assert merged["seconds"] == pytest.approx(captions["seconds"].sum())

    assert len(list((tmp_path / "kept").glob("*.jsonl"))) == 3  # a file for each job that writes
    monkeypatch.setattr(study, "_generate", lambda *_: pytest.fail("captioned again"))
    monkeypatch.setattr(study, "share", lambda items, *rest: [at for at in real(items, *rest) if items[at][2]])
    for shards in (2, 1, 40):  # more jobs than batches too
        again, _ = in_shards(job, shards)
        timed = captions[captions["image_key"].notna()].reset_index(drop=True)
        pd.testing.assert_frame_equal(again, timed)  # seconds too: they are read, not measured


real = batches.share


def test_shards_of_different_weights_are_not_put_together():
    one = {"model_name": "m", "model_id": "a/b", "revision": "1", "weights_sha256": None, "dtype": "x", "device": "cpu"}
    with pytest.raises(ValueError, match='The shards of m differ in revision: "1", "2"'):
        outcome.merged([one, one | {"revision": "2"}], pd.DataFrame())


def test_failed_pairs_of_shards_are_summed_and_only_their_jobs_are_tried_again():
    part = {"model_name": "m", **dict.fromkeys(outcome.IDENTITY), "kept_from_before": 1, "at_token_cap": 2}
    good = part | {"failed_pairs": {"failed": 0, "of": 5, "first": None, "tried_again": False}}
    bad = part | {"failed_pairs": {"failed": 2, "of": 4, "first": "torn", "tried_again": True}}
    captions = files.frame([{"item_id": "1", "status": "ok", "seconds": 2.0, "tokens": 3}])
    found = outcome.merged([good, bad, good], captions)
    assert found["failed_pairs"] == {"failed": 2, "of": 14, "first": "torn", "tried_again": True, "shards": [1]}
    assert (found["kept_from_before"], found["at_token_cap"], found["seconds"]) == (3, 6, 2.0)
    assert outcome.jobs("m", found) == [("caption", {"captioner": "m", "shard": "1"})]
    assert outcome.jobs("m", bad) == [("caption", {"captioner": "m"})]


def test_no_seconds_and_no_tokens_of_an_empty_shard():
    assert outcome.counted(files.frame([])) == {"seconds": 0.0, "captioned": 0, "mean_tokens": None}
    assert np.isclose(outcome.counted(files.frame([{"status": "ok", "seconds": 1.5, "tokens": 4}]))["mean_tokens"], 4)
