"""The terminal of a run: Snakemake's logger plugin `retcap`, on toys whose jobs speak as real ones do."""

import io
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from retcap.terminal import messages, progress
from snakemake_logger_plugin_retcap.jobs import Job, Jobs, message_file
from snakemake_logger_plugin_retcap.screen import Screen, Tail
from toy_workflow import ROOT, Toys, command, environment

LIVE = "\033["  # begins every sequence that only a terminal understands


@pytest.fixture
def toys(tmp_path: Path) -> Toys:
    return Toys(tmp_path)


def job_lines(text: str) -> list[str]:
    """What the lines of jobs say, sorted, without numbers and times."""
    found = re.findall(r"^([✓✗–] )(?:\[ ?\d+/\d+\] )?(.*?) +[\d.]+ s$", text, re.MULTILINE)
    return sorted(sign + title for sign, title in found)


def test_a_run_is_a_line_per_job_then_warnings_results_and_how_to_run_again(toys: Toys):
    speaks = "log.warning('%d toys have no eyes', 3)\nmessages.tell('note', 'half of them')\nprint('from a library')"
    done = toys.make(first=speaks, second="pass").run("--config", "say=b c")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    lines = done.stderr.split("\n")
    assert lines[0] == "Results: results/toy"
    assert job_lines(done.stderr) == ["✓ making first", "✓ making second"]
    assert lines.index("    warning: 3 toys have no eyes") < lines.index("1 warning")
    assert "    half of them" in lines
    end = done.stderr[done.stderr.index("1 warning") :]
    assert re.fullmatch(
        r"1 warning\n  making first: 3 toys have no eyes\n\nReport: a page\n\n2 of 2 jobs done, in 0:\d\d\. "
        r"Full log: (\S+)\nRun again, only what a change touches: python -m snakemake --cores 2 --logger retcap "
        r"--config 'say=b c'\n",
        end,
    ), end
    assert len(lines) <= 14
    log = (toys.folder / "logs/first.log").read_text()
    assert "from a library" in log  # what is printed inside of a job is for its log
    assert "WARNING toy: 3 toys have no eyes" in log
    full = next((toys.folder / ".snakemake/log").iterdir()).read_text()
    assert "Reason: Missing output files: out/first" in full
    assert "Report: a page" in full
    assert not list((toys.folder / ".snakemake/retcap").iterdir())


@pytest.mark.parametrize(("left", "starter"), [({}, "uv run "), ({"UVW": "./uvw"}, "./uvw run ")], ids=["uv", "uvw"])
def test_the_command_to_run_again_begins_as_the_run_did(toys: Toys, left: dict[str, str], starter: str):
    done = toys.make(first="pass").run(UV_RUN_RECURSION_DEPTH="1", **left)
    again = f"Run again, only what a change touches: {starter}python -m snakemake --cores 2 --logger retcap\n"
    assert done.stderr.endswith(again), done.stderr


def test_a_failed_job_says_why_and_where_once_and_again_at_the_end(toys: Toys):
    done = toys.make(bad="raise ValueError('no toys in toys.csv:7. Put some there.')", good="pass").run("--keep-going")
    assert done.returncode == 1
    text = done.stderr
    assert job_lines(text) == ["✓ making good", "✗ making bad"]
    reason = "    Rule bad failed: no toys in toys.csv:7. Put some there.\n      ValueError; details: logs/bad.log\n"
    assert text.count(reason) == 1
    assert "\n1 failed\n  making bad: no toys in toys.csv:7. Put some there. (details: logs/bad.log)\n" in text
    assert "\nNo report\n" in text
    assert "\n1 of 2 jobs done, 1 failed, in 0:" in text
    assert "Run again, what failed and what needs it: " in text
    for noise in ("Traceback", "CalledProcessError", "RuleException", "WorkflowError", "jobid"):
        assert noise not in text


def test_a_killed_job_is_told_with_its_signal(toys: Toys):
    done = toys.make(killed="os.kill(os.getpid(), signal.SIGKILL)").run()
    assert done.returncode == 1
    assert "✗ making killed" in done.stderr
    assert (
        "    It ended without a word of its own (signal 9, SIGKILL). Most often the machine's memory, " in done.stderr
    )
    assert "    log: logs/killed.log\n" in done.stderr


def test_a_script_that_cannot_be_imported_shows_its_traceback(toys: Toys):
    done = toys.make(before="import no_such_toy", broken="pass").run()
    assert done.returncode == 1
    assert "    ModuleNotFoundError: No module named 'no_such_toy'\n" in done.stderr
    assert "    It ended without a word of its own (exit status 1).\n" in done.stderr


def test_a_job_that_records_its_failure_and_ends_well_counts_as_failed(toys: Toys):
    done = toys.make(model="messages.tell('failure', 'the model failed: out of memory')").run()
    assert done.returncode == 0
    assert job_lines(done.stderr) == ["✗ making model"]
    assert "\n1 failed\n  making model: the model failed: out of memory\n" in done.stderr


def test_a_job_that_needs_what_failed_says_that_it_was_not_run(toys: Toys):
    done = toys.make(needy="messages.tell('skipped', '')").run()
    assert job_lines(done.stderr) == ["– making needy: not run, it needs what failed"]
    assert "\n1 failed" not in done.stderr


def test_a_second_attempt_takes_the_first_failure_back(toys: Toys):
    toys.make(shy="if snakemake.resources.turn < 2: os.kill(os.getpid(), signal.SIGKILL)")
    file = toys.folder / "Snakefile"
    text = file.read_text().replace(
        "    script:", "    retries: 1\n    resources: turn=lambda wildcards, attempt: attempt\n    script:"
    )
    file.write_text(text)
    done = toys.run()
    assert done.returncode == 0, done.stderr
    assert job_lines(done.stderr) == ["✓ making shy", "✗ making shy"]
    assert "    trying once more: making shy\n" in done.stderr
    assert "failed\n" not in done.stderr
    assert "\n1 of 1 job done, in" in done.stderr


def test_nothing_is_lost_or_torn_when_jobs_print_at_once(toys: Toys):
    """Before a job has begun it writes to the terminal itself; later its messages go through a file."""
    before = "import os\nfor n in range(300): os.write(1, f'{__file__[-6:-3]} prints {n}\\n'.encode())"
    told = "for n in range(300): messages.tell('note', f'{snakemake.rule} says {n}')"
    done = toys.make(before=before, one=told, two=told).run()
    assert done.returncode == 0
    lines = done.stderr.split("\n")
    for name in ("one", "two"):
        for verb in ("says", "prints"):
            expected = [f"    {name} {verb} {n}" for n in range(300)]
            assert [line for line in lines if f"{name} {verb}" in line] == expected


@pytest.mark.parametrize("arguments", [[], ["-n"]])
def test_an_ascii_terminal_crashes_nothing(toys: Toys, arguments: list[str]):
    speaks = "log.warning('– déjà vu ✓')\nprint('✓')"
    toys.make(spoken=speaks).run(*arguments)
    file = toys.folder / "Snakefile"
    file.write_text(file.read_text().replace("making", "making – "))
    done = toys.run(*arguments, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stdout + done.stderr
    if not arguments:
        (toys.folder / "out/spoken").unlink()
        done = toys.run(PYTHONIOENCODING="ascii")
        assert "+ [1/1] making -  spoken" in done.stderr
        assert "warning: - d\\xe9j\\xe0 vu +" in done.stderr
    (toys.folder / "out").is_dir() and (toys.folder / "out/spoken").unlink(missing_ok=True)
    assert toys.run(*arguments, plugin=False, PYTHONIOENCODING="ascii").returncode == 0


def test_what_is_no_run_of_jobs_looks_as_snakemake_makes_it(toys: Toys):
    toys.make(first="pass", second="pass")

    def shown(*arguments: str, plugin: bool) -> tuple[int, list[str], list[str]]:
        """Lines in any order: Snakemake's own differs from call to call."""
        own = r"^\[\w+ \w+ .*\]|^  (Date|Workflow ID|Command): .*|^Building DAG of jobs[.]{3}$"
        done = toys.run(*arguments, plugin=plugin)
        texts = [re.sub(own, "", text, flags=re.M) for text in (done.stdout, done.stderr)]
        out, errors = (sorted(filter(None, text.split("\n"))) for text in texts)
        return done.returncode, out, errors

    for arguments in (
        ["-n"],
        ["-n", "--quiet"],
        ["--summary"],
        ["--list"],
        ["--lint"],
        ["--unlock"],
        ["--version"],
        ["-n", "nothing"],
    ):
        assert shown(*arguments, plugin=True) == shown(*arguments, plugin=False), arguments
    assert "Reason: Missing output files: out/first" in toys.run("-n").stdout


def test_errors_before_any_job_are_snakemakes(toys: Toys):
    toys.make(first="pass")
    (toys.folder / "Snakefile").write_text((toys.folder / "Snakefile").read_text() + "\nrule broken:\n    inptu: 'x'\n")
    done = toys.run()
    assert done.returncode == 1
    assert "SyntaxError" in done.stderr
    assert "Unexpected keyword inptu in rule definition" in done.stderr


def test_a_locked_folder_says_so_and_unlock_helps(toys: Toys):
    toys.make(first="pass")
    assert toys.run().returncode == 0
    (toys.folder / "out/first").unlink()
    locks = toys.folder / ".snakemake/locks"
    locks.mkdir(exist_ok=True)
    (locks / "0.output.lock").write_text("out/first\n")
    done = toys.run()
    assert done.returncode == 1
    assert "LockException" in done.stderr
    assert "--unlock" in done.stderr
    assert "Unlocked working directory" in toys.run("--unlock").stderr
    assert toys.run().returncode == 0


def test_a_run_with_nothing_to_do_says_so_and_where_the_report_is(toys: Toys):
    toys.make(first="pass").run()
    report = toys.folder / "results/toy/report.html"
    report.parent.mkdir(parents=True)
    report.write_text("a page")
    done = toys.run()
    assert "Nothing to be done (all requested files are present and up to date)." in done.stderr
    assert re.search(
        r"^Report, as written \d{4}-\d\d-\d\d \d\d:\d\d: results/toy/report.html$", done.stderr, re.MULTILINE
    )


def test_quiet_leaves_the_lines_of_jobs_out_but_not_what_failed(toys: Toys):
    done = toys.make(first="pass", bad="raise ValueError('no toys')").run("--quiet", "--keep-going")
    assert "making first" not in done.stderr
    assert "Rule bad failed: no toys" in done.stderr
    assert toys.run("--quiet", "all").stderr.count("\n") < 6


@pytest.mark.parametrize("option", ["--verbose", "--printshellcmds"])
def test_who_asks_for_more_gets_snakemakes_own_lines(toys: Toys, option: str):
    done = toys.make(first="log.warning('no eyes')").run(option)
    assert done.returncode == 0
    assert "Reason: Missing output files: out/first" in done.stderr
    assert "WARNING toy: no eyes" in done.stderr


def test_a_terminal_gets_a_live_part_that_is_gone_in_the_end(toys: Toys):
    counting = "show = meter('toys', 'step')\nfor n in range(20):\n    time.sleep(0.1)\n    show(n + 1, 20)"
    status, text = toys.make(counted=counting).on_a_terminal()
    assert status == 0
    assert re.search(r"  making counted: \d+/20 steps, 0:0\d, about \d s left", text)
    assert re.search(r"0/1 jobs after 0:0\d", text)
    shown = text.split(LIVE)
    assert "\n1 of 1 job done" in text
    assert "making counted: " not in shown[-1]  # the last thing that was drawn is not the live part


def test_ctrl_c_says_what_was_stopped_and_how_to_go_on_and_leaves_no_lock(toys: Toys):
    slow = "show = meter('toys', 'step')\nshow(3, 400)\ntime.sleep(60)"
    importing = "import time\nif 'two' in __file__: print('importing', flush=True); time.sleep(60)"
    toys.make(before=importing, one=slow, two="pass")
    status, text = toys.on_a_terminal(interrupt_at="3/400 steps")
    assert status == 1
    after = text[text.index("^C") :]
    after = re.sub(r"\033\[[\d;]*[A-Za-z]", "", after)
    assert "Traceback" not in after
    assert "Error" not in after
    assert after.count("\n") <= 12, after
    assert "Stopping: waiting for 2 jobs to end." in after
    assert re.search(r"Stopped by you after 0:\d\d, 0 of 2 jobs done\. Full log: \.snakemake/log/\S+\n", after)
    assert re.search(r"  making one: 3/400 steps, 0:\d\d", after)
    assert "Go on: python -m snakemake --cores 2 --logger retcap\n" in after
    for name in ("one", "two"):
        (toys.folder / f"scripts/{name}.py").write_text("open(snakemake.output.out, 'w').write('done')")
    assert toys.run().returncode == 0


def test_ctrl_c_before_any_job_leaves_no_traceback(toys: Toys):
    toys.make(first="pass")
    file = toys.folder / "Snakefile"
    file.write_text("import time\nprint('reading', flush=True)\ntime.sleep(30)\n" + file.read_text())
    status, text = toys.on_a_terminal(interrupt_at="reading")
    assert status != 0
    assert "Stopped by you." in text
    assert "Traceback" not in text


def test_a_run_from_another_folder_takes_the_plugin_and_the_configuration_of_its_own_checkout(tmp_path: Path):
    command = [sys.executable, "-m", "snakemake", "-n", "--snakefile", str(ROOT / "Snakefile")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Results: results/demo" in done.stdout
    assert "drawing the panorama world" in done.stdout


def test_the_plugin_imports_nothing_heavy_and_nothing_of_the_workflow():
    program = (
        "import sys, snakemake.cli\nbefore = set(sys.modules)\nimport snakemake_logger_plugin_retcap\n"
        "print([name for name in set(sys.modules) - before if not name.startswith('snakemake')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_profiles_name_the_plugin_and_the_wheel_holds_it():
    for name in ("default", "slurm"):
        assert yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text())["logger"] == "retcap"
    assert '"workflow/snakemake_logger_plugin_retcap"' in (ROOT / "pyproject.toml").read_text()


def test_job_and_plugin_agree_on_the_file_of_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    log = "results/demo/logs/train/ret2.log"
    file = message_file(tmp_path, log)
    assert file.name == messages.file_name(log)
    monkeypatch.setenv(messages.FILE, str(file))
    messages.tell("progress", "", done=3, total=400)
    assert json.loads(Tail(file).lines()[0]) == {"kind": "progress", "text": "", "done": 3, "total": 400}


def test_a_message_that_cannot_be_written_goes_to_the_terminal(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv(messages.FILE, str(tmp_path / "gone" / "a.jsonl"))
    messages.tell("note", "validation R@10 12.5")
    messages.tell("start", "")
    assert capsys.readouterr().err == "validation R@10 12.5\n"


def test_a_tail_gives_whole_lines_once(tmp_path: Path):
    tail = Tail(tmp_path / "a")
    assert tail.lines() == []
    with (tmp_path / "a").open("ab") as file:
        file.write(b"one\ntw")
        file.flush()
        assert tail.lines() == ["one"]
        assert (tail.lines(), tail.rest()) == ([], "tw")
        file.write("o\u2028 and \xff\n".encode("latin-1", "replace"))
    assert tail.lines() == ["two? and \ufffd"]


def running(jobs: Jobs, number: int, rule: str, submitted: float) -> Job:
    jobs.running[number] = Job(rule, rule, submitted, Tail(Path("nowhere")))
    return jobs.running[number]


def test_what_is_left_is_a_lower_bound_until_the_time_of_every_rule_is_known():
    jobs = Jobs({"embed": 5, "train": 1, "all": 1, "total": 7}, began=0.0)
    assert jobs.total == 6
    running(jobs, 1, "embed", 0.0)
    assert jobs.left(10.0) == (0.0, False)
    assert jobs.finish(1, 10.0) == 10.0
    running(jobs, 2, "embed", 10.0)
    running(jobs, 3, "train", 10.0)
    seconds, whole = jobs.left(20.0)  # 3 embeddings of 10 s, one that should be done; 30 s of work in 20 s so far
    assert (seconds, whole) == (pytest.approx(3 * 10 / (30 / 20)), False)
    jobs.running[3].progress, jobs.running[3].heard = {"left_s": 100.0}, 20.0
    assert jobs.left(20.0) == (100.0, True)  # the training is the longest, the rest goes beside it
    assert jobs.left(50.0) == (70.0, True)
    assert jobs.line(50.0) == "1/6 jobs after 0:50, about 70 s left"


def test_earlier_runs_tell_how_long_a_rule_takes(tmp_path: Path):
    (tmp_path / "train").mkdir()
    for name, status, seconds in (("a", "completed", 30.0), ("b", "completed", 50.0), ("c", "failed", 1.0)):
        record = {"rule": "train", "status": status, "seconds": seconds}
        (tmp_path / "train" / f"{name}.json").write_text(json.dumps(record))
    (tmp_path / "train/broken.json").write_text("{")
    (tmp_path / "train/other.json").write_text("[1]")
    jobs = Jobs({"train": 2}, began=0.0)
    jobs.recall(tmp_path)
    running(jobs, 1, "train", 0.0)
    assert jobs.left(10.0) == ((30.0 + 40.0), True)


def test_jobs_on_a_cluster_count_from_their_first_word():
    jobs = Jobs({"train": 1}, began=0.0, remote=True)
    job = running(jobs, 1, "train", 0.0)
    assert jobs.line_of(job, 3600.0) == "train: submitted 1:00:00 ago, no word yet"
    job.spoke = 3600.0
    assert jobs.line_of(job, 3605.0) == "train: 0:05"
    assert jobs.finish(1, 3610.0) == 10.0


def test_the_speed_of_a_resumed_loop_is_that_of_this_session():
    speed = progress.Speed()
    assert speed.per_s(200, now=5.0) is None
    assert speed.per_s(210, now=10.0) == 2.0


def test_control_characters_of_data_do_not_reach_the_terminal():
    stream = io.StringIO()
    Screen(stream).line("a caption \033[2J\a that clears\rthe screen")
    assert stream.getvalue() == "a caption \\x1b[2J\\x07 that clears\\rthe screen\n"


def test_children_of_a_killed_run_can_still_print(toys: Toys):
    """A job that outlives Snakemake writes to a file, so that its next print does not kill it."""
    speaks = "print(n, flush=True); messages.tell('note', 'n'); time.sleep(0.1)"
    toys.make(long=f"Path('pid').write_text(str(os.getpid()))\nfor n in range(30): {speaks}")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    run = subprocess.Popen(command(), cwd=toys.folder, env=environment(), **quiet)
    pid = toys.folder / "pid"
    while not (pid.is_file() and pid.read_text()):
        assert run.poll() is None
        time.sleep(0.1)
    run.kill()
    run.wait()
    psutil.Process(int(pid.read_text())).wait(timeout=60)
    assert (toys.folder / "out/long").read_text() == "done"
