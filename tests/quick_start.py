"""Runs of Snakemake that start at once: forked from a process that has imported the libraries they need.

A fresh interpreter spends half of a dry run on imports. The server below imports libraries alone, nothing of this
project; a process forked from it sees the folder, the files and the variables that a fresh one would. What is killed
from outside, and what is about the start of an interpreter itself, is started in the plain way.
"""

import importlib
import json
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

PRELOADED = (
    "snakemake.cli snakemake.report pandas pyarrow.parquet pydantic msgspec docutils.core nbformat.v4 requests "
    "smart_open jsonschema platformdirs jinja2 yaml psutil"
)
READ_AT_START = (
    *("PYTHONHASHSEED", "PYTHONIOENCODING", "PYTHONUTF8", "PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE"),
    *("HF_HUB_OFFLINE", "HF_HOME", "HF_ENDPOINT", "TRANSFORMERS_OFFLINE"),
)
LARGEST_REQUEST = 1 << 20  # bytes


def snakemake(*arguments: str, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`python -m snakemake <arguments>` to its end."""
    outputs = [os.memfd_create("out"), os.memfd_create("errors")]
    request = json.dumps({"arguments": arguments, "cwd": str(cwd), "env": dict(env)}).encode()
    assert len(request) < LARGEST_REQUEST
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
        line.connect(_server(tuple((name, env[name]) for name in READ_AT_START if name in env)))
        socket.send_fds(line, [request], outputs)
        answer = line.recv(64)
    assert answer, "the server of quick_start is gone"
    return subprocess.CompletedProcess(["snakemake", *arguments], int(answer), *(_text(output) for output in outputs))


def _text(output: int) -> str:
    os.lseek(output, 0, os.SEEK_SET)
    with open(output, encoding="utf-8") as file:
        return file.read()


@cache
def _server(started_with: tuple[tuple[str, str], ...]) -> str:
    """Path of the socket of a new server; it ends when this process does."""
    path = f"{tempfile.mkdtemp(prefix='quick-')}/server"
    env = {name: value for name, value in os.environ.items() if name not in (*READ_AT_START, "PYTHONPATH")}
    alive, ours = os.pipe()
    os.set_inheritable(ours, False)
    subprocess.Popen(
        [sys.executable, __file__, path, str(alive)],
        env=env | dict(started_with),
        pass_fds=[alive],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    os.close(alive)
    deadline = time.monotonic() + 300
    while not os.path.exists(path):
        assert time.monotonic() < deadline, "the server of quick_start did not start"
        time.sleep(0.02)
    return path


def _serve(path: str, alive: int) -> dict:
    """Fork for every request. Returns in the new processes alone, with the request."""
    for name in PRELOADED.split():
        importlib.import_module(name)
    assert not [name for name in sys.modules if "retcap" in name], "of which checkout, the request says"
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that wait
    if os.fork() == 0:
        os.read(alive, 1)  # until the process that started this one ends
        shutil.rmtree(Path(path).parent, ignore_errors=True)
        os.kill(os.getppid(), signal.SIGKILL)
        os._exit(0)
    os.close(alive)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(f"{path}.tmp")
    listening.listen(64)
    os.rename(f"{path}.tmp", path)
    while True:
        line = listening.accept()[0]
        if os.fork():
            line.close()
            continue
        listening.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        message, outputs, _, _ = socket.recv_fds(line, LARGEST_REQUEST, 2)
        child = os.fork()
        if child:
            line.send(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())
            os._exit(0)
        line.close()
        for place, output in enumerate(outputs, 1):
            os.dup2(output, place)
            os.close(output)
        return json.loads(message)


def _become(arguments: list[str], cwd: str, env: dict[str, str]) -> None:
    """What `python -m snakemake` does, in the place and with the variables of the request."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.stdout = os.fdopen(1, "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors, closefd=False)
    sys.path[:1] = [cwd, *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = ["snakemake", *arguments]
    del sys.modules["__main__"]
    runpy.run_module("snakemake", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    request = _serve(sys.argv[1], int(sys.argv[2]))
    _become(**request)
