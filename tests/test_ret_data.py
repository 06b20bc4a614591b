"""Training data: which rows an epoch shows in which order, tokens, positives, batches."""

import itertools
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from ret_world import source, tiny_model, write_rows, write_world
from retcap.contrastive import loss, sampler
from retcap.features import collator, tokens
from retcap.parallel import in_order
from retcap.retriever import data


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def initial(tmp_path_factory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def tokenizer(initial):
    from retcap.retriever.model import RetrieverModel

    return RetrieverModel.from_pretrained(initial).tokenizer


@pytest.fixture(scope="module")
def prepared(world, tokenizer, tmp_path_factory):
    return data.prepare([msgspec.convert(source(world), data.Source)], tmp_path_factory.mktemp("d") / "data", tokenizer)


# --- order ------------------------------------------------------------


def test_weights_decide_how_often_a_row_is_shown():
    sizes, weights = [10, 7, 3], [0.3, 2.0, 9.0]
    rows, copies = sampler.epoch_order(sizes, weights, seed=4, epoch=2)
    shown = Counter(rows.tolist())
    assert len(rows) == sampler.epoch_size(sizes, weights) == 3 + 14 + 27
    assert sorted(shown[row] for row in range(10)) == [0] * 7 + [1] * 3
    assert all(shown[row] == 2 for row in range(10, 17))
    assert all(shown[row] == 9 for row in range(17, 20))
    assert len(set(zip(rows.tolist(), copies.tolist(), strict=True))) == len(rows)  # every copy has its own number


def test_a_part_of_a_set_is_another_part_in_the_next_epoch():
    seen = set()
    for epoch in range(40):
        seen.update(sampler.epoch_order([10], [0.3], seed=0, epoch=epoch)[0].tolist())
    assert seen == set(range(10))


def test_order_depends_on_seed_and_epoch_only():
    def order(seed, epoch):
        return sampler.epoch_order([50], [1.0], seed, epoch)[0].tolist()

    assert order(1, 3) == order(1, 3)
    assert sorted(order(1, 3)) == list(range(50))
    assert order(1, 3) != order(1, 4)
    assert order(1, 3) != order(2, 3)


@pytest.mark.parametrize(("rows", "ranks", "size"), [(37, 1, 8), (37, 3, 4), (24, 2, 4), (26, 2, 4), (9, 2, 4)])
def test_ranks_share_each_global_batch(rows, ranks, size):
    """Together the ranks show the order of one rank with the joined batch; only a tail of under 2 rows each is lost."""
    parts = [list(sampler.BatchesOfRank([rows], [1.0], size, seed=7, rank=rank, ranks=ranks)) for rank in range(ranks)]
    alone = list(sampler.BatchesOfRank([rows], [1.0], size * ranks, seed=7))
    tail = rows % (size * ranks)
    lost = tail if tail < 2 * ranks else 0
    joined = [list(itertools.chain(*batches)) for batches in zip(*parts, strict=True)]
    assert joined == [batch for batch in alone if len(batch) >= 2 * ranks]
    assert sum(map(len, joined)) == rows - lost
    assert all(len(batch) >= 2 for part in parts for batch in part)


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match=r"3 training rows are too few for 2 rank\(s\)"):
        sampler.BatchesOfRank([3], [1.0], 4, seed=0, ranks=2)


def test_draws_are_spread_evenly():
    counts = Counter(
        sampler.draw(3, epoch, row, copy, 7) for epoch in range(10) for row in range(300) for copy in (0, 1)
    )
    assert set(counts) == set(range(7))
    # 6,000 draws in 7 boxes: 857 each with a standard deviation of 27; 5 of them
    assert all(abs(count - 6000 / 7) < 5 * 27 for count in counts.values())


# --- data ------------------------------------------------------------


def test_long_texts_give_the_tokens_of_the_whole_text(tokenizer):
    """Only a head of a long text is tokenised; that must change nothing, also for texts of long words."""
    limit = tokenizer.context_length * tokens.CHARACTERS_PER_TOKEN
    texts = ["a red disc " * 400, "x" * (3 * limit), " ".join(["q" * (limit // 2)] * 9), "a", "", "é " * limit]
    rows = tokens._ids(texts, tokenizer)
    input_ids, mask = tokenizer(texts)
    assert len(rows) == 6
    for row, ids, real in zip(rows, input_ids, mask, strict=True):
        assert row.tolist() == ids[real.bool()].tolist()


def test_head_is_read_again_when_it_is_too_short():
    """A text of very long words: the head gives fewer tokens than the context holds, so the whole text is read."""
    seen = []

    class WordTokenizer:
        context_length = 4

        def __call__(self, texts):
            seen.extend(texts)
            lengths = [min(len(text.split()), 4) for text in texts]
            mask = torch.tensor([[int(at < length) for at in range(4)] for length in lengths])
            return mask * 9, mask

    text = " ".join(["w" * 20] * 5)
    assert len(tokens._ids([text], WordTokenizer())[0]) == 4
    assert seen == ["w" * 20, text]


def test_table_on_disk_equals_table_in_memory(world, tokenizer, tmp_path):
    def chunks():
        keys = tokens.image_keys(world / "pack")
        return tokens.tokenise(tokens.read(world / "queries.parquet", "query", keys), tokenizer)

    memory, disk = tokens.TokenTable.from_chunks(chunks()), tokens.TokenTable.write(tmp_path / "table", chunks())
    assert len(memory) == len(disk) == 37
    assert isinstance(disk.tokens.base, np.memmap)
    for row in range(37):
        (ids, *rest), (same, *others) = memory[row], disk[row]
        assert ids.tolist() == same.tolist()
        assert rest == others


def test_reading_a_slice_skips_other_row_groups(world):
    whole = [text for batch in tokens.read(world / "queries.parquet", "query", {}) for text in batch.texts]
    for start, stop in [(0, 37), (3, 9), (8, 16), (30, 37), (5, 5)]:
        batches = list(tokens.read(world / "queries.parquet", "query", {}, range(start, stop)))
        assert [text for batch in batches for text in batch.texts] == whole[start:stop]
        assert [row for batch in batches for row in batch.rows] == list(range(start, stop))
    rows = [1, 2, 8, 30, 36]
    batches = list(tokens.read(world / "queries.parquet", "query", {}, np.array(rows)))
    assert [text for batch in batches for text in batch.texts] == [whole[row] for row in rows]
    assert [row for batch in batches for row in batch.rows] == rows


def test_missing_column_is_named(world):
    with pytest.raises(ValueError, match=r"passages.parquet: no column query_id, instruction, question"):
        next(tokens.read(world / "passages.parquet", "query", {}))


def test_items_have_text_image_and_one_of_their_positives(world, prepared):
    (part,), counts = prepared
    rows = data.TrainingRows([part], seed=2)
    queries = pq.read_table(world / "queries.parquet").to_pylist()
    ids = pq.read_table(world / "passages.parquet")["passage_id"].to_pylist()
    assert counts == {
        "world": {"rows": 37, "passages": 11, "empty_positives": 0, "unknown_positives": 0, "rows_without_positive": 0}
    }
    assert len(rows) == 37
    for row, query in enumerate(queries):
        drawn = {ids[rows[epoch, row, 0]["code"]] for epoch in range(30)}
        assert drawn == set(query["positives"])  # codes count up in the order of the file here
        ids_, has_text, image = rows[0, row, 0]["query"]
        assert has_text
        assert len(ids_) > 2
        assert (image is None) == (query["image"] in (None, "images/missing.png"))


def test_copies_of_a_row_draw_independently(prepared):
    (part,), _ = prepared
    rows = data.TrainingRows([part], seed=2)
    assert len({tuple(rows[epoch, 0, copy]["code"] for copy in range(2)) for epoch in range(30)}) == 4


def test_rows_of_several_sets_follow_each_other(prepared):
    (part,), _ = prepared
    rows = data.TrainingRows([part, part], seed=2)
    assert len(rows) == 74
    assert rows[0, 37, 0]["query"][0].tolist() == rows[0, 0, 0]["query"][0].tolist()
    assert rows[0, 73, 0]["query"][0].tolist() == rows[0, 36, 0]["query"][0].tolist()


def test_collator_pads_and_masks(prepared):
    (part,), _ = prepared
    rows = data.TrainingRows([part], seed=2)
    batch = collator.Collator(padding_id=0, positive_sets=True)([rows[0, row, 0] for row in (0, 1, 2, 3)])
    query = batch["query"]
    assert query["pixels"].shape == (4, 16, 16, 3)
    assert query["pixels"].dtype == torch.uint8
    assert query["image_mask"].tolist() == [True, False, True, False]  # 1: the file is missing, 3: the query has none
    assert query["pixels"][1].sum() == 0
    assert query["input_ids"].shape == query["attention_mask"].shape
    assert batch["codes"].shape == (4,)
    assert batch["positives"].shape == (4, 2)
    assert batch["positives"][1:, 1].tolist() == [loss.NO_PASSAGE] * 3
    assert collator.Collator(0)([rows[0, 3, 0]] * 2)["query"]["pixels"] is None


def test_images_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match=r"2 sizes in one batch.*mode `cover` or `squash`"):
        collator.stack_images([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 6, 3), np.uint8)])


def rewrite(world: Path, folder: Path, change) -> dict:
    """The world with changed files: `change(queries, passages)` edits the rows."""
    folder.mkdir()
    queries, passages = (pq.read_table(world / f"{name}.parquet").to_pylist() for name in ("queries", "passages"))
    change(queries, passages)
    write_rows(folder / "queries.parquet", queries)
    write_rows(folder / "passages.parquet", passages)
    return {**source(folder), "pack": str(world / "pack")}


def prepare_one(files: dict, tokenizer, folder: Path):
    return data.prepare([msgspec.convert(files, data.Source)], folder, tokenizer)


def test_a_positive_that_is_an_id_only_is_left_out_and_counted(world, tokenizer, tmp_path):
    def change(queries, passages):
        queries[5]["positives"] = ["9999"]

    files = rewrite(world, tmp_path / "w", change)
    _, counts = prepare_one(files, tokenizer, tmp_path / "data")
    [found] = counts.values()
    assert (found["unknown_positives"], found["rows_without_positive"], found["rows"]) == (1, 1, 36)


def test_many_unknown_positives_mean_a_missing_corpus(world, tokenizer, tmp_path):
    def change(queries, passages):
        for query in queries[5:15]:
            query["positives"] = ["9999"]

    files = rewrite(world, tmp_path / "w", change)
    with pytest.raises(
        ValueError, match=r"10 of \d+ positives are not in .*'9999' of query 'q5' \(row 5\).*train_passages"
    ):
        prepare_one(files, tokenizer, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_query_without_positive_is_an_error(world, tokenizer, tmp_path):
    def change(queries, passages):
        queries[5]["positives"] = []

    with pytest.raises(ValueError, match=r"query 'q5' \(row 5\) has no positive passage id"):
        prepare_one(rewrite(world, tmp_path / "w", change), tokenizer, tmp_path / "data")


def test_empty_positives_are_left_out_and_counted(world, tokenizer, tmp_path):
    """0003 loses its text and its image: as a positive it would teach a constant."""
    lost = {}

    def change(queries, passages):
        passages[3].update(text=None, image=None)
        lost["all"] = sum(query["positives"] == ["0003"] for query in queries)
        lost["some"] = sum("0003" in query["positives"] for query in queries)

    (part,), counts = prepare_one(rewrite(world, tmp_path / "w", change), tokenizer, tmp_path / "data")
    assert 0 < lost["all"] <= lost["some"]
    assert counts["world"]["rows_without_positive"] == lost["all"]
    assert counts["world"]["empty_positives"] == lost["some"]
    assert len(part) == counts["world"]["rows"] == 37 - lost["all"]
    assert 3 not in part.positives


def test_the_same_id_in_two_sets_is_one_label(world, tokenizer, tmp_path):
    sources = [msgspec.convert(source(world, name), data.Source) for name in ("one", "two")]
    one, two = data.prepare(sources, tmp_path / "data", tokenizer)[0]
    assert one.codes.tolist() == two.codes.tolist()


def test_prepared_data_follow_their_files(world, tokenizer, tmp_path):
    files = rewrite(world, tmp_path / "w", lambda queries, passages: None)
    prepare_one(files, tokenizer, tmp_path / "data")
    made = (tmp_path / "data" / "about.json").stat().st_mtime_ns
    prepare_one(files, tokenizer, tmp_path / "data")
    assert (tmp_path / "data" / "about.json").stat().st_mtime_ns == made
    queries = pq.read_table(files["queries"]).to_pylist()
    write_rows(Path(files["queries"]), queries[:20])
    assert prepare_one(files, tokenizer, tmp_path / "data")[1]["world"]["rows"] == 20


def test_tokenising_by_processes_changes_nothing(world, tokenizer, monkeypatch):
    monkeypatch.setattr(tokens, "CHUNK", 5)
    tables = []
    for workers in (1, 3):
        batches = tokens.read(world / "queries.parquet", "query", tokens.image_keys(world / "pack"))
        tables.append(tokens.TokenTable.from_chunks(tokens.tokenise(batches, tokenizer, workers)))
    assert len(tables[1]) == 37
    for name in ("tokens", "starts", "has_text", "keys"):
        assert np.array_equal(getattr(tables[0], name), getattr(tables[1], name)), name


def test_reading_ahead_is_bounded():
    """Texts of a million rows must not wait in memory for a slow worker."""
    taken = []

    def items():
        for item in range(50):
            taken.append(item)
            yield item

    with ThreadPoolExecutor(2) as pool:
        for result in in_order(pool, lambda item: item * 2, items(), window=4):
            assert len(taken) <= result // 2 + 5
    assert len(taken) == 50
