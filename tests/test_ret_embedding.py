"""Embedding shards, the encoder behind them, zero-shot CLIP and random vectors."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F

from ret_world import tiny_model, write_rows, write_world
from retcap import plugins
from retcap.features import embedding, encoding, tokens, zero_shot
from retcap.features.vectors import Vectors
from retcap.pictures.images import ImagePack
from retcap.search import exact as search
from vector_shards import write_shard

pytestmark = pytest.mark.numeric

SIZE = 8  # of the tiny model's vectors
FP32 = 1e-5  # batches of other shapes add fp32 terms in another order


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """47 queries on 13 passages, some of which show the same image."""
    folder = write_world(tmp_path_factory.mktemp("world"), entities=13, queries=47, seed=4)
    rows = pq.read_table(folder / "queries.parquet").to_pylist()
    for row in rows[8:20]:
        row["image"] = rows[row["row"] % 3 * 2]["image"]
    rows[30].update(question=None, instruction=None)
    write_rows(folder / "queries.parquet", rows)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from retcap.retriever.model import RetrieverModel

    torch.set_num_threads(1)
    return RetrieverModel.from_pretrained(tiny_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    from tiny_backbones import save_hf_clip

    return plugins.load("backbones", "clip_hf").load(save_hf_clip(tmp_path_factory.mktemp("clip"))).eval()


def one_by_one(model, world: Path, side: str) -> np.ndarray:
    """The plain path: every row alone, without any batching, sorting or sharing of images."""
    keys = tokens.image_keys(world / "pack")
    pack = ImagePack(world / "pack")
    vectors = []
    for batch in tokens.read(world / ("queries.parquet" if side == "query" else "passages.parquet"), side, keys):
        for text, key in zip(batch.texts, batch.keys, strict=True):
            input_ids, attention_mask = model.tokenizer([text or ""])
            pixels = None if key is None else model.image.normalise(torch.from_numpy(pack[key].copy())[None])
            masks = {"text_mask": torch.tensor([text is not None]), "image_mask": torch.tensor([key is not None])}
            with torch.inference_mode():
                vectors.append(model(side, input_ids, attention_mask, pixels, **masks)[0].numpy())
    return np.stack(vectors)


def about_of(out: Path) -> dict:
    """What the ids file of a shard says about its vectors."""
    return json.loads(pq.read_schema(embedding.ids_path(out)).metadata[embedding.METADATA_KEY])


def table_of(model, world: Path, side: str = "query") -> tokens.TokenTable:
    file = world / ("queries.parquet" if side == "query" else "passages.parquet")
    return tokens.TokenTable.from_chunks(
        tokens.tokenise(tokens.read(file, side, tokens.image_keys(world / "pack")), model.tokenizer)
    )


@pytest.mark.parametrize(("side", "batch_size"), [("query", 1), ("query", 7), ("query", 64), ("passage", 5)])
def test_fast_path_equals_one_by_one(model, world, tmp_path, side, batch_size):
    file = world / ("queries.parquet" if side == "query" else "passages.parquet")
    counts = embedding.embed(model, side, file, world / "pack", tmp_path / "shard-0.npy", batch_size=batch_size)
    vectors = np.load(tmp_path / "shard-0.npy", mmap_mode="r")
    assert vectors.shape == (counts["rows"], SIZE) == (47 if side == "query" else 13, SIZE)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, one_by_one(model, world, side), atol=FP32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_shards_join_to_the_whole(model, world, tmp_path, shards):
    for shard in range(shards):
        out = tmp_path / f"shard-{shard}.npy"
        embedding.embed(model, "query", world / "queries.parquet", world / "pack", out, shard=shard, shards=shards)
    together = Vectors.open(tmp_path)  # the reader of the search
    assert sorted(together.rows.tolist()) == list(range(47))
    assert together.ids.to_pylist() == [f"q{row}" for row in together.rows]
    np.testing.assert_allclose(together.block(0, 47), one_by_one(model, world, "query")[together.rows], atol=FP32)


@pytest.mark.parametrize("shards", [2, 3])
def test_shards_together_encode_each_image_once(model, world, tmp_path, shards):
    """Every picture is shown again by rows in the second half, which ranges of rows would put into another shard."""
    rows = pq.read_table(world / "passages.parquet").to_pylist()
    rows += [row | {"row": 13 + row["row"], "passage_id": f"again {row['row'] % 9}"} for row in rows]
    write_rows(tmp_path / "passages.parquet", rows)
    keys = tokens.image_keys(world / "pack")
    numbers = tokens.image_numbers(tmp_path / "passages.parquet", keys)
    made = [
        embedding.embed(
            model,
            "passage",
            tmp_path / "passages.parquet",
            world / "pack",
            tmp_path / f"shard-{shard}.npy",
            shard=shard,
            shards=shards,
            batch_size=5 + shard,
        )
        for shard in range(shards)
    ]
    assert sum(one["images_encoded"] for one in made) == len(set(numbers.tolist()) - {-1})
    assert all(one["images_encoded"] > 0 for one in made)
    together = Vectors.open(tmp_path)
    assert sorted(together.rows.tolist()) == list(range(26))
    assert together.rows.tolist() != list(range(26))
    exact = np.tile(one_by_one(model, world, "passage"), (2, 1))
    np.testing.assert_allclose(together.block(0, 26), exact[together.rows], atol=FP32)


@pytest.mark.parametrize("shards", [2, 3])
@pytest.mark.parametrize("collapse", [True, False])
def test_hits_do_not_depend_on_the_shards(tmp_path, shards, collapse):
    """The same vectors in shards by picture: equal files, with ties in masses and ids that repeat across shards."""
    rng = np.random.default_rng(8)
    vectors = {"query": rng.integers(-2, 3, (19, 6)), "passage": rng.integers(-1, 2, (83, 6))}
    images = {side: rng.integers(-1, len(part) // 3, len(part)) for side, part in vectors.items()}
    tables = []
    for count in (1, shards):
        opened = {}
        for side, part in vectors.items():
            for shard in range(count):
                rows = embedding.shard_rows(images[side], shard, count)
                names = [f"{side} {row % 60}" for row in rows]
                (tmp_path / f"{side}-{count}").mkdir(exist_ok=True)
                write_shard(tmp_path / f"{side}-{count}", shard, part[rows].astype(np.float32), rows.tolist(), names)
            opened[side] = Vectors.open(tmp_path / f"{side}-{count}")
        assert (opened["passage"].rows.tolist() == list(range(83))) is (count == 1)
        hits = search.exact_search(opened["query"], opened["passage"], 11, collapse=collapse)
        search.write_hits(tmp_path / "hits.parquet", hits, opened["query"], opened["passage"])
        tables.append(pq.read_table(tmp_path / "hits.parquet"))
    assert tables[0].equals(tables[1])


def test_same_call_gives_the_same_bytes(model, world, tmp_path):
    for name in ("a", "b"):
        embedding.embed(
            model, "query", world / "queries.parquet", world / "pack", tmp_path / f"{name}.npy", batch_size=7
        )
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_each_image_goes_once_through_the_tower(model, world, tmp_path):
    seen = []
    hook = model.tower("query", "vision").register_forward_hook(
        lambda _tower, _args, out: seen.append(len(out.hidden[0]))
    )
    try:
        counts = embedding.embed(
            model, "query", world / "queries.parquet", world / "pack", tmp_path / "shard-0.npy", batch_size=100
        )
    finally:
        hook.remove()
    table = table_of(model, world)
    distinct = len(set(table.keys.tolist()) - {tokens.NO_KEY})
    assert counts["images"] > distinct
    assert counts["images_encoded"] == distinct
    # this hook runs before the one that spreads images over rows
    assert sum(seen) == distinct


def test_batches_hold_rows_of_one_image_together(model, world):
    table = table_of(model, world)
    batches = encoding.plan(table, np.arange(47), 9)
    assert sorted(np.concatenate(batches).tolist()) == list(range(47))
    assert max(len(batch) for batch in batches) <= 9
    assert len(batches) <= 7  # 47 rows need at least 6
    longest = [table.lengths()[batch].max() for batch in batches]
    assert longest == sorted(longest, reverse=True)
    encoded = sum(len(set(table.keys[batch].tolist()) - {tokens.NO_KEY}) for batch in batches)
    distinct = len(set(table.keys.tolist()) - {tokens.NO_KEY})
    assert encoded == distinct  # no border cuts the rows of one image
    several = encoding.plan(table, np.arange(47), 2)  # but for images of more rows than a batch
    assert sorted(np.concatenate(several).tolist()) == list(range(47))
    assert max(len(batch) for batch in several) == 2
    assert encoding.plan(table, np.arange(0), 9) == []


def test_precision_and_storage(model, world, tmp_path):
    exact = one_by_one(model, world, "query")
    for dtype, storage, close in [("bf16", "float16", 0.1), ("fp32", "float16", 1e-3), ("bf16", "float32", 0.1)]:
        out = tmp_path / f"{dtype}-{storage}.npy"
        embedding.embed(model, "query", world / "queries.parquet", world / "pack", out, dtype=dtype, storage=storage)
        vectors = np.load(out)
        assert vectors.dtype == np.dtype(storage)
        np.testing.assert_allclose(vectors, exact, atol=close)  # bf16 keeps 8 bits, float16 11 bits of each number
        about = about_of(out)
        assert (about["dtype"], about["storage"], about["normalised"], about["side"]) == (dtype, storage, True, "query")


def test_about_is_kept(model, world, tmp_path):
    out = tmp_path / "shard-0.npy"
    embedding.embed(model, "passage", world / "passages.parquet", None, out, about={"model": "abc", "data": "def"})
    about = about_of(out)
    assert (about["model"], about["data"]) == ("abc", "def")
    assert (about["images"], about["images_encoded"]) == (0, 0)  # no pack: text only
    assert about["without_text"] == 2


def test_out_of_memory_halves_the_batch(model, world, monkeypatch, caplog):
    """The result, its order and later batches stay right; a single row that does not fit is an error."""
    table, original = table_of(model, world), type(model).forward

    def small_memory(limit):
        def forward(self, side, input_ids, *rest, **named):
            if len(input_ids) > limit:
                raise torch.OutOfMemoryError(f"{len(input_ids)} rows")
            return original(self, side, input_ids, *rest, **named)

        monkeypatch.setattr(type(model), "forward", forward)

    pack = ImagePack(world / "pack")
    expected = encoding.Encoder(model, "query", pack, batch_size=47).all(table)
    small_memory(6)
    encoder = encoding.Encoder(model, "query", pack, batch_size=20)
    np.testing.assert_allclose(encoder.all(table), expected, atol=FP32)
    assert encoder.batch_size == 5
    assert "out of memory with 20 rows per batch: going on with 10" in caplog.text
    small_memory(0)
    with pytest.raises(torch.OutOfMemoryError):
        encoding.Encoder(model, "query", pack, batch_size=4).all(table)


def test_some_rows_in_their_order(model, world):
    table = table_of(model, world)
    encoder = encoding.Encoder(model, "query", ImagePack(world / "pack"), batch_size=4)
    rows = np.array([31, 2, 40, 9, 11])
    np.testing.assert_allclose(encoder.all(table, rows), encoder.all(table)[rows], atol=FP32)
    with pytest.raises(ValueError, match="no row to encode"):
        encoder.all(table, np.arange(0))


def test_encoding_leaves_mode_and_random_state_alone(model, world):
    table = table_of(model, world)
    model.train()
    state = torch.get_rng_state()
    encoder = encoding.Encoder(model, "query", ImagePack(world / "pack"), batch_size=16)
    first, second = encoder.all(table), encoder.all(table)
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(first, second)  # no dropout
    model.eval()


def test_nothing_is_left_behind_by_a_failure(model, world, tmp_path, monkeypatch):
    monkeypatch.setattr(encoding.Encoder, "_forward", lambda *_: np.full((47, SIZE), np.nan, np.float32))
    with pytest.raises(FloatingPointError, match=r"The vector of 'q\d+' is not finite \(47 of 47"):
        embedding.embed(model, "query", world / "queries.parquet", world / "pack", tmp_path / "shard-0.npy")
    assert list(tmp_path.iterdir()) == []


def test_shard_numbers_are_checked(model, world, tmp_path):
    with pytest.raises(ValueError, match="shard 3 of 3: shards are numbered from 0 to 2"):
        embedding.shard_rows(np.arange(10), 3, 3)
    with pytest.raises(ValueError, match=r"13 rows with 13 distinct pictures do not fill 100 shards. Use fewer shards"):
        embedding.embed(
            model, "passage", world / "passages.parquet", None, tmp_path / "shard-0.npy", shard=0, shards=100
        )
    alone = [embedding.shard_rows(np.full(103, -1), shard, 7) for shard in range(7)]
    assert np.concatenate(alone).tolist() == list(range(103))
    assert max(map(len, alone)) - min(map(len, alone)) == 1


@pytest.mark.parametrize("shards", [1, 2, 5, 9])
def test_no_shard_is_empty_and_no_image_lies_in_two(shards):
    rng = np.random.default_rng(shards)
    for most in (3, 9, 60):  # the picture of 60 rows is larger than a shard
        images = np.concatenate([rng.integers(-1, 20, 61), np.full(most, 77), np.arange(100, 110)])
        rng.shuffle(images)
        parts = [embedding.shard_rows(images, shard, shards) for shard in range(shards)]
        assert sorted(np.concatenate(parts).tolist()) == list(range(len(images)))
        assert all(len(part) and np.all(np.diff(part) > 0) for part in parts)
        shown = [set(images[part].tolist()) - {-1} for part in parts]
        assert sum(map(len, shown)) == len(set(images.tolist()) - {-1})


# --- baselines ------------------------------------------------------------


@pytest.mark.parametrize("unit_parts", [False, True])
def test_zero_shot_is_the_masked_sum(backbone, world, tmp_path, unit_parts):
    model = zero_shot.ZeroShot(backbone, unit_parts=unit_parts)
    out = tmp_path / "shard-0.npy"
    embedding.embed(model, "query", world / "queries.parquet", world / "pack", out, batch_size=11)
    vectors = np.load(out)
    pack, keys = ImagePack(world / "pack"), tokens.image_keys(world / "pack")
    batches = tokens.read(world / "queries.parquet", "query", keys)
    items = [item for batch in batches for item in zip(batch.texts, batch.keys, strict=True)]
    kinds = set()
    for vector, (text, key) in zip(vectors, items, strict=True):
        parts = []
        with torch.inference_mode():
            if text is not None:
                parts.append(backbone.text(*backbone.tokenizer([text])).pooled[0])
            if key is not None:
                pixels = backbone.image.normalise(torch.from_numpy(pack[key].copy())[None])
                parts.append(backbone.vision(pixels).pooled[0])
        parts = [F.normalize(part, dim=0) for part in parts] if unit_parts else parts
        np.testing.assert_allclose(vector, F.normalize(sum(parts), dim=0).numpy(), atol=FP32)
        kinds.add((text is not None, key is not None))
    assert len(kinds) == 3  # text alone, image alone, both


def test_zero_shot_of_nothing_is_zero(backbone):
    model = zero_shot.ZeroShot(backbone)
    input_ids, attention_mask = backbone.tokenizer(["", "a red disc"])
    vectors = model("query", input_ids, attention_mask, None, torch.tensor([False, True]), torch.tensor([False, False]))
    assert torch.equal(vectors[0], torch.zeros(10))
    assert vectors[1].norm().item() == pytest.approx(1, abs=1e-6)


def test_random_vectors_depend_on_seed_and_row_only(world, tmp_path):
    for shards in (1, 3):
        for shard in range(shards):
            out = tmp_path / f"of-{shards}" / f"shard-{shard}.npy"
            zero_shot.embed_random("query", world / "queries.parquet", out, size=5, seed=9, shard=shard, shards=shards)
    one, three = Vectors.open(tmp_path / "of-1"), Vectors.open(tmp_path / "of-3")
    assert np.array_equal(one.block(0, 47), three.block(0, 47))
    assert one.ids.to_pylist() == three.ids.to_pylist()
    np.testing.assert_allclose(np.linalg.norm(one.block(0, 47), axis=1), 1, atol=1e-6)


def test_random_vectors_cross_blocks_without_a_seam():
    edge = zero_shot.BLOCK
    whole = np.concatenate([part for _, part in zero_shot.random_vectors(range(edge + 10), 3, seed=1)])
    ends = np.concatenate([part for _, part in zero_shot.random_vectors(range(edge - 2, edge + 5), 3, seed=1)])
    assert np.array_equal(whole[edge - 2 : edge + 5], ends)
    assert abs(whole.mean()) < 5 / np.sqrt(3 * len(whole))  # five standard errors: entries have variance 1 / 3
