"""Ctrl-C while jobs run. The terminal sends it to the jobs too, at the same moment."""

import signal
import threading
from typing import Any


class Interrupt:
    """Counts Ctrl-C. The first one does what it always does: Snakemake stops and waits for the jobs, which end by it.

    A second one would break Snakemake off in the middle of that, with jobs still running. With `kills` it kills the
    jobs that have not ended instead. Further ones do what they always do.
    """

    def __init__(self, kills: bool) -> None:
        self.times = 0
        self._kills = kills
        self._before: Any = signal.getsignal(signal.SIGINT)
        self._ours = callable(self._before) and threading.current_thread() is threading.main_thread()
        if self._ours:
            signal.signal(signal.SIGINT, self._typed)

    def _typed(self, number: int, frame: Any) -> None:
        self.times += 1
        if self.times == 2 and self._kills:
            _kill_children()
        else:
            self._before(number, frame)

    def restore(self) -> None:
        """As it was before."""
        if self._ours and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._before)


def _kill_children() -> None:
    """Kill every process below this one; which are jobs, and what these have started."""
    import psutil

    for process in psutil.Process().children(recursive=True):
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
