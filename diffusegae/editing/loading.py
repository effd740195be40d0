"""Load an editor from a checkpoint directory: the one way in for evaluation, the registry and the service."""

from pathlib import Path

import torch

from diffusegae.checkpoint import read_meta
from diffusegae.config.inference import InferenceConfig
from diffusegae.config.model import SamplingConfig
from diffusegae.editing.editor import Editor
from diffusegae.models.autoencoder import DiffuseGAE
from diffusegae.schema import AttributeSchema


def load_editor(
    directory: Path,
    device: torch.device | str = "cpu",
    expected: AttributeSchema | None = None,
    sampling: SamplingConfig | None = None,
    inference: InferenceConfig | None = None,
) -> Editor:
    """Return the editor of a checkpoint's averaged weights.

    Raises:
        CheckpointError: the directory is not a whole checkpoint.
        SchemaError: the checkpoint was made for another schema than `expected`.
    """
    meta = read_meta(directory)
    if expected is not None:
        expected.require_same(meta.attributes, f"checkpoint {directory}")
    return Editor(DiffuseGAE.from_pretrained(directory), meta.config, meta.attributes, device, sampling, inference)
