"""Runs torchrun as a child that ends with this process, however this one ends."""

import ctypes
import logging
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

import retcap

log = logging.getLogger(__name__)
PR_SET_PDEATHSIG = 1  # linux/prctl.h: the signal that a process gets when its parent dies


def follow(command: list[str], label: str) -> None:
    """Run a command, put what it prints into the log, and end it with this process, its own children included.

    Lines that begin with the label tell how far the training is, and go to the terminal too.
    """
    paths = [str(Path(retcap.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    environment.setdefault("OMP_NUM_THREADS", "1")  # torchrun would set it too, with a warning
    last: deque[str] = deque(maxlen=20)
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=_end_with_parent(),
    ) as child:
        try:
            assert child.stdout is not None
            for line in child.stdout:
                last.append(line.rstrip())
                log.info("%s", last[-1])
                if line.startswith(f"{label}: "):
                    print(last[-1], file=sys.stderr, flush=True)
        except BaseException:
            child.terminate()  # torchrun passes it on to the ranks; a kill would leave them behind
            raise
    if child.returncode:
        raise RuntimeError(f"Training ended with exit status {child.returncode}. Its last lines:\n" + "\n".join(last))


def _end_with_parent() -> Callable[[], object] | None:
    """What the child does before it starts: ask for SIGTERM when this process is killed (on Linux).

    Otherwise the ranks of a killed job train on by themselves, and keep the scratch folder from the job's next start.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up here: little is safe between fork and exec
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
