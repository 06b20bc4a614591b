"""The terminal: one writer for all lines, which keeps a live part below them, and a net for what others print."""

import io
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from snakemake_logger_plugin_retcap import wording

STYLES = {"good": "\033[32m", "bad": "\033[31m", "warning": "\033[33m", "faint": "\033[2m"}
END = "\033[0m"


class Screen:
    """Writes lines, and keeps a live part below them up to date where there is a terminal.

    A file as well, for handlers of Snakemake. Callers hold one lock; nothing here is safe for threads by itself.
    With `own` the lines still get to the place of the stream when that is redirected.
    """

    def __init__(self, stream: TextIO, nocolor: bool = False, own: bool = True) -> None:
        self._stream = _copy(stream) if own else _lenient(stream)
        self.live = self._stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._colour = self.live and not nocolor and not os.environ.get("NO_COLOR")
        self._plain_signs = not _can_show("✓✗·–…", self._stream.encoding)
        self._shown: list[str] = []  # lines of the live part

    def isatty(self) -> bool:
        """Whether colours may be used: what Snakemake's handlers ask."""
        return self._colour

    def write(self, text: str) -> None:
        """Text as it is, above the live part."""
        self._put(self._erased() + text)

    def line(self, text: str = "", style: str | None = None) -> None:
        """One line, or several; control characters in it are made visible."""
        text = wording.clean(text)
        self.write((f"{STYLES[style]}{text}{END}" if style and self._colour else text) + "\n")

    def show(self, lines: Sequence[str]) -> None:
        """Replace the live part; each line is cut to the width of the terminal. Nothing where there is no terminal."""
        if not self.live:
            return
        width, height = shutil.get_terminal_size()
        lines = [wording.cut(wording.clean(line), width - 1) for line in lines[-max(height - 2, 1) :]]
        if lines == self._shown:
            return
        text = "".join(f"{STYLES['faint']}{line}{END}\n" if self._colour else f"{line}\n" for line in lines)
        self._put(self._erased() + text)  # at once: a terminal that draws in between would flicker
        self._shown = lines

    def flush(self) -> None:
        """Bring everything to the terminal."""
        self._stream.flush()

    def _erased(self) -> str:
        """What takes the live part off the terminal."""
        lines, self._shown = len(self._shown), []
        return f"\033[{lines}F\033[J" if lines else ""

    def _put(self, text: str) -> None:
        try:
            self._stream.write(text.translate(wording.ASCII) if self._plain_signs else text)
            self._stream.flush()
        except BrokenPipeError:  # `snakemake | head`: the run goes on, as with Snakemake's own logger
            pass


class Net:
    """Catches what jobs and their libraries print while jobs run, so that it can be shown line by line, whole.

    Without it a job's output would tear the live part apart, and an interrupt would print a traceback per job.
    A file and no pipe: jobs that outlive this process can still write.
    """

    def __init__(self, file: Path) -> None:
        self._kept: list[tuple[int, int]] = []
        try:
            numbers = [stream.fileno() for stream in (sys.stdout, sys.stderr)]
        except (OSError, ValueError, AttributeError):  # a notebook, a test: nothing to catch
            return
        target = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        for number, stream in zip(numbers, (sys.stdout, sys.stderr), strict=True):
            stream.flush()
            self._kept.append((number, os.dup(number)))
            os.dup2(target, number)
        os.close(target)

    def release(self) -> None:
        """Give stdout and stderr back."""
        if self._kept:
            sys.stdout.flush()
            sys.stderr.flush()
        while self._kept:
            number, copy = self._kept.pop()
            os.dup2(copy, number)
            os.close(copy)


class Tail:
    """New whole lines of a file that others append to."""

    def __init__(self, file: Path) -> None:
        self.file, self._read, self._rest = file, 0, b""

    def lines(self) -> list[str]:
        """Lines since the last call; none while the file is not there."""
        try:
            with self.file.open("rb") as stream:
                stream.seek(self._read)
                new = stream.read()
        except OSError:
            return []
        self._read += len(new)
        *whole, self._rest = (self._rest + new).split(b"\n")
        return [line.decode("utf-8", "replace") for line in whole]

    def rest(self) -> str:
        """What was written after the last end of line."""
        return self._rest.decode("utf-8", "replace")


def _copy(stream: TextIO) -> TextIO:
    """The same place with a file descriptor of its own, which nothing redirects; signs it lacks are escaped."""
    try:
        raw = os.fdopen(os.dup(stream.fileno()), "wb")
    except (OSError, ValueError, AttributeError):
        return _lenient(stream)
    return io.TextIOWrapper(raw, encoding=stream.encoding, errors="backslashreplace")


def _lenient(stream: TextIO) -> TextIO:
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream


def _can_show(signs: str, encoding: str | None) -> bool:
    try:
        signs.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
