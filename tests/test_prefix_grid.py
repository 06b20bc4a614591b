"""Cells, runs and their jobs: what a further value makes, and what stays as it was."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from retcap.config import resolve
from retcap.plan import Plan
from retcap.prefix import grid
from retcap.prefix.grid import JOIN
from retcap.prefix.plan import PrefixPlan

WORKFLOW = Path(__file__).parents[1] / "workflow"


def planned(monkeypatch: pytest.MonkeyPatch, folder: Path, **own: Any) -> PrefixPlan:
    monkeypatch.chdir(folder)
    return PrefixPlan(Plan(resolve({"studies": ["prefix"], "prefix": own}), WORKFLOW))


def make(plan: PrefixPlan) -> None:
    for kind in ("models", "captions", "scores"):
        for path in plan.files(kind):
            Path(path).mkdir(parents=True, exist_ok=True)


def test_the_grid_is_the_product_of_its_lists(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    own: dict[str, Any] = {"prefix_lengths": [1, 5], "mappers": ["mlp", "transformer"], "tunings": ["lora", "frozen"]}
    plan = planned(monkeypatch, tmp_path, **own, seeds=[3, 4, 5], decodings=["greedy", "nucleus"])
    assert len({cell.id for cell in plan.cells}) == 2 * 2 * 2 * 3
    assert len({run.id for run in plan.decoded}) == 2 * len(plan.cells)
    table = grid.table(plan.listed()).split("\n")
    assert table[0] == "run,cell,mapper,tuning,prefix_length,decoding,seed"
    first = plan.decoded[0]
    assert table[1] == f"{first.id},{first.cell.id},mlp,lora,1,greedy,3"
    assert len(table) == len(plan.decoded) + 2  # the header, and nothing behind the last line break


@pytest.mark.parametrize(
    "further",
    [
        {"prefix_lengths": [1, 5, 10, 20]},
        {"seeds": [0, 1, 2, 3]},
        {"mappers": ["mlp_matched", "mlp"]},
        {"tunings": ["frozen", "tuned"]},
        {"decodings": ["contrastive", "greedy", "beam"]},
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [1, 4, 24])
def test_a_further_value_makes_its_own_cells_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, further: dict[str, Any], size: int
):
    before = planned(monkeypatch, tmp_path, cells_per_job=size)
    make(before)
    after = planned(monkeypatch, tmp_path, cells_per_job=size, **further)
    assert set(before.files("models")) <= set(after.files("models"))
    assert set(before.files("scores")) <= set(after.files("scores"))
    new = [one for job in after.training_jobs if job not in before.training_jobs for one in job.split(JOIN)]
    assert sorted(new) == sorted({cell.id for cell in after.cells} - {cell.id for cell in before.cells})
    new = [one for job in after.decoding_jobs if job not in before.decoding_jobs for one in job.split(JOIN)]
    assert sorted(new) == sorted({run.id for run in after.decoded} - {run.id for run in before.decoded})


def test_a_value_that_is_left_out_makes_nothing_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    before = planned(monkeypatch, tmp_path)
    make(before)
    after = planned(monkeypatch, tmp_path, prefix_lengths=[20])
    assert after.training_jobs == before.training_jobs
    assert after.decoding_jobs == before.decoding_jobs
    assert {row["prefix_length"] for row in after.listed()} == {20}


@pytest.mark.parametrize("size", [1, 2, 4, 24])
def test_jobs_stay_as_planned_while_they_are_done_in_any_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: int
):
    planned_first = planned(monkeypatch, tmp_path, cells_per_job=size)
    training, decoding = sorted(planned_first.training_jobs), sorted(planned_first.decoding_jobs)
    for number, job in enumerate([*training[::2], *training[1::2]]):
        Path(planned_first.folder, "models", job).mkdir(parents=True)
        if number % 2:
            own = next(
                one for one in decoding if planned_first.models_of(one) == [f"{planned_first.folder}/models/{job}"]
            )
            Path(planned_first.folder, "captions", own).mkdir(parents=True)
        now = planned(monkeypatch, tmp_path, cells_per_job=size)
        assert sorted(now.training_jobs) == training
        assert sorted(now.decoding_jobs) == decoding


def test_no_decoding_waits_for_more_than_one_training_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    plan = planned(monkeypatch, tmp_path, cells_per_job=2)
    assert [len(plan.models_of(job)) for job in plan.decoding_jobs] == [1] * len(plan.decoding_jobs)
    assert sum(len(job.split(JOIN)) for job in plan.decoding_jobs) == len(plan.decoded)


@pytest.mark.parametrize(
    ("own", "changes"),
    [
        ({"training": {"learning_rate": 1e-3}}, "cells"),
        ({"vector_length": 1.0}, "cells"),
        ({"matched_to": 5}, "nothing"),  # of a mapper that nobody asks for
        ({"transformer": {"layers": 2}}, "nothing"),
        ({"lora": {"rank": 2}}, "nothing"),
        ({"decoding": {"beams": 3}}, "beam"),
        ({"decoding": {"top_p": 0.5}}, "nothing"),
        ({"decoding": {"max_tokens": 9}}, "runs"),
        ({"decoding": {"batch_size": 9}}, "nothing"),
    ],
    ids=str,
)
def test_an_id_says_what_decides_the_cell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, own: dict[str, Any], changes: str
):
    one, other = planned(monkeypatch, tmp_path), planned(monkeypatch, tmp_path, **own)
    same_cells = [a.id == b.id for a, b in zip(one.cells, other.cells, strict=True)]
    same_runs = {a.decoding: a.id == b.id for a, b in zip(one.decoded, other.decoded, strict=True)}
    assert all(same_cells) == (changes != "cells")
    assert any(same_cells) == (changes != "cells")
    expected = {"cells": (), "runs": (), "beam": ("greedy",), "nothing": ("greedy", "beam")}[changes]
    assert {name for name, same in same_runs.items() if same} == set(expected)


def test_the_full_experiment_has_a_plan_without_its_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    given = yaml.safe_load((WORKFLOW.parent / "config/clipcap.yaml").read_text())
    given["backbones"]["tiny"] = {}  # as config.yaml, below it, has
    monkeypatch.chdir(tmp_path)
    plan = PrefixPlan(Plan(resolve(given), WORKFLOW))
    assert (len(plan.cells), len(plan.decoded)) == (3 * 2 * 2 * 3, 4 * 36)
    assert len(plan.training_jobs) == 36
    assert plan.pictures() == plan.language_model() == plan.model() == []
    assert plan.backbone["checkpoint"] == "openai/clip-vit-base-patch32"


def test_a_job_says_what_it_makes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    plan = planned(monkeypatch, tmp_path)
    assert plan.said(plan.training_jobs[0]) == "mlp tuned k=1 seed 0, mlp tuned k=1 seed 1 and 7 more"
    assert plan.said(plan.cells[-1].id) == "mlp tuned k=20 seed 2"
    assert plan.said("00000000") == ""
