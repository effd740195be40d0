"""The table of stages: what `training/worker.py` trains under which name."""

from collections.abc import Callable
from functools import partial
from typing import Any

from diffusegae.baselines.table import BASELINES
from diffusegae.training.baseline import build_baseline
from diffusegae.training.finetune import build_finetune
from diffusegae.training.pretrain import build_pretrain
from diffusegae.training.refine import build_refine
from diffusegae.training.stages import Stage, StageInputs, StageName

STAGES: dict[StageName, Callable[[StageInputs], Stage[Any]]] = {
    "pretrain": build_pretrain,
    "refine": build_refine,
    "finetune": build_finetune,
    **{name: partial(build_baseline, name) for name in BASELINES},
}
