"""What `job.start` does for a job that may fail alone. Such a job is known by the resource `attempt` of its rule."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from retcap.jobs import memory, scratch
from retcap.jobs.failures import again, alone, killed, record
from retcap.jobs.failures.record import Failure

log = logging.getLogger(__name__)
SHAPES_RESULTS = False  # see retcap.reruns.digest
CHILD_KILLED = ("sigkill", "signal 9", "killed by signal", "terminated abruptly")  # of torchrun, data loaders, pools


class NotRun(Exception):
    """Inputs of this job are missing, because the jobs that make them failed."""

    def __init__(self, failures: Iterable[Failure]):
        self.roots = tuple(record.roots(failures))
        super().__init__(f"not run: {record.why(self.roots)}")


class Guard:
    """One attempt of a job that may fail alone."""

    @classmethod
    def of(cls, snakemake: Any) -> "Guard | None":
        """The guard of a job; None where its rule fails hard."""
        return cls(snakemake) if snakemake.resources.get("attempt") else None

    def __init__(self, snakemake: Any):
        self.rule, self.wildcards = snakemake.rule, dict(snakemake.wildcards.items())
        self.results, self.log_file = scratch.results(snakemake), str(snakemake.log[0])
        self.resources = dict(snakemake.resources.items())
        self._last = snakemake.params.get("again")
        self._own = again.place(self.results, self.rule, self.wildcards)
        self._running = self._own.with_suffix(".running")
        self._notes: dict[Path, str] = {}  # written when the outputs are in place

    def begin(self) -> None:
        """Raise killed.Killed where this attempt has nothing to do but to record the death of the one before."""
        killed.check(self._running, self.resources["attempt"], self.rule, self.wildcards, self.resources)
        killed.begin(self._running)

    def end(self) -> None:
        """The job has ended well."""
        for path, text in self._notes.items():
            again.note(path, text)
        killed.end(self._running)

    def terminated(self) -> None:
        """The job was asked to end."""
        killed.terminated(self._running)

    def fail(self, error: Exception, outputs: Mapping[str, Path]) -> Failure:
        """Write the record of a failure in place of every output, and have the next run try the job again."""
        failure = self._failure(error)
        folders = alone.folders(self.rule)
        for name, path in outputs.items():
            record.write(failure, path, folder=name in folders)
        if failure.kind != "upstream":  # such a job runs again when its inputs have come
            again.note(self._own, again.failed(failure.reason))
        killed.end(self._running)
        return failure

    def try_again(self, reason: str, same: str | None, job: tuple[str, Mapping[str, str]] | None) -> bool:
        """See `job.Run.try_again`."""
        text = again.failed(reason) if same is None else again.once(reason, same)
        self._notes[again.place(self.results, *job) if job else self._own] = text
        return text != self._last

    def _failure(self, error: Exception) -> Failure:
        about = {"rule": self.rule, "wildcards": self.wildcards, "log": self.log_file}
        if isinstance(error, NotRun):
            return Failure("upstream", reason=str(error), causes=error.roots, **about)
        if isinstance(error, killed.Killed):
            return Failure("killed", reason=str(error), remedy=error.remedy, **about)
        return Failure("error", reason=record.one_line(error), remedy=self._remedy(error), **about)

    def _remedy(self, error: Exception) -> str:
        if memory.on_gpu(error) or (memory.ran_out(error) and "CUDA" in str(error)):
            return alone.more_memory(self.rule, self.wildcards)
        if memory.ran_out(error):
            return alone.more_memory(self.rule, self.wildcards, self.resources.get("mem_mb"))
        if any(text in str(error).lower() for text in CHILD_KILLED):
            more = alone.more_memory(self.rule, self.wildcards, self.resources.get("mem_mb"))
            return f"A child process was killed, most often for want of memory. {more}"
        return ""
