"""The job runner: staged outputs, log, provenance, errors as printed; also after kill -9."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import quick_start
from retcap.terminal import progress
from workflow_copy import copy_workflow

HEAD = """
import sys, time, logging
from pathlib import Path
from snakemake.iocontainers import Log, OutputFiles, Params, ResourceList, Wildcards
from retcap.jobs import job

class Snakemake:
    rule, threads, scriptdir, input = "toy", 1, ".", []
    def __init__(self, folder):
        self.output = OutputFiles(fromdict={"table": f"{folder}/out/table.csv", "model": f"{folder}/out/model"})
        self.log = Log([f"{folder}/logs/toy/a.log"])
        self.params = Params(fromdict={"seed": 3, "code": "abc", "k": [1, 5]})
        self.wildcards = Wildcards(fromdict={"name": "a"})
        self.resources = ResourceList(fromdict={"gpu": 0, "mem_mb": 10})

snakemake = Snakemake(sys.argv[1])
"""


def run(folder: Path, body: str) -> subprocess.CompletedProcess:
    return quick_start.run(*command(folder, body)[1:])


def command(folder: Path, body: str) -> list[str]:
    return [
        sys.executable,
        "-c",
        HEAD + "with job.start(snakemake) as run:\n" + textwrap.indent(body, "    "),
        str(folder),
    ]


WRITE = "run.out.table.write_text('a,b')\nrun.out.model.mkdir()\n(run.out.model / 'weights').write_text('1')\n"


def provenance(folder: Path) -> dict:
    return json.loads((folder / "logs/toy/a.json").read_text())


def test_a_job_that_ends_well_publishes_everything(tmp_path: Path):
    done = run(tmp_path, WRITE)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/table.csv").read_text() == "a,b"
    assert (tmp_path / "out/model/weights").read_text() == "1"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["model", "table.csv"]
    record = provenance(tmp_path)
    assert record["status"] == "completed"
    assert (record["rule"], record["wildcards"], record["seed"], record["code"]) == ("toy", {"name": "a"}, 3, "abc")
    assert record["params"] == {"seed": 3, "k": [1, 5]}
    assert record["seconds"] > 0
    assert record["peak_memory_mb"] > 5
    assert record["versions"]["pandas"]
    assert "clock" not in record


def test_a_job_that_fails_leaves_no_output_and_says_why(tmp_path: Path):
    done = run(tmp_path, WRITE + "logging.getLogger('x').info('working')\nraise ValueError('the file is empty')\n")
    assert done.returncode == 1
    assert list((tmp_path / "out").iterdir()) == []
    log = (tmp_path / "logs/toy/a.log").read_text()
    assert "Traceback" in log
    assert "working" in log
    assert '"transformers"' in log, "the versions stand at the head of the log"
    assert done.stderr.splitlines()[0] == "Rule toy failed: the file is empty"
    assert str(tmp_path / "logs/toy/a.log") in done.stderr
    assert "Traceback" not in done.stderr
    assert provenance(tmp_path)["status"] == "failed"


def test_an_output_that_was_forgotten_is_an_error(tmp_path: Path):
    done = run(tmp_path, "run.out.table.write_text('a')\n")
    assert done.returncode == 1
    assert "did not write model" in done.stderr
    assert not (tmp_path / "out/table.csv").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_job_leaves_no_output(tmp_path: Path, number: int):
    job = subprocess.Popen(
        command(tmp_path, WRITE + "print('ready', flush=True)\ntime.sleep(60)\n"), stdout=subprocess.PIPE
    )
    assert job.stdout is not None
    assert job.stdout.readline() == b"ready\n"
    job.send_signal(number)
    started = time.monotonic()
    assert job.wait(timeout=20) != 0
    assert time.monotonic() - started < 20
    assert not (tmp_path / "out/table.csv").exists()
    assert not (tmp_path / "out/model").exists()
    again = run(tmp_path, WRITE)  # what the killed job left behind must not disturb the next one
    assert again.returncode == 0, again.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["model", "table.csv"]


def test_no_gpu_asked_hides_all_of_them(tmp_path: Path):
    done = run(tmp_path, WRITE + "import os\nprint(repr(os.environ['CUDA_VISIBLE_DEVICES']), run.device)\n")
    assert done.stdout.strip() == "'' cpu"


def test_progress_without_a_terminal_is_plain_lines(tmp_path: Path):
    done = run(tmp_path, WRITE + "assert list(run.progress([4, 5], label='reading', unit='row')) == [4, 5]\n")
    assert done.stderr == ""  # over in no time: the log alone knows
    assert "reading: 2/2 rows, 0 s" in (tmp_path / "logs/toy/a.log").read_text()
    slow = "from retcap.terminal import progress\nprogress.WORTH_A_LINE_S = 0\n" + WRITE
    done = run(tmp_path, slow + "assert list(run.progress([4], label='reading', unit='batch')) == [4]\n")
    assert "reading: 1/1 batches, 0 s" in done.stderr


def test_progress_says_how_long_it_will_take(monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    shown = {
        "fresh": progress._lines("a", "step"),
        "resumed": progress._lines("b", "batch"),
        "once": progress._lines("c", "step"),
    }
    for second in range(1, 31):
        clock[0] = second
        shown["fresh"](second, 1000)  # a step a second
        shown["resumed"](500 + 2 * second, 5000)  # two batches a second, but 500 were done before
    shown["once"](1, 100)
    said = capsys.readouterr().err.splitlines()
    assert said[2:4] == [
        "a: 20/1000 steps, 20 s, 1.0 steps/s, about 16 min left",
        "b: 540/5000 batches, 20 s, 2.0 batches/s, about 37 min left",
    ]
    assert said[-1] == "c: 1/100 steps, 30 s"  # two points make a speed
    clock[0] = 1000
    shown["fresh"](1000, 1000)
    assert capsys.readouterr().err == "a: 1000/1000 steps, 1000 s, 1.0 steps/s\n"


def test_the_scratch_folder_is_named_after_params_and_inputs(tmp_path: Path):
    body = WRITE + "print(run.scratch)\nsnakemake.params = Params(fromdict={'seed': 4})\n"
    body += "from retcap.jobs import scratch\n"
    first, second = run(tmp_path, body + "print(scratch.folder(snakemake))\n").stdout.split()
    assert first != second
    assert Path(first).parent == tmp_path / ".scratch/toy"
    assert Path(first).name.startswith("a-")
    (tmp_path / "input.txt").write_text("other")
    third = run(tmp_path, WRITE + f"snakemake.input = ['{tmp_path}/input.txt']\nprint(run.scratch)\n").stdout.strip()
    (tmp_path / "input.txt").write_text("content")
    fourth = run(tmp_path, WRITE + f"snakemake.input = ['{tmp_path}/input.txt']\nprint(run.scratch)\n").stdout.strip()
    assert len({first, third, fourth}) == 3


def test_a_plugin_that_git_does_not_know_makes_the_tree_dirty(tmp_path: Path):
    """The record of a run would else name a commit that lacks the code which ran."""
    copy_workflow(tmp_path)
    (tmp_path / ".gitignore").write_text("__pycache__/\n")
    mine = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*mine, "commit", "-q", "-m", "x"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)

    def dirty() -> bool:
        program = "from retcap.jobs import provenance; print(provenance.git_state()[1])"
        environment = {**os.environ, "PYTHONPATH": str(tmp_path / "workflow"), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        return {"True": True, "False": False}[done.stdout.strip()]

    assert not dirty()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/own.csv").write_text("x")
    (tmp_path / "config/own.yaml").write_text("seed: 1")  # the configuration is recorded beside the results
    assert not dirty()
    plugin = tmp_path / "workflow/retcap/metrics/mine.py"
    plugin.write_text("x = 1\n")
    assert dirty()
    plugin.unlink()
    assert not dirty()
    (tmp_path / "Snakefile").write_text("x = 1\n")
    assert dirty()
