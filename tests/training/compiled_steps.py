"""Steps of a compiled stage, and what the compiler counted: python -m tests.training.compiled_steps NAME ...

In a process of its own, without the run-time checks of shapes that tests have, which no compiler can follow. Dynamo
captures the graphs; they then run as they are, since what matters here is whether a step is one graph.
"""

import json
import sys

import torch
import torch._dynamo
from torch._dynamo.utils import counters

from diffusegae.baselines.table import BASELINES
from diffusegae.training.stages import StageInputs
from diffusegae.training.step import TrainingState
from diffusegae.training.table import STAGES
from tests.tiny import smoke_config, tiny_schema
from tests.training.two_workers import share_of_a_batch

STEPS = 3
SWITCHES = (  # whatever a preset turns on
    "model.unet.canvas=true", "model.unet.positions=true", "model.unet.dropout=0.1", "model.gae.quantise_step=1",
    "pretrain.lambda_canvas=1", "finetune.lambda_canvas=1", "refine.lambda_bend=1", "finetune.lambda_bend=1",
    "refine.lambda_agree=1", "finetune.lambda_agree=1", "finetune.condition=reassembled", "refine.donors=batch",
)  # fmt: skip


def counts_of(name: str) -> dict[str, int]:
    """Return a stage's graph breaks and graphs over some steps."""
    torch._dynamo.reset()
    counters.clear()
    key = f"baselines.{name}" if name in BASELINES else name
    config = smoke_config(*SWITCHES, f"{key}.compile=true", f"{key}.precision=bfloat16")
    inputs = StageInputs(config, tiny_schema(8, 8, 8), latent_mean=torch.zeros(32), latent_covariance=torch.eye(32))
    state = TrainingState(STAGES[name](inputs), torch.device("cpu"), lambda module: module, 0)  # type: ignore[index]
    for step in range(STEPS):
        state.step(share_of_a_batch(name, state.stage.config, seed=step))
    return {"breaks": sum(counters["graph_break"].values()), "graphs": counters["stats"]["unique_graphs"]}


def main() -> None:
    """Print what was counted of each stage as JSON."""
    compile_with = torch.nn.Module.compile
    torch.nn.Module.compile = lambda module: compile_with(module, backend="eager")  # type: ignore[assignment, method-assign]
    print(json.dumps({name: counts_of(name) for name in sys.argv[1:]}))


if __name__ == "__main__":
    main()
