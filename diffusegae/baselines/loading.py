"""Load a baseline from a checkpoint directory: its averaged weights, as `editing/loading.py` does ours."""

from pathlib import Path

from diffusegae.baselines.baseline import Baseline
from diffusegae.baselines.table import BASELINES
from diffusegae.checkpoint import CheckpointError, read_meta, read_tensors
from diffusegae.schema import AttributeSchema


def load_baseline(directory: Path, expected: AttributeSchema | None = None) -> Baseline:
    """Return the baseline of a checkpoint.

    Raises:
        CheckpointError: the directory is not a whole checkpoint, or not one of a baseline.
        SchemaError: the checkpoint was made for another schema than `expected`.
    """
    meta = read_meta(directory)
    if expected is not None:
        expected.require_same(meta.attributes, f"checkpoint {directory}")
    build = {str(name): kind for name, kind in BASELINES.items()}.get(meta.stage)
    if build is None:
        raise CheckpointError(
            f"{directory} holds stage {meta.stage!r}, not a baseline; expected one of: {', '.join(BASELINES)}"
        )
    baseline = build(meta.config, meta.attributes)
    baseline.load_state_dict(read_tensors(directory, "ema"))
    return baseline
