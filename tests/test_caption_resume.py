"""Captioning that stops half-way goes on where it stopped, with the same bytes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tiny_captioners
from retcap import jsonl
from retcap.captioning import generate
from retcap.captioning.resume import Finished

pytest_plugins = ["tiny_captioners"]

ROOT = Path(__file__).parents[1]
NAMES = tiny_captioners.NAMES
TOKENS = 12


def test_a_second_run_generates_nothing(captioner, world, tmp_path, monkeypatch):
    items, pack = world
    options = {"batch_size": 4, "max_new_tokens": TOKENS, "resume_folder": tmp_path}
    first = generate.caption_all(captioner, items, pack, **options)
    sizes, seen = tiny_captioners.count_generated(captioner, monkeypatch), []
    second = generate.caption_all(captioner, items, pack, progress=lambda *done: seen.append(done), **options)
    assert second == first  # seconds too: they are read, not measured again
    assert sizes == []
    assert seen[-1] == (15, 15)
    with pytest.raises(ValueError, match="made with another max_new_tokens"):
        generate.caption_all(captioner, items, pack, batch_size=4, max_new_tokens=3, resume_folder=tmp_path)


def test_failed_items_are_tried_again_and_half_written_lines_are_ignored(captioner, world, tmp_path, monkeypatch):
    items, pack = world
    expected = generate.caption_all(captioner, items, pack, max_new_tokens=TOKENS, batch_size=4)
    lost = dict(list(pack.items())[1:])  # the first panorama cannot be read for now
    first = generate.caption_all(captioner, items, lost, max_new_tokens=TOKENS, batch_size=4, resume_folder=tmp_path)
    assert sum(record["status"] == "failed" for record in first) == 3
    with open(tmp_path / "captions.jsonl", "a") as file:
        file.write('{"item_id": "torn')
    sizes = tiny_captioners.count_generated(captioner, monkeypatch)
    second = generate.caption_all(captioner, items, pack, max_new_tokens=TOKENS, batch_size=4, resume_folder=tmp_path)
    assert tiny_captioners.timeless(second) == tiny_captioners.timeless(expected)
    assert sum(sizes) == 3


def test_captions_with_any_kind_of_line_break_are_resumed(tmp_path):
    records = [
        {"item_id": str(number), "raw": f"one{character}two", "status": "ok"}
        for number, character in enumerate("\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")
    ]
    Finished(tmp_path, {"max_new_tokens": TOKENS}).commit(records)
    assert Finished(tmp_path, {"max_new_tokens": TOKENS}).done == {record["item_id"]: record for record in records}


KILLED = """
import sys, time
import torch
import tiny_captioners
from retcap import jsonl
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
generate.caption_all(captioner, items, pack, batch_size=2, max_new_tokens=int(tokens), resume_folder=scratch)
"""


@pytest.mark.slow
def test_kill_9_in_mid_run_then_resume(trained, world, tmp_path, monkeypatch):
    items, pack = world
    name = NAMES[-1]
    command = [sys.executable, "-c", KILLED, name, str(trained[name]), str(tmp_path), str(TOKENS)]
    path = os.pathsep.join([str(ROOT / "workflow"), str(ROOT / "tests")])
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    kept = tmp_path / "captions.jsonl"
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
    resumed = generate.caption_all(captioner, items, pack, batch_size=2, max_new_tokens=TOKENS, resume_folder=tmp_path)
    assert json.dumps(tiny_captioners.timeless(resumed)) == json.dumps(tiny_captioners.timeless(whole))
    assert sum(sizes) == len(items) - finished
    assert kept.read_bytes().startswith(before)
    assert sorted(record["item_id"] for record in jsonl.read(kept)) == sorted(item_id for item_id, _, _ in items)
