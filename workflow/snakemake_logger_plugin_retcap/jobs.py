"""The jobs of a run: which run, how far they are, how long the rest will take."""

import hashlib
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snakemake_logger_plugin_retcap import wording
from snakemake_logger_plugin_retcap.screen import Tail

WORTH_SAYING_S = 5.0  # a lower bound of what is left says nothing below this


@dataclass
class Job:
    """One job that was started. Times are in seconds, of one clock."""

    rule: str
    title: str
    submitted: float
    messages: Tail
    spoke: float | None = None  # when its script began: on a cluster it may have waited for long
    progress: dict[str, Any] = field(default_factory=dict)
    heard: float = 0.0  # when the progress came
    error: str = ""  # why it failed, in its own words
    skipped: bool = False  # something that it needs has failed

    def left(self, now: float) -> float | None:
        """Seconds until its loop ends, if it has said so."""
        left = self.progress.get("left_s")
        return None if left is None else max(left - (now - self.heard), 0.0)


class Jobs:
    """All jobs of a run. `counts`: jobs by rule; `remote`: whether they run elsewhere, and may wait for their turn."""

    def __init__(self, counts: dict[str, int], began: float, remote: bool = False) -> None:
        self.began, self.remote = began, remote
        self.running: dict[int, Job] = {}
        self.done = self.failed = 0
        # the target is no job that does anything
        self._open = Counter({rule: count for rule, count in counts.items() if rule not in ("all", "total")})
        self.total = self._open.total()
        self._took: dict[str, list[float]] = defaultdict(list)
        self._earlier: dict[str, float] = {}

    def seconds(self, job: Job, now: float) -> float:
        """How long a job has run. Where jobs may wait the time counts from its first word."""
        return now - (job.spoke if self.remote and job.spoke is not None else job.submitted)

    def finish(self, number: int, now: float) -> float:
        """Take a job that ended well off the running ones; how long it took."""
        job = self.running.pop(number)
        self.done += 1
        self._open[job.rule] -= 1
        self._took[job.rule].append(self.seconds(job, now))
        return self._took[job.rule][-1]

    def fail(self, number: int, now: float) -> float:
        """Take a job that failed off the running ones; how long it took."""
        job = self.running.pop(number)
        self.failed += 1
        self._open[job.rule] -= 1
        return self.seconds(job, now)

    def retry(self, rule: str) -> None:
        """A job that failed is tried again."""
        self.failed -= 1
        self._open[rule] += 1

    def recall(self, logs: Path) -> None:
        """Learn how long rules took in earlier runs of this experiment, from the records beside their logs."""
        found = defaultdict(list)
        for file in logs.rglob("*.json"):
            try:
                record = json.loads(file.read_text(encoding="utf-8"))
                if record["status"] == "completed":
                    found[record["rule"]].append(float(record["seconds"]))
            except (OSError, ValueError, KeyError, TypeError):
                continue
        self._earlier = {rule: sum(seconds) / len(seconds) for rule, seconds in found.items()}

    def left(self, now: float) -> tuple[float, bool]:
        """Seconds until the end, and whether that is all: False where the time of some rule is not known yet.

        The work that is left is spread over as many jobs as ran at once so far; it takes no less than the longest of
        those that run.
        """
        known, whole = [], True
        for job in self.running.values():
            left = self._left_of(job, now)
            whole = whole and left is not None
            known.append(left or 0.0)
        longest, work = max(known, default=0.0), sum(known)
        for rule, count in (self._open - Counter(job.rule for job in self.running.values())).items():
            mean = self._mean(rule)
            whole = whole and mean is not None
            work += count * (mean or 0.0)
        busy = sum(map(sum, self._took.values())) + sum(self.seconds(job, now) for job in self.running.values())
        at_once = max(busy / max(now - self.began, 1.0), 1.0)
        return max(work / at_once, longest), whole

    def _left_of(self, job: Job, now: float) -> float | None:
        if (left := job.left(now)) is not None:
            return left
        mean = self._mean(job.rule)
        return None if mean is None else max(mean - self.seconds(job, now), 0.0)

    def _mean(self, rule: str) -> float | None:
        times = self._took.get(rule)
        return sum(times) / len(times) if times else self._earlier.get(rule)

    def line(self, now: float) -> str:
        """Where the run stands."""
        text = f"{self.done}/{self.total} jobs after {wording.clock(now - self.began)}"
        seconds, whole = self.left(now)
        if not whole and seconds < WORTH_SAYING_S:
            return text
        return f"{text}, {'about' if whole else 'at least'} {wording.rough(seconds)} left"

    def line_of(self, job: Job, now: float) -> str:
        """Where one job stands."""
        passed = wording.clock(self.seconds(job, now))
        if self.remote and job.spoke is None:
            return f"{job.title}: submitted {passed} ago, no word yet"
        parts = [passed]
        if job.progress.get("total"):
            parts.insert(0, f"{job.progress['done']}/{job.progress['total']} {job.progress['unit']}")
        if left := job.left(now):
            parts.append(f"about {wording.rough(left)} left")
        return f"{job.title}: {', '.join(parts)}"


def message_file(folder: Path, log: str) -> Path:
    """Where the job with this log file writes its messages: `retcap.terminal.messages` computes the same name."""
    return folder / (hashlib.sha256(log.encode()).hexdigest()[:16] + ".jsonl")
