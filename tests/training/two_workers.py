"""Two workers in processes of their own, over gloo: python -m tests.training.two_workers NAME PIECES RANK FOLDER.

Each takes some steps of a stage under DDP on batches of its own, then writes its weights to the folder.
"""

import sys
from pathlib import Path

import torch
import torch.distributed
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from diffusegae.baselines.baseline import Samples
from diffusegae.baselines.table import BASELINES
from diffusegae.config.training import StageConfig
from diffusegae.training.parallel import ddp_options
from diffusegae.training.stages import StageInputs, shared_of
from diffusegae.training.step import TrainingState
from diffusegae.training.table import STAGES
from tests.tiny import random_images, smoke_config, tiny_schema

STEPS = 4


def main() -> None:
    """Train and write."""
    name, pieces, rank, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.manual_seed(0)
    key = f"baselines.{name}" if name in BASELINES else name
    config = smoke_config(f"{key}.accumulate={pieces}")
    stage = STAGES[name](StageInputs(config, tiny_schema(8, 8, 8)))  # type: ignore[index]

    def wrap(module: nn.Module) -> nn.Module:
        return DistributedDataParallel(module, **ddp_options(stage.config))

    state = TrainingState(stage, torch.device("cpu"), wrap, seed=0, rank=rank, world_size=2)
    for step in range(STEPS):
        state.step(share_of_a_batch(name, stage.config, seed=2 * step + rank))
    save_file({key: value.contiguous() for key, value in stage.model.state_dict().items()}, f"{folder}/{rank}")
    torch.distributed.destroy_process_group()


def share_of_a_batch(name: str, config: StageConfig, seed: int) -> Tensor | Samples:
    """Return one worker's half of a batch: latents in stage 2, images in stage 1 and 3, labelled ones for baselines."""
    members, count = (1 if shared_of(config) is None else 4), config.batch_size // 2
    if name == "refine":
        return torch.randn(count, members, 32, generator=torch.Generator().manual_seed(seed))
    images = random_images(count * members, seed=seed).unflatten(0, (count, members))
    return Samples(images, torch.randint(0, 4, (count, members, 3))) if name in BASELINES else images


if __name__ == "__main__":
    main()
