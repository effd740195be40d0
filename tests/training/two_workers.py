"""Two workers in processes of their own, over gloo: python -m tests.training.two_workers NAME RANK FOLDER.

Each takes some steps of a baseline under DDP on batches of its own, then writes its weights to the folder.
"""

import sys
from pathlib import Path

import torch
import torch.distributed
from safetensors.torch import save_file
from torch.nn.parallel import DistributedDataParallel

from diffusegae.baselines.baseline import Samples
from diffusegae.training.stages import StageInputs, shared_of
from diffusegae.training.step import TrainingState
from diffusegae.training.table import STAGES
from tests.tiny import random_images, smoke_config, tiny_schema

STEPS = 4


def main() -> None:
    """Train and write."""
    name, rank, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.manual_seed(0)
    stage = STAGES[name](StageInputs(smoke_config(), tiny_schema(8, 8, 8)))  # type: ignore[index]
    state = TrainingState(stage, torch.device("cpu"), DistributedDataParallel, seed=0, rank=rank, world_size=2)
    members, count = (1 if shared_of(stage.config) is None else 4), stage.config.batch_size // 2
    for step in range(STEPS):
        images = random_images(count * members, seed=2 * step + rank).unflatten(0, (count, members))
        state.step(Samples(images, torch.randint(0, 4, (count, members, 3))))
    save_file({key: value.contiguous() for key, value in stage.model.state_dict().items()}, f"{folder}/{rank}")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
