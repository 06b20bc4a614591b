"""The correctness part of the GPU suite as tests: `pytest -m gpu`. Without a GPU there is one skipped test."""

import sys
from pathlib import Path

import pytest
import torch

pytestmark = [pytest.mark.gpu, pytest.mark.slow]
if not torch.cuda.is_available():
    pytest.skip("torch sees no GPU here", allow_module_level=True)
sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))

from gpu import correctness, machine  # noqa: E402
from gpu.cases import Context, LeftOut  # noqa: E402


@pytest.mark.parametrize("case", correctness.cases(), ids=lambda case: case.name)
def test_the_gpu_gives_what_the_cpu_gives(case, tmp_path):
    if absent := machine.missing(case.needs):
        pytest.skip(f"{', '.join(absent)} is not installed here")
    try:
        assert case.run(Context(torch.device("cuda:0"), False, tmp_path))
    except LeftOut as reason:
        pytest.skip(str(reason))
