"""The table of stages: what `training/worker.py` trains under which name."""

from collections.abc import Callable

from diffusegae.training.finetune import build_finetune
from diffusegae.training.pretrain import build_pretrain
from diffusegae.training.refine import build_refine
from diffusegae.training.stages import Stage, StageInputs, StageName

STAGES: dict[StageName, Callable[[StageInputs], Stage]] = {
    "pretrain": build_pretrain,
    "refine": build_refine,
    "finetune": build_finetune,
}
