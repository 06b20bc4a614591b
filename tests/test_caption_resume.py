"""Captioning that stops half-way goes on where it stopped, with the same bytes."""

import hashlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

import quick_start
import tiny_captioners
from retcap.captioning import generate
from retcap.captioning.resume import Finished, content_ids
from retcap.files import jsonl

pytest_plugins = ["tiny_captioners"]

ROOT = Path(__file__).parents[1]
NAMES = tiny_captioners.NAMES
TOKENS = 12


def test_a_second_run_generates_nothing(captioner, world, tmp_path, monkeypatch):
    items, pack = world

    def run(tokens: int = TOKENS, **options):
        finished = Finished(tmp_path, {"max_new_tokens": tokens})
        return generate.caption_all(captioner, items, pack, batch_size=4, finished=finished, **options)

    first = run(max_new_tokens=TOKENS)
    sizes, seen = tiny_captioners.count_generated(captioner, monkeypatch), []
    second = run(max_new_tokens=TOKENS, progress=lambda *done: seen.append(done))
    assert second == first  # seconds too: they are read, not measured again
    assert sizes == []
    assert seen[-1] == (15, 15)
    short = run(tokens=3, max_new_tokens=3)
    assert sum(sizes) == 15  # what other settings made is not theirs
    assert max(record["tokens"] for record in short) == 3
    assert run(max_new_tokens=TOKENS) == first  # and stays


def test_captions_are_found_by_what_they_are_captions_of(captioner, world, tmp_path, monkeypatch):
    """Other ids, another order and other keys change nothing; new rows, and pictures that changed, are generated."""
    items, pack = world

    def run(items, pack):
        finished = Finished(tmp_path, {"model": "one"})
        records = generate.caption_all(captioner, items, pack, batch_size=4, max_new_tokens=TOKENS, finished=finished)
        return {record["item_id"]: record["raw"] for record in records}

    first = run(items[:9], pack)
    sizes = tiny_captioners.count_generated(captioner, monkeypatch)
    renamed = {f"new {key}": image.copy() for key, image in pack.items()}
    moved = [(f"new {item_id}", query, f"new {key}") for item_id, query, key in reversed(items[:9])]
    assert run(moved, renamed) == {f"new {item_id}": text for item_id, text in first.items()}
    assert sizes == []
    longer = run(items, pack)
    assert sum(sizes) == 6  # the rows that were added
    assert {item_id: longer[item_id] for item_id in first} == first
    changed = pack | {items[0][2]: 255 - pack[items[0][2]]}
    run(items, changed)
    assert sum(sizes) == 6 + 3  # the three queries about one picture
    twins = [*items, ("twin", items[0][1], items[0][2])]
    assert run(twins, pack)["twin"] == first[items[0][0]]
    assert sum(sizes) == 6 + 3


def test_what_was_said_of_the_model_is_there_for_a_run_that_does_not_load_it(tmp_path):
    settings = {"sha256": "ab", "batch_size": 2}
    Finished(tmp_path, settings).describe({"dtype": "float32"})
    assert Finished(tmp_path, settings).about == {"dtype": "float32"}
    assert Finished(tmp_path, settings | {"batch_size": 3}).about is None


def test_failed_items_are_tried_again_and_half_written_lines_are_ignored(captioner, world, tmp_path, monkeypatch):
    items, pack = world
    expected = generate.caption_all(captioner, items, pack, max_new_tokens=TOKENS, batch_size=4)
    lost = dict(list(pack.items())[1:])  # the first panorama cannot be read for now
    options = {"max_new_tokens": TOKENS, "batch_size": 4}
    first = generate.caption_all(captioner, items, lost, finished=Finished(tmp_path), **options)
    assert sum(record["status"] == "failed" for record in first) == 3
    with open(next(tmp_path.glob("*.jsonl")), "a") as file:
        file.write('{"content": "torn')
    sizes = tiny_captioners.count_generated(captioner, monkeypatch)
    second = generate.caption_all(captioner, items, pack, finished=Finished(tmp_path), **options)
    assert tiny_captioners.timeless(second) == tiny_captioners.timeless(expected)
    assert sum(sizes) == 3


def test_captions_with_any_kind_of_line_break_are_resumed(tmp_path):
    records = [
        {"content": str(number), "raw": f"one{character}two", "status": "ok"}
        for number, character in enumerate("\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")
    ]
    Finished(tmp_path, {"max_new_tokens": TOKENS}).commit(records)
    assert Finished(tmp_path, {"max_new_tokens": TOKENS}).done == {record["content"]: record for record in records}


KILLED = """
import sys, time
import torch
import tiny_captioners
from retcap.files import jsonl
from retcap.captioning import generate
from retcap.captioning.resume import Finished
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
generate.caption_all(captioner, items, pack, batch_size=2, max_new_tokens=int(tokens), finished=Finished(scratch))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_kill_9_in_mid_run_then_resume(name, trained, world, tmp_path, monkeypatch):
    items, pack = world
    command = [quick_start.python("torch"), "-c", KILLED, name, str(trained[name]), str(tmp_path), str(TOKENS)]
    path = os.pathsep.join([str(ROOT / "workflow"), str(ROOT / "tests")])
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 1800  # a busy machine is slow
    kept = tmp_path / f"{hashlib.sha256(b'{}').hexdigest()[:16]}.jsonl"  # of no settings
    while not kept.exists() or kept.read_bytes().count(b"\n") < 6:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stderr.close()
    before = kept.read_bytes()
    before = before[: before.rfind(b"\n") + 1]
    finished = before.count(b"\n")
    assert 6 <= finished < len(items)

    captioner = tiny_captioners.load(name, trained[name])
    whole = generate.caption_all(captioner, items, pack, batch_size=2, max_new_tokens=TOKENS)
    sizes = tiny_captioners.count_generated(captioner, monkeypatch)
    options = {"batch_size": 2, "max_new_tokens": TOKENS, "finished": Finished(tmp_path)}
    resumed = generate.caption_all(captioner, items, pack, **options)
    assert json.dumps(tiny_captioners.timeless(resumed)) == json.dumps(tiny_captioners.timeless(whole))
    assert sum(sizes) == len(items) - finished
    assert kept.read_bytes().startswith(before)
    assert sorted(record["content"] for record in jsonl.read(kept)) == sorted(content_ids(items, pack))
