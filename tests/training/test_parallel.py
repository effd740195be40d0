"""Two workers over gloo exchange gradients as training lets them."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from diffusegae.training.parallel import ddp_options, send_as_bfloat16
from diffusegae.training.stages import StageInputs
from diffusegae.training.table import STAGES
from tests.tiny import smoke_config, tiny_schema

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "pieces"),
    [("pretrain", 2), ("refine", 1), ("finetune", 1), ("stargan", 1), ("elegant", 1), ("pdae", 1), ("gzsnet", 1)],
)
def test_two_workers_end_with_the_same_weights(name: str, pieces: int, tmp_path: Path) -> None:
    """Adversaries, a penalty of gradients, frozen parts, unused heads and pieces are what DDP is particular about."""
    program = [sys.executable, "-m", "tests.training.two_workers", name, str(pieces)]
    words = [[*program, str(rank), str(tmp_path)] for rank in (0, 1)]
    workers = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) for command in words]
    for worker in workers:
        _, errors = worker.communicate(timeout=120)
        assert worker.returncode == 0, errors.decode()[-3000:]
    first, second = (load_file(tmp_path / str(rank)) for rank in (0, 1))
    torch.manual_seed(0)
    start = STAGES[name](StageInputs(smoke_config(), tiny_schema(8, 8, 8))).model.state_dict()  # type: ignore[index]
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.equal(first[key], start[key]) for key in first)


def test_ddp_may_rely_on_its_graph_where_every_backward_is_synchronised() -> None:
    assert ddp_options(smoke_config().pretrain)["static_graph"]
    assert not ddp_options(smoke_config("pretrain.accumulate=2").pretrain)["static_graph"]
    assert not ddp_options(smoke_config("pretrain.accumulate=auto").pretrain)["static_graph"]


def test_a_module_that_is_not_wrapped_sends_nothing() -> None:
    module = nn.Linear(2, 2)
    assert send_as_bfloat16(module) is module
