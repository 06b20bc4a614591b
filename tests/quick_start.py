"""Processes of Python that start at once: forked from a server that has imported the libraries they need.

A fresh interpreter spends half of a dry run, and most of a small job, on imports. The servers (`quick_server.py`)
import libraries alone, nothing of this project; a process forked from one sees the folder, the files and the variables
that a fresh one would. All workers of a test session share them. What is about a terminal or about the start of an
interpreter itself is started in the plain way, and the demo in continuous integration is.
"""

import fcntl
import hashlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
SESSION = "RETCAP_QUICK_START"  # variable: "<process>:<folder>"; the servers in the folder end with the process
EXECUTABLE = "RETCAP_QUICK_EXECUTABLE"  # variable of a process: what it starts as Python
READ_AT_START = (
    *("PYTHONHASHSEED", "PYTHONUTF8"),
    *("HF_HUB_OFFLINE", "HF_HOME", "HF_ENDPOINT", "TRANSFORMERS_OFFLINE"),
)
PRELOADED = {
    "snakemake": "snakemake.cli snakemake.report pandas pyarrow.parquet pydantic msgspec docutils.core nbformat.v4 "
    "requests smart_open jsonschema platformdirs jinja2 yaml psutil",
    "torch": "torch torch.distributed pandas pyarrow.parquet pydantic msgspec jinja2 yaml psutil altair sacrebleu "
    "PIL.Image PIL.ImageDraw safetensors.torch jpype tqdm snakemake.logging snakemake.iocontainers transformers "
    "transformers.trainer transformers.models.llava.modeling_llava transformers.models.qwen2_5_vl.modeling_qwen2_5_vl "
    "open_clip faiss",
}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}  # none to be forked


def run(
    *arguments: str,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    kind: str = "snakemake",
    jobs: str = "",
    merged: bool = False,
) -> subprocess.CompletedProcess[str]:
    """`python <arguments>` to its end. `kind`: the server; `merged`: stderr stands in stdout, as a terminal has it.

    `jobs`: the server whose processes run the scripts of a Snakemake that is run; plain ones do where it is empty.
    """
    env = dict(os.environ if env is None else env)
    if jobs:
        env[EXECUTABLE] = python(jobs, env)
    errors = subprocess.STDOUT if merged else subprocess.PIPE
    command = [python(kind, env), *arguments]
    return subprocess.run(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=errors, text=True, check=False)


def snakemake(*arguments: str, **how) -> subprocess.CompletedProcess[str]:
    """`python -m snakemake <arguments>` to its end."""
    return run("-m", "snakemake", *arguments, **how)


def python(kind: str = "snakemake", env: Mapping[str, str] = os.environ) -> str:
    """A program that takes what `python` takes: `-m` a module, `-c` a program, or a script, each with its arguments.

    The process that runs it has a session of its own; it gets the signals SIGINT and SIGTERM, and is killed with all
    of its session when the program is. `env`: as far as Python and libraries read it while they start.
    """
    server = _server(kind, env)
    program = Path(f"{server}.python")
    with locked(program):
        if not program.exists():
            client = [sys.executable, "-I", "-S", str(HERE / "quick_client.py"), server]
            program.write_text(f'#!/bin/sh\nexec {shlex.join(client)} "$@"\n')
            program.chmod(0o755)
    return str(program)


def begin_session() -> None:
    """Have the workers that this process starts share their servers."""
    os.environ[SESSION] = f"{os.getpid()}:{tempfile.mkdtemp(prefix='quick-')}"


def folder() -> Path:
    """What the workers of a session share."""
    if SESSION not in os.environ:
        begin_session()
    return Path(os.environ[SESSION].split(":", 1)[1])


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock that is named after a path."""
    with open(f"{path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _server(kind: str, env: Mapping[str, str]) -> str:
    """Path of the socket of a server, started where there is none yet."""
    started_with = {name: env[name] for name in READ_AT_START if name in env}
    name = hashlib.sha256(json.dumps(started_with, sort_keys=True).encode()).hexdigest()[:8]
    path = folder() / f"{kind}-{name}"
    with locked(path):
        if not path.exists():
            _start(str(path), os.environ[SESSION].split(":")[0], PRELOADED[kind], started_with)
    return str(path)


def _start(path: str, process: str, preloaded: str, started_with: dict[str, str]) -> None:
    """Return when the new server listens. It ends with the process of this number."""
    env = {name: value for name, value in os.environ.items() if name not in (*READ_AT_START, "PYTHONPATH")}
    server = subprocess.Popen(
        [sys.executable, HERE / "quick_server.py", path, process, preloaded],
        env=env | ONE_THREAD | started_with,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 1800  # compiles the libraries where nobody has yet, on a busy machine
    while not os.path.exists(path):
        assert server.poll() is None, "the server of quick_start did not start"
        assert time.monotonic() < deadline, "the server of quick_start did not start in time"
        time.sleep(0.02)
