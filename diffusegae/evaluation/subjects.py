"""The subjects of an evaluation: a trained method by its name and checkpoint, as something that can be measured."""

from dataclasses import dataclass
from pathlib import Path

import torch

from diffusegae.baselines.latent_diffusion import LatentDiffusionMethod
from diffusegae.baselines.loading import load_baseline
from diffusegae.checkpoint import read_meta
from diffusegae.config.compare import OURS, MethodName
from diffusegae.editing.loading import load_editor
from diffusegae.editing.method import Method
from diffusegae.schema import AttributeSchema

# Their codes are no representation: x_T itself, or the picture with its labels beside it.
WITHOUT_CODES: frozenset[str] = frozenset({"ddim", "stargan"})
SAMPLED: frozenset[str] = frozenset({OURS, "diffae", "pdae", "ddim"})  # pictures take many network calls


@dataclass(frozen=True)
class Subject:
    """A trained method, and how many weights it has."""

    method: Method
    parameters: int


def load_subject(name: MethodName, checkpoint: Path, expected: AttributeSchema, device: torch.device | str) -> Subject:
    """Return the method of a checkpoint; CheckpointError or SchemaError if it can't be that.

    Ours after stage 1 has no z_dis yet: it is measured by its undivided z_sem, as Diff-AE is.
    """
    if name != OURS:
        baseline = load_baseline(checkpoint, expected)
        return Subject(baseline.method(device), sum(baseline.parameter_counts().values()))
    editor = load_editor(checkpoint, device, expected)
    counts = editor.model.parameter_counts()
    if read_meta(checkpoint).stage != "pretrain":
        return Subject(editor, sum(counts.values()))
    model = editor.model
    stage_1 = LatentDiffusionMethod(model.encode, editor.denoiser, editor.config, editor.schema, editor.device)
    return Subject(stage_1, counts["encoder"] + counts["unet"])
