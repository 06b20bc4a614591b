"""Training data, sampling order, pace, and whole runs: curves, selection, resuming after SIGKILL to the same bits."""

import itertools
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerControl, TrainerState, TrainingArguments

import retcap
from ret_world import job, source, tiny_model, write_world
from retcap.contrastive import checkpoints, loss, sampler, torchrun, trainer, training
from retcap.contrastive.selection import Pace, should_stop
from retcap.contrastive.settings import loader_workers, ranks_of
from retcap.features import collator, tokens
from retcap.jobs.devices import NotEnoughDevices
from retcap.jobs.scratch import locked
from retcap.retriever import data
from retcap.retriever.model import RetrieverModel
from retcap.retriever.validation import Validation


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def initial(tmp_path_factory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"))


# --- pace and selection ------------------------------------------------------------


def test_stopping_rule():
    assert not should_stop([], 3, 0.001)
    assert not should_stop([0.5, 0.4, 0.4], 3, 0.001)
    assert should_stop([0.5, 0.4, 0.4, 0.4], 3, 0.001)
    assert should_stop([0.5, 0.5005, 0.5009, 0.5012], 3, 0.001)  # small gains move the best but are no progress
    assert not should_stop([0.5, 0.4, 0.4, 0.502], 3, 0.001)
    assert not should_stop([0.5, 0.4, 0.4, 0.4], None, 0.001)


def test_pace_never_saves_before_a_pending_evaluation():
    steps = {}
    for step in range(1, 13):
        control = Pace(evaluate_every=5, save_every=2, last_step=12).on_step_end(
            TrainingArguments(), TrainerState(global_step=step), TrainerControl()
        )
        steps[step] = "".join(
            letter
            for letter, flag in zip(
                "esx", (control.should_evaluate, control.should_save, control.should_training_stop), strict=True
            )
            if flag
        )
    assert steps == {1: "", 2: "s", 3: "", 4: "s", 5: "es", 6: "s", 7: "", 8: "s", 9: "", 10: "es", 11: "", 12: "esx"}


def test_a_checkpoint_is_due_when_the_last_one_is_old(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("retcap.contrastive.selection.time.monotonic", lambda: clock[0])
    pace, found = Pace(None, save_every=4, last_step=99, save_minutes=1), {}
    for step, now in enumerate([100, 159, 160, 161, 219, 220, 220.9, 281], start=1):
        clock[0] = now
        control = pace.on_step_end(TrainingArguments(), TrainerState(global_step=step), TrainerControl())
        found[step] = (control.should_save, control.should_log)
        if control.should_save:
            pace.on_save(TrainingArguments(), TrainerState(), control)
    assert [step for step, (save, _) in found.items() if save] == [3, 4, 8]  # 161 is a step to save at anyway
    assert [step for step, (_, logs) in found.items() if logs] == [4, 8]


def test_all_ranks_save_when_the_first_one_says_so(monkeypatch):
    said = []
    monkeypatch.setattr("retcap.contrastive.gather.ranks", lambda: 2)
    monkeypatch.setattr("retcap.contrastive.gather.from_first", lambda due: said.append(due) or True)
    pace, saved = Pace(None, save_every=1000, last_step=1000, save_minutes=60), []
    for step in range(1, 31):
        control = pace.on_step_end(TrainingArguments(), TrainerState(global_step=step), TrainerControl())
        saved += [step] if control.should_save else []
    assert saved == [10, 20, 30]  # they are asked together, so that none waits for a checkpoint of the others
    assert said == [False] * 3


def test_data_loaders_get_no_more_threads_than_are_granted():
    assert [loader_workers(12, threads, 1) for threads in (1, 2, 8, 16)] == [1, 1, 7, 12]
    assert [loader_workers(None, threads, 2) for threads in (1, 16, 32)] == [1, 7, 15]
    assert loader_workers(0, 16, 1) == 0


def test_fewer_gpus_than_configured_are_an_error():
    assert (ranks_of(1, []), ranks_of(2, ["0", "1"]), ranks_of(1, ["0", "1"])) == (1, 2, 1)
    with pytest.raises(
        NotEnoughDevices, match=r"gpus = 4, but this job was granted 1: the batch would be 1/4 of .*gpu=4"
    ):
        ranks_of(4, ["0"])


# --- whole runs ------------------------------------------------------------


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first), f"{one} and {other} differ"


def history(curves: dict) -> list[dict]:
    """Log entries without clock readings."""
    clocks = ("seconds", "pairs_per_s")
    return [
        {key: value for key, value in entry.items() if key not in clocks} for entry in curves["train"] + curves["eval"]
    ]


LAST = {"load_best": False, "patience": None}  # the last weights depend on every step, the best ones only on some


@pytest.fixture(scope="module")
def uninterrupted(world, initial, tmp_path_factory):
    one = job(world, initial, tmp_path_factory.mktemp("run") / "scratch", **LAST)
    return one, training.launch(one)


def test_run_learns_and_reports(uninterrupted, initial):
    one, curves = uninterrupted
    assert curves["steps"] == 15  # ceil(37 / 8) = 5 per epoch: the last partial batch counts
    assert curves["stopped"] == "epochs"
    assert [entry["step"] for entry in curves["eval"]] == [0, 5, 10, 15]
    metrics = {f"eval_{name}_{kind}@{k}" for name in ("world", "macro") for kind in ("R", "PR") for k in (1, 5, 10)}
    assert all(metrics <= set(entry) for entry in curves["eval"])
    assert all(entry["eval_world_R@5"] == entry["eval_macro_R@5"] for entry in curves["eval"])
    assert curves["train"][-1]["loss"] < curves["train"][0]["loss"]
    assert max(entry["eval_world_R@1"] for entry in curves["eval"]) > 3 / 11  # chance is 1 / 11
    assert set(curves["best"]) == {"macro", "world"}
    best = curves["best"]["world"]
    assert best["value"] == max(entry["eval_world_R@10"] for entry in curves["eval"][1:])  # 0 takes no part
    assert json.loads(json.dumps(curves)) == curves == json.loads((Path(one.scratch) / "curves.json").read_text())


def test_output_loads_and_differs_from_the_start(uninterrupted, initial):
    one, _ = uninterrupted
    assert {path.name for path in Path(one.output).iterdir()} == {path.name for path in initial.iterdir()}
    before, after = RetrieverModel.from_pretrained(initial), RetrieverModel.from_pretrained(one.output)
    changed = [name for name, value in after.state_dict().items() if not torch.equal(value, before.state_dict()[name])]
    assert "logit_scale" in changed
    assert any("text_model" in name for name in changed)
    assert any("vision_model" in name for name in changed)


def killed_at(one: training.TrainingJob, owner: type, method: str, call: int) -> None:
    """Run the job in a child process that kills itself with SIGKILL when `method` is called for the `call`-th time."""
    child = os.fork()
    if child == 0:
        original, calls = getattr(owner, method), [0]

        def counted(*arguments, **options):
            calls[0] += 1
            if calls[0] == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **options)

        setattr(owner, method, counted)
        try:
            training.launch(one)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status), "the run ended before it was killed"
    assert os.WTERMSIG(status) == signal.SIGKILL


@pytest.mark.parametrize(
    ("method", "call", "resumes_at"),
    [
        ("training_step", 8, 6),  # in the middle of epoch 2
        ("_save_optimizer_and_scheduler", 4, 5),  # in the middle of writing checkpoint-6
        ("evaluate", 2, 8),  # after the last step of epoch 2, whose evaluation must not be missed
    ],
)
def test_killed_run_resumes_to_the_same_bits(uninterrupted, world, initial, tmp_path, caplog, method, call, resumes_at):
    whole, expected = uninterrupted
    one = job(world, initial, tmp_path / "scratch", **LAST)
    killed_at(one, trainer.RetrieverTrainer, method, call)
    assert not Path(one.output).exists()
    with caplog.at_level(logging.INFO):
        curves = training.launch(one)
    steps = [int(record.args[0]) for record in caplog.records if str(record.msg).startswith("step %d of")]
    assert steps[0] > resumes_at
    assert steps[0] <= resumes_at + 2  # it did resume, and from there
    assert_same_weights(Path(one.output), Path(whole.output))
    assert history(curves) == history(expected)


def test_the_clock_decides_when_to_save_and_nothing_else(uninterrupted, world, initial, tmp_path, caplog):
    """With save_steps 50 a kill cost everything before step 50; the clock saves at every step here."""
    whole, expected = uninterrupted
    options = LAST | {"save_minutes": 1e-9}
    same = training.launch(job(world, initial, tmp_path / "same", **options))
    assert history(same) == history(expected)
    one = job(world, initial, tmp_path / "scratch", **options, save_steps=50)
    killed_at(one, trainer.RetrieverTrainer, "training_step", 9)
    with caplog.at_level(logging.INFO):
        curves = training.launch(one)
    assert any(
        "going on from" in record.getMessage() and "checkpoint-8" in record.getMessage() for record in caplog.records
    )
    assert_same_weights(Path(one.output), Path(whole.output))
    assert curves["seconds"] > 0


@pytest.mark.parametrize("gathered", [True, False])
def test_a_batch_of_one_pair_is_refused(world, initial, tmp_path, gathered):
    with pytest.raises(ValueError, match="One pair per batch has no negatives"):
        training.launch(job(world, initial, tmp_path / "scratch", per_device_batch_size=1, gather_negatives=gathered))


def test_finished_run_is_not_trained_again(uninterrupted, monkeypatch):
    one, expected = uninterrupted
    before = weights(Path(one.output))
    monkeypatch.setattr(trainer.RetrieverTrainer, "training_step", None)
    assert training.launch(one) == expected
    after = weights(Path(one.output))
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.slow
def test_killed_process_resumes_to_the_same_bits(uninterrupted, world, initial, tmp_path):
    """The same with a real process, killed from outside at an arbitrary moment, and with data-loader workers."""
    whole, _ = uninterrupted
    one = job(world, initial, tmp_path / "scratch", **LAST, workers=1)
    (tmp_path / "job.json").write_bytes(msgspec.json.encode(one))
    code = (
        "import sys, torch; torch.set_num_threads(1)\nfrom retcap.contrastive.training import main; main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "job.json")]
    environment = {**os.environ, "PYTHONPATH": str(Path(retcap.__file__).parents[1])}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "scratch" / "checkpoint-6" / "trainer_state.json").exists():
        assert process.poll() is None, "the run ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    training.launch(one)
    assert_same_weights(Path(one.output), Path(whole.output))


def test_best_weights_are_the_output(world, initial, tmp_path):
    """A learning rate that ruins the model after some epochs: early stopping ends the run, the best weights count."""
    options = {"learning_rate": 0.3, "scheduler": "constant", "patience": 1, "eval_k": [1], "select_metric": "R@1"}
    one = job(
        world, initial, tmp_path / "scratch", best_output=str(tmp_path / "best"), epochs=9, save_steps=100, **options
    )
    curves = training.launch(one)
    values = [entry["eval_macro_R@1"] for entry in curves["eval"][1:]]  # the first is before any training
    assert curves["stopped"] == "early"
    assert len(values) < 9
    assert values[-1] <= max(values)
    assert curves["best"]["macro"]["value"] == max(values)
    assert_same_weights(Path(one.output), Path(one.scratch) / "best" / "macro")
    assert not (Path(one.output) / "score.json").exists()


def test_best_weights_of_each_set_are_kept_once(world, initial, tmp_path, monkeypatch):
    """Set one is best at the second evaluation, set two and the mean at the first: two models on disk, not three."""
    values = iter([(0.99, 0.99), (0.2, 0.9), (0.4, 0.1), (0.3, 0.2)])  # the first is before any training: no choice
    at_evaluation = []

    def score(self, model):
        one, two = next(values)
        at_evaluation.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return {"one_R@10": one, "two_R@10": two, "macro_R@10": (one + two) / 2}

    monkeypatch.setattr(Validation, "score", score)
    both = [source(world, name) for name in ("one", "two")]
    options = {"validation": both, "eval_steps": 2, "max_steps": 6, "best_output": str(tmp_path / "best")}
    run = job(world, initial, tmp_path / "scratch", **options)
    curves = training.launch(run)
    assert {name: (best["value"], best["step"]) for name, best in curves["best"].items()} == {
        "macro": (0.55, 2),
        "one": (0.4, 4),
        "two": (0.9, 2),
    }
    assert sorted(path.name for path in (tmp_path / "best").iterdir()) == ["macro", "one", "two"]
    for name, evaluation in (("macro", 1), ("one", 2), ("two", 1)):
        kept = weights(tmp_path / "best" / name)
        assert kept
        assert all(torch.equal(kept[key], at_evaluation[evaluation][key]) for key in kept)
        assert json.loads((tmp_path / "best" / name / "score.json").read_text()) == curves["best"][name]
        RetrieverModel.from_pretrained(tmp_path / "best" / name)
    files = [Path(run.output), tmp_path / "best" / "one", tmp_path / "best" / "two"]
    nodes = [(folder / "model.safetensors").stat().st_ino for folder in files]
    assert nodes[0] == nodes[2] != nodes[1]  # the output is the best mean's model


def test_a_set_without_text_answers_has_no_best_by_pr(world, initial, tmp_path, monkeypatch):
    monkeypatch.setattr(Validation, "score", lambda *_: {"macro_PR@5": 0.5, "two_PR@5": 0.5})
    both = [source(world, name) for name in ("one", "two")]
    options = {"validation": both, "max_steps": 2, "select_metric": "PR@5", "best_output": str(tmp_path / "best")}
    curves = training.launch(job(world, initial, tmp_path / "scratch", **options))
    assert set(curves["best"]) == {"macro", "two"}
    assert sorted(path.name for path in (tmp_path / "best").iterdir()) == ["macro", "two"]


def test_max_steps_leaves_the_schedule_alone(world, initial, tmp_path):
    """Stopped at step 5, the learning rates are those of the first 5 of 15 steps, not of a schedule of 5."""
    options = {"log_steps": 1, "validation": [], "warmup_ratio": 0.2}
    curves = training.launch(job(world, initial, tmp_path / "scratch", max_steps=5, **options))
    rates = [entry["learning_rate"] for entry in curves["train"]]
    assert curves["stopped"] == "max_steps"
    assert curves["eval"] == []
    warm_up, decay = [step / 3 for step in (0, 1, 2, 3)], [(1 + np.cos(np.pi / 12)) / 2]
    assert rates == pytest.approx([3e-3 * share for share in warm_up + decay])


def test_cached_gradients_train_like_plain_ones(world, tmp_path, monkeypatch):
    """Without dropout, chunks of 3 pairs give the same weights as the whole batch of 8, also with accumulation."""
    real = training.trainer_arguments

    def linear(*arguments, **options):
        """Adam's steps are as long as the learning rate whatever the gradient, so rounding alone would be a step where
        a gradient is zero; with so large an epsilon a step has the size of its gradient.
        """
        found = real(*arguments, **options)
        found.adam_epsilon = 1.0
        return found

    monkeypatch.setattr(training, "trainer_arguments", linear)
    initial = tiny_model(tmp_path, dropout_p=0.0, attention_dropout=0.0)
    options = {
        "validation": [],
        "max_steps": 3,
        "gradient_accumulation": 2,
        "learning_rate": 0.1,
        "positive_sets": True,
    }
    plain = job(world, initial, tmp_path / "plain", **options)
    cached = job(world, initial, tmp_path / "cached", chunk_size=3, **options)
    for one in (plain, cached):
        training.launch(one)
    first, second, start = weights(Path(plain.output)), weights(Path(cached.output)), weights(initial)
    moved = {name: (first[name] - start[name]).abs().max().item() for name in first}
    assert max(moved.values()) > 1e-3
    for name in first:
        # float32 sums of some thousand terms, and weights whose own rounding is 6e-8 of them
        allowed = 1e-3 * moved[name] + 1e-5 * max(moved.values()) + 1e-6 * start[name].abs().max().item()
        assert (first[name] - second[name]).abs().max().item() <= allowed, name


def test_accumulated_gradients_are_the_mean_over_the_batches(world, tmp_path, monkeypatch):
    """Two batches of 4 per step: negatives stay within a batch, and no batch counts more than the other."""
    initial = tiny_model(tmp_path, dropout_p=0.0, attention_dropout=0.0)
    found = {}

    def collect(self, args, state, control, model, **_):
        found.update({name: p.grad.clone() for name, p in model.retriever.named_parameters() if p.grad is not None})

    monkeypatch.setattr(Pace, "on_pre_optimizer_step", collect)
    options = {"per_device_batch_size": 4, "gradient_accumulation": 2, "max_gradient_norm": 1e9, "max_steps": 1}
    one = job(world, initial, tmp_path / "scratch", validation=[], log_steps=1, **options)
    curves = training.launch(one)

    model = RetrieverModel.from_pretrained(initial).train()
    sets, _ = data.prepare(one.train, tmp_path / "again", model.tokenizer)
    rows, collate = data.TrainingRows(sets, one.seed), collator.Collator(tokens.padding_id(model.tokenizer))
    batches = sampler.BatchesOfRank([len(sets[0])], [1.0], 4, seed=one.seed)
    pair, values = trainer.PairModel(model), []
    for keys in itertools.islice(batches, 2):
        batch = collate([rows[key] for key in keys])
        values.append(loss.contrastive_loss(*pair(batch["query"], batch["passage"]), batch["codes"]) / 2)
    sum(values).backward()
    assert curves["train"][0]["loss"] == pytest.approx(float(sum(values)), rel=1e-5)
    assert found.keys() == {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, atol=1e-5, rtol=1e-4, msg=name)


def test_frozen_towers_stay(world, tmp_path):
    initial = tiny_model(tmp_path, text_frozen=True, vision_frozen=True)
    one = job(world, initial, tmp_path / "scratch", validation=[], max_steps=2, learn_temperature=False)
    training.launch(one)
    before, after = weights(initial), weights(Path(one.output))
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in before if ".text_model." in name or ".vision_model." in name} <= same
    assert "logit_scale" in same
    assert any(".ret_cell." in name for name in before.keys() - same)


def test_gradient_checkpointing_changes_nothing(world, initial, tmp_path):
    plain = job(world, initial, tmp_path / "plain", validation=[], max_steps=2)
    saving = job(world, initial, tmp_path / "saving", validation=[], max_steps=2, gradient_checkpointing=True)
    for one in (plain, saving):
        training.launch(one)
    assert_same_weights(Path(plain.output), Path(saving.output))


def test_evaluating_draws_no_random_numbers(uninterrupted, world, initial, tmp_path):
    """More evaluations must not change the training."""
    whole, _ = uninterrupted
    one = job(world, initial, tmp_path / "scratch", **LAST, eval_steps=3)
    curves = training.launch(one)
    assert [entry["step"] for entry in curves["eval"]] == [0, 3, 6, 9, 12, 15]
    assert_same_weights(Path(one.output), Path(whole.output))


def test_infinite_loss_ends_the_run(world, initial, tmp_path, monkeypatch):
    monkeypatch.setattr(loss, "contrastive_loss", lambda query, *_, **__: query.sum() * torch.inf)
    with pytest.raises(FloatingPointError, match=r"The loss is .* after step 2. Lower the learning rate"):
        training.launch(job(world, initial, tmp_path / "scratch"))


def test_a_second_run_in_one_folder_is_refused(world, initial, tmp_path):
    one = job(world, initial, tmp_path / "scratch")
    (tmp_path / "scratch").mkdir()
    child = os.fork()
    if child == 0:
        with locked(tmp_path / "scratch", "trains"):
            (tmp_path / "locked").touch()
            time.sleep(60)
    try:
        while not (tmp_path / "locked").exists():
            time.sleep(0.01)
        with pytest.raises(RuntimeError, match="another process trains here"):
            training.launch(one)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    with locked(tmp_path / "scratch", "trains"):
        pass  # the kernel has freed it


def test_all_wrong_settings_are_named_at_once(world, initial, tmp_path):
    wrong = {
        "train": [source(world, "a/b"), source(world, "one"), source(world, "one")],
        "validation": [source(world, "macro")],
        "select_metric": "R@7",
        "warmup_ratio": 1.0,
        "epochs": 0,
        "save_steps": 0,
    }
    with pytest.raises(msgspec.ValidationError) as error:
        job(world, initial, tmp_path / "scratch", **wrong)
    lines = str(error.value).splitlines()
    assert len(lines) == 8
    for part in (
        "'one' stands for",
        "'a/b' cannot",
        "'macro' cannot",
        "'R@7'",
        "warmup_ratio 1",
        "epochs 0",
        "save_steps",
    ):
        assert sum(part in line for line in lines) == 1, part
    with pytest.raises(msgspec.ValidationError, match="unknown field `epoch`"):
        job(world, initial, tmp_path / "scratch", epoch=3)


def test_checkpoint_of_another_number_of_ranks_is_refused(uninterrupted):
    scratch = Path(uninterrupted[0].scratch)
    assert checkpoints.last_checkpoint(scratch, 1) == scratch / "checkpoint-15"
    with pytest.raises(
        ValueError, match=r"comes from a run on 1 rank\(s\), this one has 4.*Ask for 1 GPU\(s\), or delete"
    ):
        checkpoints.last_checkpoint(scratch, 4)


def test_mixed_precision_runs_close_to_fp32(uninterrupted, world, initial, tmp_path):
    _, exact = uninterrupted
    curves = training.launch(job(world, initial, tmp_path / "scratch", bf16=True, max_steps=4, validation=[]))
    for entry, expected in zip(curves["train"], exact["train"], strict=False):
        assert entry["loss"] == pytest.approx(expected["loss"], rel=0.05)  # bf16 keeps 8 bits
        assert entry["loss"] != expected["loss"]


def test_errors_of_a_child_are_shown(caplog):
    with (
        pytest.raises(RuntimeError, match=r"exit status 3. Its last lines:\nsecond line"),
        caplog.at_level(logging.INFO),
    ):
        torchrun.follow([sys.executable, "-c", "print('second line', flush=True); raise SystemExit(3)"], "x")
    assert "second line" in caplog.text


def test_the_terminal_follows_a_child_by_its_label(capfd):
    said = "print('training a: 3/9 steps'); print('a library talks')"
    torchrun.follow([sys.executable, "-c", said], "training a")
    assert capfd.readouterr().err == "training a: 3/9 steps\n"


def test_progress_and_evaluations_are_told(world, initial, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("retcap.terminal.progress.WORTH_A_LINE_S", 0)
    training.run(job(world, initial, tmp_path / "scratch", max_steps=2, label="training a"))
    said = capfd.readouterr().err
    assert "training a: 2/2 steps" in said
    assert re.search(r"training a: validation R@10 in percent after step 2: .*macro \d+\.\d", said)


def test_a_schedule_shorter_than_the_training_is_refused(world, initial, tmp_path):
    with pytest.raises(ValueError, match=r"schedule_epochs 1\.0 is shorter than epochs 3"):
        job(world, initial, tmp_path / "scratch", schedule_epochs=1.0)
    job(world, initial, tmp_path / "scratch", schedule_epochs=1.0, max_steps=3)
