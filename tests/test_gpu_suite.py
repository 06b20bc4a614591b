"""The GPU suite without a GPU: every part at toy size on a bare machine, its records, and the true sizes of models."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

TESTS = Path(__file__).parent
sys.path.insert(0, str(TESTS / "benchmarks"))

from gpu import captioner_models, cases, command, estimates, measure, profiling, rendering, retrievers  # noqa: E402

from retcap import plugins  # noqa: E402

ABOUT = {
    "date": "2026-01-02",
    "commit": "c0ffee",
    "changed": False,
    "device": "D",
    "cores": 2,
    "python": "3",
    "cuda": None,
    "versions": {"torch": "1"},
}
LEFT_OUT = {  # on a machine without torchvision and faiss
    "batches of internvl3-2b": "torchvision",
    "batches of qwen2.5-vl-3b": "torchvision",
    "internvl3-2b": "torchvision",
    "qwen2.5-vl-3b": "torchvision",
    "the package's exact search": "faiss",
    "ClipCap training": "no prefix captioning",
}
IMAGE_TOKENS = {  # of one panorama of 2048 x 1024 px, counted with the published processors
    "blip2-flan-t5-xl": 32,
    "blip2-opt-2.7b": 32,
    "gemma-3-4b": 256,
    "instructblip-vicuna-7b": 32,
    "internvl3-2b": 9 * 256,
    "llava-1.5-7b": 576,
    "llava-1.6-mistral-7b": 1752,
    "qwen2.5-vl-3b": 1250,
}


def dry(tmp_path: Path) -> cases.Context:
    return cases.Context(torch.device("cpu"), True, tmp_path)


@pytest.mark.slow
def test_every_part_runs_on_a_bare_machine(tmp_path):
    """With torch, transformers, numpy, pyarrow, safetensors and a few small wheels, through the code of a GPU run."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
    ran = subprocess.run(
        [sys.executable, str(TESTS / "bare_machine.py"), "all", "--dry", "--out", str(tmp_path / "out")],
        capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=1500,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    records = cases.read(tmp_path / "out")
    left_out = {record["case"]: record["reason"] for record in records if record["status"] == "left out"}
    assert left_out.keys() == LEFT_OUT.keys(), left_out
    assert all(LEFT_OUT[name] in reason for name, reason in left_out.items()), left_out
    assert {record["part"] for record in records} == command.PARTS.keys()
    assert {record["status"] for record in records} == {"ok", "left out"}
    assert len(records) > 50
    assert all(record["dry"] and record["values"] for record in records if record["status"] == "ok")
    page = (tmp_path / "out" / rendering.NAME).read_text("utf-8")
    assert rendering.NOTHING in page  # a dry run measures nothing
    assert all(record["case"] in page for record in records)
    assert not list(tmp_path.glob("results"))


@pytest.mark.parametrize("name", ["internvl3-2b", "qwen2.5-vl-3b"])
def test_captioners_that_a_bare_machine_leaves_out_run_here(name, tmp_path):
    from gpu import captioners, captioning

    for part in (captioners, captioning):
        (case,) = [case for case in part.cases() if name in case.name]
        assert case.run(dry(tmp_path))


def test_the_committed_page_says_what_is_measured():
    folder = TESTS / "benchmarks/gpu"
    assert (folder / rendering.NAME).read_text("utf-8") == rendering.text(folder), (
        "run python tests/benchmarks/gpu render --out tests/benchmarks/gpu"
    )
    assert not any(record["dry"] for record in cases.read(folder))


def test_true_sizes_are_the_published_ones(tmp_path):
    """Parameters on the meta device against the cards; image tokens of a panorama against the published processors.

    And the cards ask for a quarter more than the estimate at the default batch: an estimate is no measurement.
    """
    context = replace(dry(tmp_path), dry=False)
    assert sorted(captioner_models.SIZES) == plugins.names("captioners") == sorted(IMAGE_TOKENS)
    for name, tokens in IMAGE_TOKENS.items():
        made, inputs = estimates.on_meta(context, name)
        row, card = estimates.needs(made, inputs), made.plugin.CARD
        assert row["params, billions"] == pytest.approx(card.params_b, abs=0.006), name
        assert int((inputs["input_ids"] == image_token(made.model.config)).sum()) == tokens < row["prompt tokens"], name
        assert row["weights GiB"] < row["batch 1: GiB"] < row["batch 8: GiB"] < row["batch 32: GiB"], name
        assert 1.25 * row["batch 8: GiB"] <= card.gpu_mem_gb, (name, row)
        assert row.keys() == set(estimates.COLUMNS)
    assert retrievers.parameters() == pytest.approx(143.6e6, rel=1e-3)


def image_token(config) -> int:
    """Id of the placeholder of an image's tokens; families name it differently."""
    return next(value for name in ("image_token_id", "image_token_index") if (value := getattr(config, name, None)))


def test_cache_and_activation_sizes_of_llava(tmp_path):
    """2 x 32 layers x 32 heads x 128 x 2 bytes per token; 576 + 1 image patches against prompt tokens of width 4096."""
    made = captioner_models.captioner(replace(dry(tmp_path), dry=False), "llava-1.5-7b", device="meta")
    assert estimates.kv_bytes(made.model.config) == 2 * 32 * 32 * 128 * 2
    inputs = {"input_ids": torch.zeros(1, 600), "pixel_values": torch.zeros(1, 3, 336, 336)}
    assert estimates.activation_bytes(made.model.config, inputs) == 2 * 600 * (4 * 4096 + 3 * 11_008)


def run(tmp_path, *some: cases.Case, about=ABOUT, seconds: float = 60) -> list[dict]:
    cases.run("search", list(some), dry(tmp_path), tmp_path, about, seconds)
    return cases.read(tmp_path)


def boom(_):
    raise RuntimeError("no such\nkernel")


def test_a_failing_case_is_recorded_and_harms_no_other(tmp_path):
    bad, good = cases.Case("bad", boom), cases.Case("good", lambda _: {"pairs/s": 1234.5})
    absent = cases.Case("absent", boom, needs=("no_such_package",))
    assert [(r["case"], r["status"], r.get("reason")) for r in run(tmp_path, bad, good, absent)] == [
        ("bad", "failed", "RuntimeError: no such kernel"),
        ("good", "ok", None),
        ("absent", "left out", "no_such_package is not installed here"),
    ]
    page = rendering.text(tmp_path)
    assert "| good | 1,234 |" in page or "| good | 1,235 |" in page
    assert "- bad: failed: RuntimeError: no such kernel" in page


def test_a_run_goes_on_where_a_killed_one_stopped(tmp_path):
    calls = []
    first = cases.Case("first", lambda _: calls.append(1) or {"s": 1})
    run(tmp_path, first)
    with open(tmp_path / cases.FILE, "ab") as file:
        file.write(b'{"part": "search", "case": "sec')  # what a kill leaves of a line
    second = cases.Case("second", lambda _: {"s": 2})
    assert [record["case"] for record in run(tmp_path, first, second)] == ["first", "second"]
    assert len(calls) == 1
    run(tmp_path, first, about=ABOUT | {"commit": "another"})
    assert len(calls) == 2
    run(tmp_path, first, about=ABOUT | {"changed": True})  # the commit says nothing of the code then
    assert len(calls) == 3


def test_a_case_that_outlasts_the_budget_is_stopped(tmp_path):
    def endless(_):
        while True:
            try:
                sum(range(1000))
            except Exception:  # as the package does for single items
                raise AssertionError("it was taken for a fault of an item") from None

    (record,) = run(tmp_path, cases.Case("endless", endless), seconds=0.3)
    assert (record["status"], record["reason"]) == ("left out", "the time given to the part ended during it")


def test_outputs_that_are_not_finite_are_no_measurement():
    device = torch.device("cpu")
    with pytest.raises(FloatingPointError, match="holds NaN or infinity"):
        measure.timed(lambda: {"a": [torch.ones(2), torch.tensor([1.0, float("nan")])]}, device, repeats=1)
    assert measure.timed(lambda: torch.ones(2), device, warmup=0, repeats=1)[1] == 0


def test_times_are_medians_after_the_warm_up(monkeypatch):
    clock = iter([0.0, 0.0, 1.0, 0.0, 3.0, 0.0, 2.0, 0.0])  # begun, then pairs of start and end, and the limit's look
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(clock))
    calls = []
    assert measure.timed(lambda: calls.append(1), torch.device("cpu"), warmup=2, repeats=3)[0] == 2.0
    assert len(calls) == 5


def test_an_unknown_part_is_refused(capsys):
    with pytest.raises(SystemExit):
        command.main(["traning"])
    assert "no part is named traning. Parts: correctness, training" in capsys.readouterr().err


def test_without_a_gpu_the_command_says_what_runs(capsys, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert command.main(["search", "--out", str(tmp_path)]) == 1
    assert "torch sees no GPU here. `--dry` runs everything" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_kinds_of_kernels():
    names = {"ampere_bf16_s16816gemm": "matrix products", "pytorch_flash::flash_bwd_kernel": "attention",
             "multi_tensor_apply_kernel<FusedAdamMathFunctor>": "optimiser", "Memcpy HtoD": "copies"}  # fmt: skip
    assert {name: profiling.kind(name) for name in names} == names


def test_records_are_json_lines(tmp_path):
    run(tmp_path, cases.Case("one", lambda _: {"s": 1}))
    (line,) = (tmp_path / cases.FILE).read_bytes().split(b"\n")[:-1]
    assert json.loads(line)["about"] == ABOUT
