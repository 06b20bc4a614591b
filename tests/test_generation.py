"""Generation with every captioner: batches change nothing, prompts never leak, errors and kills cost little."""

import logging

import numpy as np
import pytest
import torch

import tiny_captioners
from retcap.captioning import generate

pytestmark = pytest.mark.numeric

pytest_plugins = ["tiny_captioners"]
LOGITS_ATOL = 1e-4  # float32 sums in another order give about 4e-6, the wrong padding side gives 1e-2 and more
TOKENS = 12


def first_logits(captioner, encoded, **options) -> torch.Tensor:
    """items x vocabulary: logits of the first new token."""
    batch = captioner.collate(encoded, **options)
    made = captioner.model.generate(**batch, **captioner.greedy(1), output_logits=True, return_dict_in_generate=True)
    return made.logits[0]


def test_output_starts_with_the_padded_prompt_exactly_for_decoder_only_models(captioner, world):
    items, pack = world
    encoded = [captioner.encode(query, pack[key], key) for _, query, key in items[:3]]
    batch = captioner.collate(encoded)
    assert len({item["input_ids"].shape[1] for item in encoded}) > 1  # there is padding to trip over
    output = captioner.model.generate(**batch, **captioner.greedy(TOKENS))
    width = batch["input_ids"].shape[1]
    starts = bool((output[:, :width] == batch["input_ids"]).all()) if output.shape[1] > width else False
    assert starts != captioner.encoder_decoder
    assert captioner.new_tokens(output, batch).shape[1] <= TOKENS


def test_batches_and_order_change_nothing(captioner, world):
    items, pack = world
    alone = generate.caption_all(captioner, items, pack, batch_size=1, max_new_tokens=TOKENS)
    assert len({record["raw"] for record in alone}) > 2  # captions that are all equal would prove little
    assert any(not record["capped"] for record in alone)
    for batch_size in (2, 8):
        batched = generate.caption_all(captioner, items, pack, batch_size=batch_size, max_new_tokens=TOKENS)
        assert tiny_captioners.timeless(batched) == tiny_captioners.timeless(alone)
    order = np.random.default_rng(1).permutation(len(items))
    shuffled = generate.caption_all(
        captioner, [items[place] for place in order], pack, batch_size=8, max_new_tokens=TOKENS
    )
    assert tiny_captioners.timeless(shuffled) == [tiny_captioners.timeless(alone)[place] for place in order]


def test_first_logits_agree_between_batch_and_single_item(captioner, world):
    items, pack = world
    encoded = [captioner.encode(query, pack[key], key) for _, query, key in items]
    alone = torch.cat([first_logits(captioner, [item]) for item in encoded])
    for size in (2, 8):
        pieces = [encoded[first : first + size] for first in range(0, len(encoded), size)]
        batched = torch.cat([first_logits(captioner, piece) for piece in pieces])
        torch.testing.assert_close(batched, alone, atol=LOGITS_ATOL, rtol=0)
    wrong = "right" if captioner.plugin.CARD.padding_side == "left" else "left"
    spoilt = torch.cat([first_logits(captioner, piece, side=wrong) for piece in pieces])
    if not captioner.encoder_decoder:  # T5 knows relative positions alone, and padding stands outside of all tokens
        assert float((spoilt - alone).abs().max()) > 100 * LOGITS_ATOL  # so the tolerance does tell right from wrong


def test_no_caption_holds_a_piece_of_its_prompt(captioner, world):
    items, pack = world
    records = generate.caption_all(captioner, items, pack, batch_size=8, max_new_tokens=TOKENS)
    assert len({len(record["prompt"]) for record in records}) > 1
    for record in records:
        for piece in ("user", "assistant", "describe", "panorama", "<image>", "<|", "system"):
            assert piece not in record["raw"].lower(), record
        assert record["prompt"] == captioner.prompt(record["item_id"].split("|")[1])


def test_tokens_and_cap_are_counted(captioner, world):
    items, pack = world
    longest = generate.caption_all(captioner, items, pack, batch_size=4, max_new_tokens=40)
    ended = [record for record in longest if not record["capped"]]
    assert ended
    for record in ended:
        again = len(captioner.tokenizer(" " + record["raw"], add_special_tokens=False)["input_ids"]) + 1
        assert record["tokens"] == again  # the end token counts
    short = generate.caption_all(captioner, items, pack, batch_size=4, max_new_tokens=2)
    assert all(record["capped"] and record["tokens"] == 2 for record in short)


def test_every_end_token_of_the_checkpoint_stops_generation(captioner, world):
    items, pack = world
    (_, query, key), usual = items[0], captioner.end_tokens()
    encoded = captioner.encode(query, pack[key], key)
    [free] = captioner.generate([encoded], 8)
    first = int(first_logits(captioner, [encoded]).argmax())
    captioner.model.generation_config.eos_token_id = [*sorted(usual), first]
    [stopped] = captioner.generate([encoded], 8)
    assert free.tokens > 1
    assert (stopped.tokens, stopped.capped) == (1, False)


def out_of_memory(kind: str) -> Exception:
    if kind == "gpu":
        return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    return RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory")


@pytest.mark.parametrize("kind", ["gpu", "cpu"])
def test_full_memory_halves_the_batch_and_keeps_the_order(kind, captioner, world, monkeypatch, caplog):
    items, pack = world
    expected = generate.caption_all(captioner, items, pack, batch_size=8, max_new_tokens=TOKENS)
    real, sizes = captioner.generate, []

    def fits_three(batch, max_new_tokens):
        sizes.append(len(batch))
        if len(batch) > 3:
            raise out_of_memory(kind)
        return real(batch, max_new_tokens)

    monkeypatch.setattr(captioner, "generate", fits_three)
    with caplog.at_level(logging.WARNING):
        got = generate.caption_all(captioner, items, pack, batch_size=8, max_new_tokens=TOKENS)
    assert tiny_captioners.timeless(got) == tiny_captioners.timeless(expected)
    assert sizes == [8, 4, 2, 2, 2, 2, 2, 2, 2, 1]  # once halved, it stays so
    assert "out of memory with 8 items at a time, going on with 4" in caplog.text


def test_full_memory_with_one_item_fails_that_item_with_advice(captioner, world, monkeypatch):
    items, pack = world

    def never(batch, max_new_tokens):
        raise out_of_memory("gpu")

    monkeypatch.setattr(captioner, "generate", never)
    records = generate.caption_all(captioner, items[:2], pack, batch_size=2)
    assert [record["status"] for record in records] == ["failed", "failed"]
    assert "Use a smaller model, fewer image pixels, or a GPU with more memory" in records[0]["reason"]


def test_a_failing_item_fails_alone(captioner, world, monkeypatch):
    items, pack = world
    expected = generate.caption_all(captioner, items, pack, batch_size=5, max_new_tokens=TOKENS)
    real, bad = captioner.generate, captioner.encode(items[7][1], pack[items[7][2]], items[7][2])

    def chokes(batch, max_new_tokens):
        for item in batch:
            same = item["input_ids"].shape == bad["input_ids"].shape and bool(
                (item["input_ids"] == bad["input_ids"]).all()
            )
            if same and bool((item["pixel_values"] == bad["pixel_values"]).all()):
                raise ValueError("this one\ncannot be had")
        return real(batch, max_new_tokens)

    monkeypatch.setattr(captioner, "generate", chokes)
    got = generate.caption_all(captioner, items, pack, batch_size=5, max_new_tokens=TOKENS)
    assert tiny_captioners.timeless(got[:7] + got[8:]) == tiny_captioners.timeless(expected[:7] + expected[8:])
    failed = got[7]
    assert (failed["status"], failed["raw"], failed["tokens"]) == ("failed", "", 0)
    assert failed["reason"] == "ValueError: this one cannot be had"
    assert failed["item_id"] == items[7][0]


def test_missing_images_and_bad_queries_fail_alone(captioner, world):
    items, pack = world
    token = captioner.tokenizer.eos_token
    odd = [
        ("no-key", "left", None),
        ("nan", "left", float("nan")),
        ("gone", "left", "gone"),
        ("bad", f"x{token}", items[0][2]),
    ]
    records = generate.caption_all(captioner, [*odd, *items[:2]], pack, batch_size=8, max_new_tokens=TOKENS)
    assert [record["status"] for record in records] == ["failed"] * 4 + ["ok"] * 2
    assert "missing or broken" in records[0]["reason"]
    assert "missing or broken" in records[1]["reason"]
    assert "gone" in records[2]["reason"]
    assert "control token" in records[3]["reason"]


def test_a_broken_device_ends_the_run_instead_of_failing_every_item(captioner, world, monkeypatch):
    items, pack = world

    def broken(batch, max_new_tokens):
        raise torch.AcceleratorError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(captioner, "generate", broken)
    with pytest.raises(torch.AcceleratorError):
        generate.caption_all(captioner, items, pack)


def test_empty_captions_have_a_status_of_their_own(captioner, world, monkeypatch):
    from retcap.captioning.model import Caption

    items, pack = world
    monkeypatch.setattr(captioner, "generate", lambda batch, _: [Caption("", 1, False) for _ in batch])
    records = generate.caption_all(captioner, items, pack)
    assert {record["status"] for record in records} == {"empty"}


def test_bad_calls_are_refused(captioner, world):
    items, pack = world
    with pytest.raises(ValueError, match="occurs more than once among 2 items"):
        generate.caption_all(captioner, [items[0], items[0]], pack)
    with pytest.raises(ValueError, match="batch_size is 0"):
        generate.caption_all(captioner, items, pack, batch_size=0)


def test_batches_are_by_length_longest_first_and_keep_images_together():
    long = "what the people on the far side of the road are doing with all of their things"
    items = [
        ("1", "left", "b"),
        ("2", long, "b"),
        ("3", "left", "a"),
        ("4", "right", "b"),
        ("5", long, "a"),
        ("6", "up", "a"),
    ]
    buckets = generate.plan(items, batch_size=3)
    ids = [[[items[place][0] for place in batch] for batch in bucket] for bucket in buckets]
    assert ids[0] == [["5", "2"]]
    assert [set(batch) for batch in ids[-1]] == [{"3", "6", "1"}, {"4"}]
