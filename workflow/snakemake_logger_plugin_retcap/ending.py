"""The end of a run: warnings and failures once more, how long it took, how to go on."""

import os
import re
import shlex
import sys
import time
from collections import Counter
from pathlib import Path

from snakemake_logger_plugin_retcap import wording
from snakemake_logger_plugin_retcap.jobs import Job
from snakemake_logger_plugin_retcap.run import Run

REASON_SIGNS = 300
HEAD = re.compile(r"^Rule \w+ failed: ")  # said above it already, by the name of what failed


def repeat(run: Run) -> None:
    """What a person has to know and may have scrolled past."""
    if run.warnings:
        run.screen.line(f"\n{wording.plural(len(run.warnings), 'warning')}", "warning")
        for (who, text), count in Counter(run.warnings).items():
            times = f" ({count} times)" if count > 1 else ""
            run.screen.line(f"  {who + ': ' if who else ''}{text}{times}")
    if run.failures:
        run.screen.line(f"\n{len(run.failures)} failed", "bad")
        for what, why in run.failures.values():
            run.screen.line(f"  {what + ': ' if what else ''}{_short(why)}")


def end(run: Run, log: str | None) -> None:
    """The last lines of a run that came to its end, well or not."""
    jobs = run.jobs
    passed = wording.clock(time.monotonic() - jobs.began)
    failed = f", {jobs.failed} failed" if jobs.failed else ""
    run.screen.line(f"\n{jobs.done} of {wording.plural(jobs.total, 'job')} done{failed}, in {passed}{_log(log)}")
    what = "what failed and what needs it" if run.failures else "only what a change touches"
    run.screen.line(f"Run again, {what}: {command()}")


def stopping(run: Run, broken_off: list[Job], remote: bool) -> None:
    """What is said at once after Ctrl-C."""
    again = "" if remote else " Ctrl-C again kills them."
    run.screen.line(f"\nStopping: waiting for {wording.plural(len(broken_off), 'job')} to end.{again}")


def stopped(run: Run, broken_off: list[Job], log: str | None) -> None:
    """The last lines after Ctrl-C."""
    jobs, now = run.jobs, time.monotonic()
    done = f"{jobs.done} of {wording.plural(jobs.total, 'job')} done"
    run.screen.line(f"\nStopped by you after {wording.clock(now - jobs.began)}, {done}{_log(log)}")
    if broken_off:
        run.screen.line("Broken off:")
        for job in broken_off:
            run.screen.line(f"  {jobs.line_of(job, now)}")
    run.screen.line(f"Go on: {command()}")
    run.screen.line("What is done stays. A training goes on from its last checkpoint, captions after the last batch.")


def command() -> str:
    """The command line of this run, by what started it: `uv run`, this project's `./uvw run` or neither."""
    program = "python -m snakemake" if sys.argv[0].endswith("__main__.py") else Path(sys.argv[0]).name
    runner = f"{shlex.quote(os.environ.get('UVW', 'uv'))} run " if "UV_RUN_RECURSION_DEPTH" in os.environ else ""
    return f"{runner}{program} {shlex.join(sys.argv[1:])}".strip()


def _log(log: str | None) -> str:
    return f". Full log: {log}" if log else ""


def _short(why: str) -> str:
    """The first line of a reason, and where the details are."""
    first, *more = [line.strip() for line in why.split("\n") if line.strip()] or [""]
    details = [line.partition("details: ")[2] for line in more if "details: " in line]
    return wording.cut(HEAD.sub("", first), REASON_SIGNS) + (f" (details: {details[-1]})" if details else "")
