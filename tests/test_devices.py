"""GPU leases on fake device ids: no overlap, all or nothing, freed by the kernel."""

import fcntl
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from retcap.jobs import devices

HOLD = (
    "import json, os, sys, time\nfrom retcap.jobs import devices\n"
    "with devices.lease(int(sys.argv[1]), poll_s=0.02) as held:\n"
    "    begin = time.monotonic()\n    time.sleep(float(sys.argv[2]))\n"
    "    print(json.dumps([held, os.environ['CUDA_VISIBLE_DEVICES'], begin, time.monotonic()]), flush=True)"
)


@pytest.fixture
def two_fake_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    monkeypatch.setenv("RETCAP_LOCKS", str(tmp_path / "locks"))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)


def hold(count: int, seconds: float) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", HOLD, str(count), str(seconds)], stdout=subprocess.PIPE, text=True)


@pytest.mark.usefixtures("two_fake_gpus")
def test_ten_concurrent_jobs_on_two_devices_never_overlap():
    jobs = [hold(2 if number in (3, 7) else 1, 0.1) for number in range(10)]
    spans = [json.loads(job.communicate(timeout=60)[0]) for job in jobs]
    assert len(spans) == 10
    by_device: dict[str, list[tuple[float, float]]] = {"2": [], "5": []}
    for held, visible, begin, end in spans:
        assert visible == ",".join(held)
        for device in held:
            by_device[device].append((begin, end))
    assert sum(map(len, by_device.values())) == 12
    for times in by_device.values():
        times.sort()
        assert all(first[1] <= second[0] for first, second in itertools.pairwise(times))


@pytest.mark.usefixtures("two_fake_gpus")
def test_killing_a_holder_frees_its_devices():
    holder = hold(2, 600)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not _held():
        time.sleep(0.02)
    assert _held()
    holder.send_signal(signal.SIGKILL)
    holder.wait(timeout=10)
    started = time.monotonic()
    with devices.lease(2) as held:
        assert held == ["2", "5"]
    assert time.monotonic() - started < 5


def _held() -> bool:
    """Whether another process holds both fake devices."""
    try:
        names = os.listdir(devices.lock_folder())
    except FileNotFoundError:
        return False
    for name in names:
        with open(devices.lock_folder() / name) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return False
            except BlockingIOError:
                continue
    return len(names) == 2


@pytest.mark.usefixtures("two_fake_gpus")
def test_no_gpu_asked_means_none_visible_and_the_environment_comes_back():
    with devices.lease(0) as held:
        assert held == []
        assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "2,5"


@pytest.mark.usefixtures("two_fake_gpus")
def test_more_than_there_are_is_an_error_not_a_wait():
    message = r"needs 3 GPU\(s\), but 2 are visible here .*--resources gpu=2"
    with pytest.raises(devices.NotEnoughDevices, match=message), devices.lease(3):
        pass


@pytest.mark.usefixtures("two_fake_gpus")
def test_inside_slurm_nothing_is_leased(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    with devices.lease(1) as held:
        assert held == ["2", "5"]
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "2,5"
        assert not devices.lock_folder().exists()
