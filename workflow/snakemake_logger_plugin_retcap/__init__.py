"""The terminal of a run: Snakemake's logger plugin `retcap`, which the profiles name.

A run shows one line per job with its time, a live part on a terminal, and at the end warnings, failures and what the
workflow says of its results. Dry runs, `--verbose` and all that is no run of jobs look as Snakemake makes them. The
full log is Snakemake's own, in .snakemake/log. Jobs speak through files (`retcap.terminal.messages`).

Snakemake imports this package in every call, whatever it is for: nothing heavy here. And nothing of the package retcap:
the workflow that runs may lie in another checkout than this plugin, and has to import its own.
"""

import atexit
import logging
import os
import shutil
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_retcap import ending
from snakemake_logger_plugin_retcap.interrupt import Interrupt
from snakemake_logger_plugin_retcap.jobs import Job, Jobs
from snakemake_logger_plugin_retcap.noise import is_noise
from snakemake_logger_plugin_retcap.run import PRINTED, Run
from snakemake_logger_plugin_retcap.screen import Net, Screen

FOLDER = "RETCAP_MESSAGES"  # environment: where jobs put their messages
FAILED = "At least one job did not complete successfully."
NOTHING = "Nothing to be done"
INTERRUPTED = "Terminating processes on user request"
TICK_S = {True: 0.2, False: 1.0}  # by whether somebody watches, and the files of messages are near


class LogHandler(LogHandlerBase):
    """Gets every log record of Snakemake, in a thread of its own."""

    writes_to_stream = property(lambda self: True)
    writes_to_file = property(lambda self: False)
    has_filter = property(lambda self: True)
    has_formatter = property(lambda self: True)
    needs_rulegraph = property(lambda self: False)

    def __post_init__(self) -> None:
        from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter, logger
        from snakemake.settings.enums import Quietness

        own: Any = self.common_settings
        quiet = set(own.quiet or ())
        self._mute = Quietness.ALL in quiet
        self._quiet = bool(quiet & {Quietness.PROGRESS, Quietness.RULES})
        self._as_usual = own.dryrun or own.verbose or own.debug_dag or own.printshellcmds
        self._screen = Screen(sys.stdout if own.stdout else sys.stderr, own.nocolor, own=not own.stdout)
        stream: Any = self._screen
        form = DefaultFormatter(own.quiet, own.show_failed_logs)
        kept: Any = DefaultFilter(own.quiet, own.debug_dag, own.verbose, own.dryrun, own.printshellcmds)
        self._usual = ColorizingTextHandler(own.nocolor, stream, form, kept)
        self._run: Run | None = None
        self._net: Net | None = None
        self._ticks: threading.Thread | None = None
        self._folder: Path | None = None
        self._results: Path | None = None  # of this experiment, as the workflow says
        self._early: list[tuple[str, str]] = []  # warnings before any job: who, what
        self._log: str | None = None
        self._interrupt: Interrupt | None = None
        self._broken_off: list[Job] = []  # by Ctrl-C
        self._remote = self._stopping = self._repeated = self._closed = False
        self._logger, self._forward = logger, _Forward(logger)
        self._logger.addFilter(self._at_once)
        logging.getLogger("retcap").addHandler(self._forward)
        atexit.register(self.close)
        sys.excepthook = self._last_words

    def _at_once(self, record: logging.LogRecord) -> bool:
        """Called where a record is made, before it waits for this handler's thread. Keeps every record."""
        try:
            self._foresee(record)
        except Exception:  # a defect here must not cost a run
            self.handleError(record)
        return True

    def _foresee(self, record: logging.LogRecord) -> None:
        """What cannot wait: jobs that start now need a place for their messages, and Ctrl-C has reached them."""
        event = getattr(record, "event", None)
        if self._run is not None:
            if record.getMessage().startswith(INTERRUPTED):
                self._stop(self._run)
        elif where := getattr(record, "retcap_results", None):
            self._results = Path(where)
        elif event == LogEvent.RESOURCES_INFO:
            self._remote = self._remote or hasattr(record, "nodes")
        elif event is None and record.levelno == logging.WARNING:
            self._early.append(("", record.getMessage()))
        elif event == LogEvent.RUN_INFO and not self._as_usual and not self._mute:
            try:
                self._begin(getattr(record, "stats", {}))
            except OSError as error:  # no place for messages: then everybody writes to the terminal
                self._as_usual = True
                self._screen.line(f"The terminal is Snakemake's own in this run: {error}")

    @property
    def _interrupted(self) -> bool:
        """From here on jobs end because they were told to, and what they print is not shown."""
        return self._stopping or (self._interrupt is not None and self._interrupt.times > 0)

    def _stop(self, run: Run) -> None:
        with self._locked():
            self._stopping = True
            self._broken_off = list(run.jobs.running.values())
            ending.stopping(run, self._broken_off, self._remote)

    def _begin(self, counts: dict[str, int]) -> None:
        """Jobs are about to start: let them speak, and catch what they print."""
        folder = Path(".snakemake/retcap").absolute() / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        folder.mkdir(parents=True)
        files = [handler.baseFilename for handler in self._logger.handlers if isinstance(handler, logging.FileHandler)]
        jobs = Jobs(counts, time.monotonic(), self._remote)
        if self._results:
            jobs.recall(self._results / "logs")
        self._folder, self._log = folder, os.path.relpath(files[0]) if files else None
        self._net = Net(folder / PRINTED)
        with self._locked():
            self._run = Run(self._screen, folder, jobs, self._early, self._quiet)
        os.environ[FOLDER] = str(folder)
        self._interrupt = Interrupt(kills=not self._remote)
        self._ticks = threading.Thread(target=self._tick, daemon=True)
        self._ticks.start()

    def _tick(self) -> None:
        while not self._closed:
            time.sleep(TICK_S[self._screen.live and not self._remote])
            with self._locked():
                if self._run is not None and not self._closed and not self._interrupted:
                    self._run.tick()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.acquire()
        try:
            yield
        finally:
            self.release()

    def emit(self, record: logging.LogRecord) -> None:
        """Show one record; called under this handler's lock."""
        try:
            if self._as_usual or self._mute:
                self._usual.handle(record)
            elif not (self._interrupted and self._run is not None):
                self._show(record)
        except Exception:  # a defect here must not cost a run
            self.handleError(record)

    def _show(self, record: Any) -> None:
        event, run, text = getattr(record, "event", None), self._run, record.getMessage()
        if is_noise(event, text):
            return
        if getattr(record, "retcap_results", None):
            self._screen.line(text)
        elif run is None:
            self._usual.handle(record)
            if text.startswith(NOTHING) and self._results and (report := self._results / "report.html").is_file():
                self._screen.line(f"Report, as written {_written(report)}: {report}")
        elif event == LogEvent.JOB_INFO:
            run.started(record)
        elif event == LogEvent.JOB_FINISHED:
            run.finished(record)
        elif event == LogEvent.JOB_ERROR:
            run.failed(record)
        elif getattr(record, "retcap_closing", False):
            self._repeat(run)
            self._screen.line(f"\n{text}")
        elif event is None and record.levelno >= logging.WARNING:
            run.warn("", text)
        elif event == LogEvent.ERROR:
            if not run.died(record) and not (run.failures and text.endswith(FAILED)):
                run.failures[text] = ("", text)  # of Snakemake, about no job or after its end
                self._usual.handle(record)
        else:
            self._usual.handle(record)

    def _repeat(self, run: Run) -> None:
        if not self._repeated:
            self._repeated = True
            ending.repeat(run)

    def close(self) -> None:
        """The end of the run, or of the call; a second time nothing."""
        if self._closed:
            return
        with self._locked():
            self._closed = True
            if self._net is not None:
                self._net.release()
            if self._run is not None:
                self._end(self._run)
        os.environ.pop(FOLDER, None)
        if self._interrupt is not None:
            self._interrupt.restore()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._logger.removeFilter(self._at_once)
        logging.getLogger("retcap").removeHandler(self._forward)
        atexit.unregister(self.close)
        super().close()

    def _end(self, run: Run) -> None:
        self._screen.show([])
        if self._interrupted:
            ending.stopped(run, self._broken_off, self._log)
            return
        run.listen()
        run.rest()
        self._repeat(run)
        ending.end(run, self._log)

    def _last_words(self, kind: type[BaseException], error: BaseException, trace: Any) -> None:
        """Ctrl-C outside of jobs is no defect: no traceback."""
        if issubclass(kind, KeyboardInterrupt):
            print("\nStopped by you.", file=sys.stderr)
        else:
            sys.__excepthook__(kind, error, trace)


class _Forward(logging.Handler):
    """Warnings of the workflow itself (of its configuration) go the way of Snakemake's own."""

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__(logging.WARNING)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Called by logging."""
        self._logger.log(record.levelno, record.getMessage())


def _written(file: Path) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(file.stat().st_mtime))
