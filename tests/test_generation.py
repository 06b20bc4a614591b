"""Generation with every captioner: batches change nothing, prompts never leak, errors and kills cost little."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny_captioners
from retcap.captioning import folding, generate, train_tiny

ROOT = Path(__file__).parents[1]
NAMES = tiny_captioners.NAMES
LOGITS_ATOL = 1e-4  # float32 sums in another order give about 4e-6, the wrong padding side gives 1e-2 and more
TOKENS = 12


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """More threads than free cores make tiny models many times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Briefly trained tiny checkpoints by captioner name."""
    made = {}
    for name in NAMES:
        made[name] = tmp_path_factory.mktemp(name)
        tiny_captioners.build_and_train(name, made[name], steps=60)
    return made


@pytest.fixture(params=NAMES)
def captioner(request, folders):
    return tiny_captioners.load(request.param, folders[request.param])


@pytest.fixture
def world():
    """(items, pack): 15 items about five panoramas."""
    pack, rows = tiny_captioners.blocks()
    return [(f"{key}|{query}", query, key) for key, query, _ in rows[:15]], pack


def timeless(records: list[dict]) -> list[dict]:
    """Records without the seconds, the one field that differs between runs."""
    return [{name: value for name, value in record.items() if name != "seconds"} for record in records]


def count_generated(captioner, monkeypatch) -> list[int]:
    """A list that grows by the size of every batch generated from now on."""
    sizes, real = [], captioner.generate

    def counting(items, max_new_tokens):
        sizes.append(len(items))
        return real(items, max_new_tokens)

    monkeypatch.setattr(captioner, "generate", counting)
    return sizes


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
        assert timeless(batched) == timeless(alone)
    order = np.random.default_rng(1).permutation(len(items))
    shuffled = generate.caption_all(
        captioner, [items[place] for place in order], pack, batch_size=8, max_new_tokens=TOKENS
    )
    assert timeless(shuffled) == [timeless(alone)[place] for place in order]


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
    assert timeless(got) == timeless(expected)
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
    assert timeless(got[:7] + got[8:]) == timeless(expected[:7] + expected[8:])
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


def test_a_second_run_generates_nothing(captioner, world, tmp_path, monkeypatch):
    items, pack = world
    options = {"batch_size": 4, "max_new_tokens": TOKENS, "resume_folder": tmp_path}
    first = generate.caption_all(captioner, items, pack, **options)
    sizes, seen = count_generated(captioner, monkeypatch), []
    second = generate.caption_all(captioner, items, pack, progress=lambda *done: seen.append(done), **options)
    assert second == first  # seconds too: they are read, not measured again
    assert sizes == []
    assert seen[-1] == (15, 15)
    with pytest.raises(ValueError, match="made with another max_new_tokens"):
        generate.caption_all(captioner, items, pack, batch_size=4, max_new_tokens=3, resume_folder=tmp_path)


def test_failed_items_are_tried_again_and_half_written_files_are_ignored(captioner, world, tmp_path, monkeypatch):
    items, pack = world
    expected = generate.caption_all(captioner, items, pack, max_new_tokens=TOKENS, batch_size=4)
    lost = dict(list(pack.items())[1:])  # the first panorama cannot be read for now
    first = generate.caption_all(captioner, items, lost, max_new_tokens=TOKENS, batch_size=4, resume_folder=tmp_path)
    assert sum(record["status"] == "failed" for record in first) == 3
    (tmp_path / "part-00009.tmp").write_text('{"item_id": "torn')
    sizes = count_generated(captioner, monkeypatch)
    second = generate.caption_all(captioner, items, pack, max_new_tokens=TOKENS, batch_size=4, resume_folder=tmp_path)
    assert timeless(second) == timeless(expected)
    assert sum(sizes) == 3


KILLED = """
import sys, time
import torch
import tiny_captioners
from retcap.captioning import generate
torch.set_num_threads(1)
name, folder, scratch, tokens = sys.argv[1:]
captioner = tiny_captioners.load(name, folder)
pack, rows = tiny_captioners.blocks()
real = captioner.generate
def slow(batch, max_new_tokens):
    time.sleep(0.3)
    return real(batch, max_new_tokens)
captioner.generate = slow
items = [(f"{key}|{query}", query, key) for key, query, _ in rows[:15]]
generate.caption_all(captioner, items, pack, batch_size=2, max_new_tokens=int(tokens), resume_folder=scratch)
"""


def test_kill_9_in_mid_run_then_resume(folders, world, tmp_path, monkeypatch):
    items, pack = world
    name = NAMES[-1]
    command = [sys.executable, "-c", KILLED, name, str(folders[name]), str(tmp_path), str(TOKENS)]
    path = os.pathsep.join([str(ROOT / "workflow"), str(ROOT / "tests")])
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("part-*.jsonl"))) < 3:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stderr.close()
    before = {path.name: path.read_bytes() for path in sorted(tmp_path.glob("part-*.jsonl"))}
    finished = sum(len(data.splitlines()) for data in before.values())
    assert 6 <= finished < len(items)

    captioner = tiny_captioners.load(name, folders[name])
    whole = generate.caption_all(captioner, items, pack, batch_size=2, max_new_tokens=TOKENS)
    sizes = count_generated(captioner, monkeypatch)
    resumed = generate.caption_all(captioner, items, pack, batch_size=2, max_new_tokens=TOKENS, resume_folder=tmp_path)
    assert json.dumps(timeless(resumed)) == json.dumps(timeless(whole))
    assert sum(sizes) == len(items) - finished
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    lines = [
        json.loads(line) for path in sorted(tmp_path.glob("part-*.jsonl")) for line in path.read_text().splitlines()
    ]
    assert sorted(line["item_id"] for line in lines) == sorted(item_id for item_id, _, _ in items)


def test_batches_are_by_length_longest_first_and_keep_images_together(captioner):
    long = "what the people on the far side of the road are doing with all of their things"
    items = [
        ("1", "left", "b"),
        ("2", long, "b"),
        ("3", "left", "a"),
        ("4", "right", "b"),
        ("5", long, "a"),
        ("6", "up", "a"),
    ]
    buckets = generate.plan(captioner, items, batch_size=3)
    ids = [[[items[place][0] for place in batch] for batch in bucket] for bucket in buckets]
    assert ids[0] == [["5", "2"]]
    assert [set(batch) for batch in ids[-1]] == [{"3", "6", "1"}, {"4"}]


def test_training_lowers_the_loss_and_repeats_exactly(tmp_path):
    name = NAMES[0]
    results = []
    for run in ("first", "second"):
        _, result = tiny_captioners.build_and_train(name, tmp_path / run, steps=12)
        results.append(result["history"])
    assert results[0] == results[1]
    assert results[0][-1][1] < results[0][0][1] / 2
    weights = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("first", "second")]
    assert weights[0] == weights[1]


def test_the_loss_sees_answers_alone(captioner, world):
    _, pack = world
    _, rows = tiny_captioners.blocks()
    examples = train_tiny._examples(captioner, rows[:3], pack)
    batch = train_tiny.training_batch(captioner, examples)
    for row, (_, _, caption) in enumerate(rows[:3]):
        kept = batch["labels"][row][batch["labels"][row] != train_tiny.IGNORED]
        assert captioner.tokenizer.decode(kept) == f" {caption}{captioner.tokenizer.eos_token}"
    if not captioner.encoder_decoder:
        assert batch["labels"].shape == batch["input_ids"].shape == batch["attention_mask"].shape
        seen = batch["labels"] != train_tiny.IGNORED
        assert bool((batch["input_ids"][seen] == batch["labels"][seen]).all())
        assert bool(batch["attention_mask"][seen].all())


@pytest.mark.parametrize(("dims", "bias"), [(2, True), (3, False)])
def test_a_folded_convolution_equals_the_convolution(dims, bias):
    kernel = (2, 3, 5)[-dims:]
    kind = {2: torch.nn.Conv2d, 3: torch.nn.Conv3d}[dims]
    convolution = kind(3, 7, kernel, kernel, bias=bias)
    pixels = torch.randn(4, 3, *(2 * size for size in kernel), generator=torch.Generator().manual_seed(0))
    outputs, gradients = [], []
    for module in (convolution, folding.FoldedConvolution(convolution)):
        convolution.weight.grad = None
        outputs.append(module(pixels))
        outputs[-1].square().sum().backward()
        gradients.append(convolution.weight.grad.clone())
    torch.testing.assert_close(outputs[0], outputs[1], atol=1e-5, rtol=1e-5)  # float32 sums of 90 terms
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-3, rtol=1e-4)  # and of thousands


def test_folding_is_undone(captioner):
    before = {name: type(module) for name, module in captioner.model.named_modules()}
    with folding.folded_patches(captioner.model):
        kinds = [type(module) for _, module in captioner.model.named_modules()]
        assert kinds.count(folding.FoldedConvolution) == 1
    assert {name: type(module) for name, module in captioner.model.named_modules()} == before
