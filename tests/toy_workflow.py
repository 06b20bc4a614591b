"""A workflow of toys for tests of the terminal: real jobs (`job.start`), nothing to compute."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import quick_start

ROOT = Path(__file__).parents[1]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--cores", "2"]
TOP = """NAMES = {names}
from retcap.terminal import closing
closing.announce("results/toy")
rule all:
    input: [f"out/{{name}}" for name in NAMES]
onsuccess: closing.SNAKEMAKE.info("Report: a page", extra={{"retcap_closing": True}})
onerror: closing.SNAKEMAKE.info("No report", extra={{"retcap_closing": True}})
"""
RULE = """
rule {name}:
    output: out="out/{name}"
    log: "logs/{name}.log"
    message: "making {name} (0 GPUs, 10 MB, 5 min)"
    script: "scripts/{name}.py"
"""
SCRIPT = """{before}
import logging, os, signal, sys, time
from pathlib import Path
from retcap.jobs import job
from retcap.terminal import messages
from retcap.terminal.progress import meter
log = logging.getLogger("toy")
with job.start(snakemake) as run:
    {body}
    run.out.out.write_text("done")
"""


class Toys:
    """The workflow in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "scripts").mkdir()

    def make(self, before: str = "", **bodies: str) -> "Toys":
        """One rule per name; its body runs inside of the job, `before` as its script is imported."""
        for name, body in bodies.items():
            script = SCRIPT.format(before=before, body=body.replace("\n", "\n    "))
            (self.folder / f"scripts/{name}.py").write_text(script)
        rules = "".join(RULE.format(name=name) for name in bodies)
        (self.folder / "Snakefile").write_text(TOP.format(names=list(bodies)) + rules)
        return self

    def run(
        self, *arguments: str, plugin: bool = True, jobs: str = "snakemake", **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Snakemake without a terminal, with a quick start; its jobs too, see `quick_start`."""
        options = command(*arguments, plugin=plugin)[1:]
        return quick_start.run(*options, cwd=self.folder, env=environment(**more), jobs=jobs)

    def on_a_terminal(self, *arguments: str, interrupt_at: str = "") -> tuple[int, str]:
        """Exit status and all that the terminal got; Ctrl-C is typed as soon as a text appears."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.folder)
            os.execvpe(sys.executable, command(*arguments), environment(TERM="xterm"))
        text, deadline = "", time.monotonic() + 120
        while time.monotonic() < deadline:
            if not select.select([terminal], [], [], 0.1)[0]:
                continue
            try:
                new = os.read(terminal, 65536)
            except OSError:  # how Linux says that the other side is closed
                break
            if not new:
                break
            text += new.decode()
            if interrupt_at and interrupt_at in text:
                os.write(terminal, b"\x03")
                interrupt_at = ""
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(terminal)
        return status, text.replace("\r\n", "\n")


def command(*arguments: str, plugin: bool = True) -> list[str]:
    """How the toys are run."""
    return [*SNAKEMAKE, *(["--logger", "retcap"] if plugin else []), *arguments]


def environment(**more: str) -> dict[str, str]:
    """The variables of a run. Snakemake prints sets in the order of their hashes: the same in every run."""
    own = {"PYTHONPATH": str(ROOT / "workflow"), "PYTHONHASHSEED": "0", "COLUMNS": "100", "LINES": "30"}
    return {**os.environ, **own, **more}
