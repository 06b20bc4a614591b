"""Forks a process for every request of `quick_start`, from one that has imported libraries.

    python quick_server.py <socket> <process to end with> <modules to import, in one argument>

Two processes serve a request: one becomes what was asked for, the other waits for it, passes signals on to it, and
kills it with all of its session when whoever asked is gone.
"""

import atexit
import gc
import importlib
import json
import os
import random
import runpy
import select
import signal
import socket
import sys
import threading
import types
from contextlib import suppress
from pathlib import Path

LARGEST_REQUEST = 1 << 20  # bytes


def serve(path: str, process: int, preloaded: str) -> dict:
    """Returns in the new processes alone, with the request."""
    for name in preloaded.split():
        importlib.import_module(name)
    assert not [name for name in sys.modules if "retcap" in name], "of which checkout, the request says"
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that wait
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(f"{path}.tmp")
    listening.listen(64)
    os.rename(f"{path}.tmp", path)
    ended = os.pidfd_open(process)
    while True:
        if ended in select.select([listening, ended], [], [])[0]:
            os.unlink(path)
            os._exit(0)
        line = listening.accept()[0]
        if os.fork():
            line.close()
            continue
        listening.close()
        os.close(ended)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        message, streams, _, _ = socket.recv_fds(line, LARGEST_REQUEST, 3)
        child = os.fork()
        if child:
            wait(child, line)
        line.close()
        os.setsid()
        for place, stream in enumerate(streams):
            os.dup2(stream, place)
            os.close(stream)
        return json.loads(message)


def wait(child: int, line: socket.socket) -> None:
    """Never returns. Keeps the streams open, so that who reads them to their end has outlived what writes there."""
    process = os.pidfd_open(child)
    while process not in (ready := select.select([line, process], [], [])[0]):
        if line in ready:
            number = line.recv(64)
            if not number:
                kill_session(child)
                os.waitpid(child, 0)
                os._exit(0)
            os.kill(child, int(number))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        line.send(str(status).encode())
    finally:
        os._exit(0)


def kill_session(leader: int) -> None:
    """Kill what is in it, and a leader that has not begun it yet."""
    for kill in (os.killpg, os.kill):
        with suppress(ProcessLookupError):
            kill(leader, signal.SIGKILL)


def become(arguments: list[str], cwd: str, env: dict[str, str]) -> None:
    """What `python <arguments>` does, in the place and with the variables of the request. Never returns.

    All but the end of the interpreter, which would take all that was imported apart.
    """
    os.chdir(cwd)
    sys.executable = env.pop("RETCAP_QUICK_EXECUTABLE", sys.executable)
    os.environ.clear()
    os.environ.update(env)
    sys.dont_write_bytecode = bool(env.get("PYTHONDONTWRITEBYTECODE"))
    sys.pycache_prefix = env.get("PYTHONPYCACHEPREFIX") or None
    encoding = env.get("PYTHONIOENCODING", sys.stdout.encoding)
    sys.stdin = os.fdopen(0, "r", encoding=encoding, closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding=encoding, closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, encoding=encoding, errors="backslashreplace", closefd=False)
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    if "torch" in sys.modules and env.get("OMP_NUM_THREADS"):  # which libraries read while they are loaded
        sys.modules["torch"].set_num_threads(int(env["OMP_NUM_THREADS"]))
    del sys.modules["__main__"]
    status = 0
    try:
        run(*arguments, below=list(filter(None, env.get("PYTHONPATH", "").split(os.pathsep))))
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if ended.code is not None and not isinstance(ended.code, int):
            print(ended.code, file=sys.stderr)
    except BaseException as error:
        own = error.__traceback__.tb_next.tb_next  # without the lines of this file
        sys.excepthook(type(error), error.with_traceback(own), own)
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 0xFF)


def run(what: str, *rest: str, below: list[str]) -> None:
    """A module, a program or a script. `below`: where modules are looked for behind its own folder."""
    if what == "-u":
        sys.stdout.reconfigure(write_through=True)
        what, *rest = rest
    if what == "-m":
        sys.path[:1] = [os.getcwd(), *below]
        sys.argv = [*rest]
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        return
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    if what == "-c":
        code, sys.path[:1] = compile(rest[0], "<string>", "exec"), ["", *below]
        sys.argv = ["-c", *rest[1:]]
    else:
        code, sys.path[:1] = compile(Path(what).read_bytes(), what, "exec"), [str(Path(what).resolve().parent), *below]
        sys.argv, main.__file__ = [what, *rest], what
    exec(code, main.__dict__)


if __name__ == "__main__":
    become(**serve(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
