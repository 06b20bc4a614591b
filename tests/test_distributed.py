"""Several ranks on the CPU (gloo): gathering, the loss, cached gradients, and a whole run under torchrun."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

import quick_start
from retcap.contrastive import cached_gradient, gather, loss
from retcap.contrastive.cached_gradient import split

pytestmark = pytest.mark.numeric

ROWS, IN, H = 7, 4, 6
SHARES = {2: [4, 3], 3: [2, 3, 2]}  # rows per rank, uneven


class Towers(nn.Module):
    """Two linear encoders, a temperature, and a layer that only rows of the first rank use."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.query, self.passage, self.image = nn.Linear(IN, H), nn.Linear(IN, H), nn.Linear(IN, H)
        self.logit_scale = nn.Parameter(torch.tensor(1.5))
        for parameter in (p for p in self.parameters() if p.ndim):
            parameter.data = torch.randn(parameter.shape, generator=generator)

    def forward(self, query, passage, use_image):
        query = self.query(query) + (self.image(query) if use_image.any() else 0) * use_image[:, None]
        return F.normalize(query, dim=-1), F.normalize(self.passage(passage), dim=-1), self.logit_scale.exp()


def batch(start: int = 0, stop: int = ROWS) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    query, passage = (torch.randn(ROWS, IN, generator=generator) for _ in range(2))
    use_image = torch.tensor([True, True] + [False] * (ROWS - 2))  # with 2 or 3 ranks: rank 0 only
    return {
        name: value[start:stop] for name, value in {"query": query, "passage": passage, "use_image": use_image}.items()
    }


CODES = torch.tensor([3, 8, 3, 1, 8, 3, 5])  # repeated within and across ranks
POSITIVES = torch.tensor([[3, 5], [8, -1], [3, -1], [1, -1], [8, 1], [3, -1], [5, -1]])


def loss_of(query, passage, factor, start=0, stop=ROWS, sets=False, symmetric=True):
    positives = POSITIVES[start:stop] if sets else None
    if sets and start > 0:
        positives = positives[:, : 2 if (positives[:, 1] >= 0).any() else 1]  # ranks pad to different widths
    return loss.contrastive_loss(query, passage, factor, CODES[start:stop], positives, symmetric=symmetric)


CASES = [{"sets": sets, "symmetric": symmetric} for sets in (False, True) for symmetric in (False, True)]


def gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    found = {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad()
    return found


def on_one_rank(case: dict) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    model = Towers()
    value = loss_of(*model(**batch()), **case)
    value.backward()
    return value.detach(), gradients(model)


def worker(rank: int, ranks: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=ranks)
    start = sum(SHARES[ranks][:rank])
    stop = start + SHARES[ranks][rank]
    found = {
        "loss": [by_ddp(case, start, stop) for case in CASES],
        "cached": [by_cache(case, start, stop) for case in CASES],
        "rows": gather.rows(torch.arange(start, stop, dtype=torch.float32)[:, None]),
        "labels": gather.labels(torch.full((stop - start, rank + 1), rank), fill=-1),
        "local": loss.contrastive_loss(*Towers()(**batch(start, stop)), CODES[start:stop], across_ranks=False).detach(),
    }
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def by_ddp(case: dict, start: int, stop: int):
    model = nn.parallel.DistributedDataParallel(Towers(), find_unused_parameters=True)
    value = loss_of(*model(**batch(start, stop)), start, stop, **case)
    value.backward()
    return value.detach(), gradients(model.module)


def by_cache(case: dict, start: int, stop: int):
    """Chunks of 2 rows, averaged by hand as the trainer does."""
    model = Towers()
    value = cached_gradient.backward(
        lambda chunk: model(**chunk)[:2],
        split(batch(start, stop), 2),
        lambda query, passage: loss_of(query, passage, model.logit_scale.exp(), start, stop, **case),
    )
    gather.average_gradients(model.parameters())
    return value, gradients(model)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module", params=[2, pytest.param(3, marks=pytest.mark.slow)])
def found(request, tmp_path_factory) -> list[dict]:
    folder = tmp_path_factory.mktemp("ranks")
    port, code = free_port(), "import sys, test_distributed as test\ntest.worker(*map(int, sys.argv[1:4]), sys.argv[4])"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    python = quick_start.python("torch", environment)
    commands = [[python, "-c", code, *map(str, (rank, request.param, port, folder))] for rank in range(request.param)]
    ranks = [subprocess.Popen(command, env=environment) for command in commands]
    assert [rank.wait() for rank in ranks] == [0] * request.param
    return [torch.load(folder / f"{rank}.pt") for rank in range(request.param)]


@pytest.mark.parametrize("way", ["loss", "cached"])
def test_gradients_equal_those_of_the_joined_batch(found, way):
    """On every rank: uneven shares, repeated passages, positive sets, one or two directions, an unused layer."""
    for number, case in enumerate(CASES):
        expected_loss, expected = on_one_rank(case)
        values = torch.stack([rank[way][number][0] for rank in found])
        assert torch.allclose(values.mean(), expected_loss), case
        for rank in found:
            gradients = rank[way][number][1]
            assert gradients.keys() == expected.keys()
            for name, gradient in gradients.items():
                assert torch.allclose(gradient, expected[name], atol=1e-6), (case, name)  # fp32 sums in another order


def test_rows_and_labels_come_in_the_order_of_the_ranks(found):
    for rank in found:
        assert rank["rows"][:, 0].tolist() == list(range(ROWS))
        assert rank["labels"].shape == (ROWS, len(found))
        for row, number in zip(
            rank["labels"], [r for r, size in enumerate(SHARES[len(found)]) for _ in range(size)], strict=True
        ):
            assert row.tolist() == [number] * (number + 1) + [-1] * (len(found) - number - 1)


def test_without_gathering_each_rank_is_alone(found):
    start = 0
    for rank, size in zip(found, SHARES[len(found)], strict=True):
        query, passage, factor = Towers()(**batch(start, start + size))
        assert torch.allclose(rank["local"], loss.contrastive_loss(query, passage, factor, CODES[start : start + size]))
        start += size


def test_one_process_needs_no_group():
    assert (gather.ranks(), gather.rank()) == (1, 0)
    rows = torch.ones(2, 3)
    assert gather.rows(rows) is rows
    labels = torch.tensor([3, 1])
    assert gather.labels(labels) is labels


@pytest.mark.slow
def test_run_under_torchrun(tmp_path, monkeypatch):
    """Two ranks of 4 pairs train as one rank of 8 pairs, last uneven batch and validation included."""
    from safetensors.torch import load_file

    from ret_world import job, tiny_model, write_world
    from retcap.contrastive import training

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(sys, "executable", quick_start.python("torch"))
    monkeypatch.setenv("PYTHON_EXEC", sys.executable)  # of torchrun, for its ranks
    torch.set_num_threads(1)
    world = write_world(tmp_path / "world")
    initial = tiny_model(tmp_path, dropout_p=0.0, attention_dropout=0.0)
    options = {"epochs": 2, "learning_rate": 1e-4, "load_best": False}
    alone = training.launch(job(world, initial, tmp_path / "one", **options))
    both = training.launch(job(world, initial, tmp_path / "two", per_device_batch_size=4, **options), gpus=2)
    assert both["steps"] == alone["steps"] == 10
    for one, two in zip(alone["train"], both["train"], strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-3)
    first, second = (load_file(tmp_path / f"{name}-model" / "model.safetensors") for name in ("one", "two"))
    # Adam's steps have the size of the learning rate whatever the gradient, so rounding of tiny gradients shows
    assert all(torch.allclose(first[name], second[name], atol=3e-4) for name in first)
    assert max((first[name] - load_file(initial / "model.safetensors")[name]).abs().max() for name in first) > 5e-4
    assert both["eval"][-1]["eval_world_R@10"] == pytest.approx(alone["eval"][-1]["eval_world_R@10"], abs=0.1)
