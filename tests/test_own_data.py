"""The worked example of CONTRIBUTING.md: its records, plugin and configuration are read as they are printed."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

from tiny_backbones import save_open_clip
from workflow_copy import copy_workflow

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ROWS = 120


def block(kind: str, number: int = 0) -> str:
    return re.findall(rf"^```{kind}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)[number]


def records() -> dict[str, dict]:
    """The one record that the page shows of every file."""
    found = re.findall(r"^(data/museum/\w+[.]jsonl) +(\{.*?\})$", block(""), re.MULTILINE | re.DOTALL)
    return {path: json.loads(record) for path, record in found}


def test_the_data_set_of_the_example_is_read_and_its_study_planned(tmp_path: Path):
    copy_workflow(tmp_path)
    (tmp_path / "workflow/retcap/datasets/museum.py").write_text(block("python"))
    (tmp_path / "config/museum.yaml").write_text(block("yaml"))
    (tmp_path / "models").mkdir()
    save_open_clip(tmp_path / "models/our-clip", "vit")
    for name in ("catalogue/Q1.jpg", *(f"hall/{n}.jpg" for n in range(ROWS))):
        (tmp_path / "data/museum/images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data/museum/images" / name).touch()
    shown = records()
    assert sorted(shown) == [f"data/museum/{name}.jsonl" for name in ("passages", "test", "train")]
    for path, record in shown.items():
        copies = [record | {"data_id": n, "image_path": f"hall/{n}.jpg", "passage_id": [f"Q{n}"]} for n in range(ROWS)]
        lines = copies if "train" in path else [record]
        (tmp_path / path).write_text("".join(json.dumps(line) + "\n" for line in lines))

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "snakemake", "--cores", "1", "--configfile", "config/museum.yaml", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path / "workflow"), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    plan = run("-n")
    assert "training our-ret2 (0 GPUs" in plan
    assert "build_m2kr_world" not in plan
    run("--", "results/museum/retrieval/normalised/museum")
    folder = tmp_path / "results/museum/retrieval/normalised/museum"
    rows = {split: pq.read_table(folder / split / "queries.parquet").num_rows for split in ("train", "valid", "test")}
    assert rows == {"train": ROWS - 50, "valid": 50, "test": 1}
    assert pq.read_table(folder / "test/passages.parquet")["passage_id"].to_pylist() == ["Q7"]
    assert not any((folder / split / "quarantine.jsonl").read_text() for split in rows)
    probed = json.loads((tmp_path / "results/museum/retrieval/probes/museum.json").read_text())
    assert probed["train, query"]["missing"] == 0 < probed["train, query"]["asked"]
