"""A SLURM cluster of one node with two pretended GPUs, in one folder: no systemd, no cgroup, nothing below /etc.

GPUs are /dev/null and /dev/zero: a generic resource only needs some existing device file. Without an accounting
database Snakemake must ask `squeue`, which the profile says.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "sinfo")
SYSTEM_PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"

CONFIGURATION = """
ClusterName=toy
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={port}
SlurmdPort={other_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
GresTypes=gpu
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=16 RealMemory=64000 Gres=gpu:toy:2 State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=1440 State=UP
PartitionName=gpu Nodes={host} Default=NO MaxTime=1440 State=UP
"""


def missing() -> list[str]:
    """Programs of SLURM that are not installed."""
    return [name for name in NEEDED if shutil.which(name, path=SYSTEM_PATH) is None]


@contextmanager
def running(folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which `sbatch` and its kin reach the cluster; it ends with the block."""
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir(parents=True)
    for place in (folder, *folder.parents):
        if place.stat().st_uid == os.getuid() and place != Path("/"):
            place.chmod(place.stat().st_mode | 0o755 & ~0o022)  # munge refuses a socket below a closed folder
    ports = [_free_port(), _free_port()]
    names = {"host": socket.gethostname().split(".")[0], "user": os.environ.get("USER") or _user(), "folder": folder}
    text = CONFIGURATION.format(**names, port=ports[0], other_port=ports[1])
    (folder / "slurm.conf").write_text(text)
    (folder / "gres.conf").write_text(
        "".join(f"NodeName={names['host']} Name=gpu Type=toy File=/dev/{device}\n" for device in ("null", "zero"))
    )
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": f"{folder / 'bin'}:{SYSTEM_PATH}"}
    _keep_configuration(folder, environment)
    pids = []
    try:
        _munge(folder, environment)
        pids.append(folder / "munged.pid")
        for daemon in ("slurmctld", "slurmd"):
            subprocess.run([daemon, "-c"], env=environment, check=True, capture_output=True, text=True)
            pids.append(folder / f"{daemon}.pid")
        _wait_until_idle(folder, environment)
        yield environment
    finally:
        for file in reversed(pids):
            _end(file)


def _user() -> str:
    return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _munge(folder: Path, environment: dict[str, str]) -> None:
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    names = {"socket": "munge.socket", "key-file": key.name, "pid-file": "munged.pid", "log-file": "munged.log"}
    options = [f"--{option}={folder / name}" for option, name in names.items()]
    command = ["munged", "--force", *options, f"--seed-file={folder / 'munge.seed'}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _keep_configuration(folder: Path, environment: dict[str, str]) -> None:
    """Snakemake's jobs drop SLURM_CONF before they call srun, so a program of that name puts it back."""
    shim = folder / "bin" / "srun"
    real = shutil.which("srun", path=SYSTEM_PATH)
    shim.write_text(f'#!/bin/sh\nSLURM_CONF={environment["SLURM_CONF"]} exec {real} "$@"\n')
    shim.chmod(0o755)


def _wait_until_idle(folder: Path, environment: dict[str, str]) -> None:
    for _ in range(120):
        done = subprocess.run(
            ["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True, check=False, timeout=10
        )
        if done.stdout.split() and set(done.stdout.split()) == {"idle"}:
            return
        time.sleep(0.25)
    raise RuntimeError(
        f"The node did not come up: {done.stdout}{done.stderr}\n{(folder / 'slurmctld.log').read_text()}"
    )


def _end(file: Path) -> None:
    """Stop a daemon by its pid file."""
    try:
        pid = int(file.read_text())
        os.kill(pid, signal.SIGTERM)
        for _ in range(40):
            time.sleep(0.25)
            os.kill(pid, 0)
        os.kill(pid, signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError):
        pass
