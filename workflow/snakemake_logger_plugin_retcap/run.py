"""What a person sees of a run while it goes on: a line per job, notes of the jobs, and where the running ones stand."""

import json
import re
import time
from logging import LogRecord
from pathlib import Path
from typing import Any

from snakemake_logger_plugin_retcap import wording
from snakemake_logger_plugin_retcap.jobs import Job, Jobs, message_file
from snakemake_logger_plugin_retcap.screen import Screen, Tail

PRINTED = "printed.txt"  # in the folder of messages: what jobs printed besides them
STATUS_EVERY_S = 20.0  # without a terminal
STATUS_SHARE = 0.1  # of the time so far: long runs say it less often
LIVE_JOBS = 8  # jobs shown at once on a terminal
TIME_COLUMN = 76
DIED = re.compile(r"died with <Signals\.(\w+): (\d+)>|returned non-zero exit status (\d+)")
SILENT = "It ended without a word of its own ({how})."
MEMORY = " Most often the machine's memory, or what the job had asked for, ran out."
BY_KILL = ("signal 9", "exit status 137")


class Run:
    """The state of one run and its lines. All methods are called under one lock."""

    def __init__(
        self, screen: Screen, folder: Path, jobs: Jobs, warnings: list[tuple[str, str]], quiet: bool = False
    ) -> None:
        self.screen, self.folder, self.jobs = screen, folder, jobs
        self.quiet = quiet  # no lines of jobs that go well
        self.warnings = warnings  # who, what
        self.failures: dict[int | str, tuple[str, str]] = {}  # what failed, why
        self._printed = Tail(folder / PRINTED)
        self._held: list[str] = []  # printed lines that are not shown yet
        self._last_status = jobs.began
        self._deaths: dict[int | None, str] = {}  # by thread: how a job's process ended

    def started(self, record: Any) -> None:
        """A job was started."""
        if record.rule_name == "all":
            return
        log = next(iter(record.log or []), "")
        messages = Tail(message_file(self.folder, log))
        title = wording.title(record.rule_msg, record.rule_name)
        if self.failures.pop(record.jobid, None):
            messages.lines()  # of the first attempt
            self.jobs.retry(record.rule_name)
            self.screen.line(_indented(f"trying once more: {title}"))
        self.jobs.running[record.jobid] = Job(record.rule_name, title, time.monotonic(), messages)

    def finished(self, record: Any) -> None:
        """A job ended well. What it was for may still have failed: it has said so then."""
        self.listen()
        job = self.jobs.running.get(record.job_id)
        if job is None:
            return
        seconds = self.jobs.finish(record.job_id, time.monotonic())
        well = all(who != job.title for who, _ in self.failures.values())
        if not well or not self.quiet:
            done = f"[{self.jobs.done:>{len(str(self.jobs.total))}}/{self.jobs.total}]"
            sign, more = ("–", ": not run, it needs what failed") if job.skipped else ("✓" if well else "✗", "")
            self._job_line(f"{sign} {done} {job.title}{more}", seconds, None if well else "bad")

    def failed(self, record: Any) -> None:
        """A job failed."""
        self.listen()
        job = self.jobs.running.get(record.jobid)
        if job is None:
            return
        seconds = self.jobs.fail(record.jobid, time.monotonic())
        died = self._deaths.pop(record.thread, None)
        said = [text for text in (job.error, record.rule_msg) if text]  # by the job, by who ran it (such as SLURM)
        why = "\n".join(said) or _silent(died or "its exit status is not known")
        self.failures[record.jobid] = (job.title, why)
        logs = [file for file in record.log or [] if file not in why]
        more = [f"log: {', '.join(logs)}"] if logs else []
        more += [f"{name}: {value}" for name, value in (record.aux or {}).items() if value]
        self._job_line(f"✗ {job.title}", seconds, "bad")
        self.screen.line(_indented("\n".join([why, *more])), "bad")

    def _job_line(self, text: str, seconds: float, style: str | None) -> None:
        self.screen.line(f"{text:<{TIME_COLUMN}} {wording.duration(seconds):>9}", style)

    def died(self, record: LogRecord) -> bool:
        """Keep how a job's process ended, for the error of the job, which follows. False for any other error."""
        text = record.getMessage()
        if "CalledProcessError" not in text or not (found := DIED.search(text)):
            return False
        name, number, status = found.groups()
        self._deaths[record.thread] = f"signal {number}, {name}" if name else f"exit status {status}"
        return True

    def warn(self, who: str, text: str) -> None:
        """Show a warning now; it comes again at the end."""
        text = text.strip()
        self.warnings.append((who, text))
        self.screen.line(_indented(f"warning: {text}"), "warning")

    def listen(self, hold: bool = False) -> None:
        """Read what jobs said and printed since the last time.

        With `hold` printed lines wait for the next call: after Ctrl-C jobs print their tracebacks before this process
        knows of it, and nobody wants to read them.
        """
        for job in list(self.jobs.running.values()):
            for line in job.messages.lines():
                self._hear(job, line)
        lines, new = self._held, self._printed.lines()
        self._held = new if hold else []
        for line in lines if hold else lines + new:
            self.printed(line)

    def _hear(self, job: Job, line: str) -> None:
        try:
            message = json.loads(line)
            kind, text = message["kind"], str(message["text"])
        except (ValueError, KeyError, TypeError):
            return
        now = time.monotonic()
        if kind == "start":
            job.spoke = now
        elif kind == "progress":
            job.progress, job.heard = message, now
        elif kind == "error":
            job.error = text
        elif kind == "skipped":
            job.skipped = True
        elif kind == "failure":
            self.failures[f"{job.title}: {text}"] = (job.title, text)
            self.screen.line(_indented(text), "bad")
        elif kind == "warning":
            self.warn(job.title, text)
        elif not self.quiet:
            self.screen.line(_indented(text))

    def printed(self, line: str) -> None:
        """Show what a job printed by itself: of a progress bar the last state."""
        if line := line.rsplit("\r", 1)[-1].rstrip():
            self.screen.line(_indented(line), "faint")

    def rest(self) -> None:
        """Show a last printed line that has no end."""
        self.printed(self._printed.rest())

    def tick(self) -> None:
        """Called now and then: bring the live part up to date, or write a line of status where there is none."""
        self.listen(hold=True)
        if self.quiet:
            return
        now = time.monotonic()
        running = sorted(self.jobs.running.values(), key=lambda job: job.submitted)
        lines = [self.jobs.line_of(job, now) for job in running]
        if self.screen.live:
            more = len(lines) - LIVE_JOBS
            shown = lines[:LIVE_JOBS] + ([f"and {wording.plural(more, 'more job')}"] if more > 0 else [])
            self.screen.show([*(f"  {line}" for line in shown), self.jobs.line(now)])
        elif now - self._last_status >= max(STATUS_EVERY_S, STATUS_SHARE * (now - self.jobs.began)):
            self._last_status = now
            self.screen.line(_indented(f"{self.jobs.line(now)}. Running: {'; '.join(lines) or 'nothing'}"))


def _silent(how: str) -> str:
    return SILENT.format(how=how) + (MEMORY if how.startswith(BY_KILL) else "")


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.split("\n"))
