"""Energy of a job's GPUs: the driver's counter, by a stand-in for NVML, and nothing invented where it is silent."""

import sys
from types import SimpleNamespace

import pytest

from retcap.captioning import outcome
from retcap.captioning.cost import cost
from retcap.jobs import energy
from test_cost import MODEL


class Silent(Exception):
    """What NVML raises where a GPU has no such counter."""


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> dict[str, int | None]:
    """Millijoules by index of the GPU."""
    taken: dict[str, int | None] = {"0": 5_000, "1": 70_000, "2": None}
    names = {"GPU-aa": "0"}

    def read(handle: str) -> int:
        if (value := taken[handle]) is None:
            raise Silent
        return value

    library = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetHandleByIndex=str,
        nvmlDeviceGetHandleByUUID=names.__getitem__,
        nvmlDeviceGetTotalEnergyConsumption=read,
    )
    monkeypatch.setitem(sys.modules, "pynvml", library)
    return taken


def test_the_counters_of_all_gpus_of_a_job_are_added_up(board):
    before = energy.counters(["0", "1"])
    assert before == [5.0, 70.0]
    board["0"], board["1"] = 6_500, 100_000
    assert energy.since(before, ["0", "1"]) == 31.5
    assert energy.since(energy.counters(["GPU-aa"]), ["GPU-aa"]) == 0.0


@pytest.mark.parametrize("devices", [[], ["2"], ["0", "2"], ["MIG-aa"], ["GPU-unknown"]])
def test_a_silent_driver_gives_nothing_instead_of_zero(board, devices):
    assert energy.counters(devices) is None
    assert energy.since(None, devices) is None


def test_a_counter_that_began_anew_gives_nothing(board):
    before = energy.counters(["0"])
    board["0"] = 10
    assert energy.since(before, ["0"]) is None


def test_without_the_package_or_a_driver_there_is_no_value(board, monkeypatch):
    def no_driver() -> None:
        raise Silent

    sys.modules["pynvml"].nvmlInit = no_driver  # pyright: ignore[reportAttributeAccessIssue]
    assert energy.counters(["0"]) is None
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert energy.counters(["0"]) is None


def test_energy_is_shared_among_the_captions_that_the_job_made():
    assert cost(MODEL)["joules_per_caption"] is None
    assert cost(MODEL | {"energy_j": 50.0})["joules_per_caption"] == 5.0  # ten pairs were asked
    assert cost(MODEL | {"energy_j": 50.0, "kept_from_before": 6})["joules_per_caption"] == 12.5
    assert cost(MODEL | {"energy_j": 50.0, "kept_from_before": 10})["joules_per_caption"] is None


@pytest.mark.parametrize(("parts", "whole"), [([1.5, 2.0], 3.5), ([1.5, None], None), ([None, None], None)])
def test_shards_add_up_unless_one_is_unknown(parts, whole):
    import pandas as pd

    same = dict.fromkeys(outcome.IDENTITY) | {"kept_from_before": 0, "at_token_cap": 0, "model_name": "a"}
    lost = {"failed": 0, "of": 1, "first": None, "tried_again": False}
    captions = pd.DataFrame({"seconds": [1.0], "status": ["ok"], "tokens": [3]})
    found = outcome.merged([same | {"energy_j": one, "failed_pairs": lost} for one in parts], captions)
    assert found["energy_j"] == whole
