"""What captions cost: rates from what a job recorded, nothing invented where nothing was; quality against cost."""

import pytest

from retcap.captioning.cost import cost
from retcap.captioning.outcome import PEAKS
from retcap.jobs import provenance
from retcap.report.captioning import cost_plot
from retcap.report.scores import System

MODEL = {
    "kind": "model",
    "status": "completed",
    "seconds": 20.0,
    "mean_tokens": 12.0,
    "counts": {"ok": 7, "empty": 1, "failed": 2, "cleaned_to_empty": 0, "excluded": 0},
    "peak_memory_mb": 900.0,
    "gpu_peak_memory_mb": None,
}


def test_rates_count_captions_that_came_and_tokens_of_all():
    found = cost(MODEL)
    assert found is not None
    assert (found["captions"], found["captions_per_second"]) == (8, 0.4)  # two pairs failed: they are no captions
    assert (found["tokens"], found["tokens_per_second"]) == (120, 6.0)  # the mean is over ten pairs
    assert (found["peak_memory_mb"], found["gpu_peak_memory_mb"]) == (900.0, None)


@pytest.mark.parametrize("change", [{"kind": "baseline"}, {"kind": "elsewhere"}, {"status": "failed"}])
def test_what_was_not_captioned_here_has_no_cost(change):
    assert cost(MODEL | change) is None


def test_what_nobody_recorded_is_unknown():
    found = cost(MODEL | {"seconds": 0.0, "mean_tokens": None, "peak_memory_mb": None})
    assert found is not None
    assert {found[key] for key in ("captions_per_second", "tokens", "tokens_per_second", "peak_memory_mb")} == {None}


def test_the_peak_of_this_process_is_a_number():
    found = provenance.peak_memory()
    assert tuple(found) == PEAKS
    assert 1 < found["peak_memory_mb"] < 1_000_000


def test_quality_is_drawn_against_seconds_per_caption_for_two_models_or_more():
    def system(name: str, value: float, rate: float | None, baseline: bool = False) -> System:
        record = {"status": "completed", "metrics": {"cider": value}, "cost": rate and {"captions_per_second": rate}}
        return System(name, record, baseline)

    baseline = system("blind", 0.1, None, baseline=True)
    assert cost_plot([system("a", 0.5, 2.0), system("unknown", 0.4, None), baseline]) is None
    drawn = str(cost_plot([system("a", 0.5, 2.0), system("b<", 0.6, 0.1), baseline]))
    assert "CIDEr against seconds per caption: b&lt; 0.600 at 10" in drawn
    assert "a 0.500 at 0.500 s" in drawn
    assert "blind" not in drawn
