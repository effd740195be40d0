"""What z_sem tells of each attribute: the check between stages 1 and 2.

What stage 1 leaves to x_T no later stage can edit. So two probes, a linear one and a small MLP, read every attribute
from the latents of training images that they were not fitted to; held-out images are not read.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Integer

from diffusegae import storage
from diffusegae.config.tuning import TuneConfig
from diffusegae.data.latent_split import read_validation_split
from diffusegae.metrics.probe import LabelledCodes, read_linear, read_mlp, read_part, standardise
from diffusegae.schema import AttributeSchema

Labels = Integer[np.ndarray, "_"]
TOLD = "told.json"  # beside the latents
logger = logging.getLogger(__name__)


class UntoldError(ValueError):
    """Latents that do not tell an attribute."""


@dataclass(frozen=True)
class Told:
    """How often each probe reads an attribute right, in [0, 1], and how often the commonest value is right."""

    name: str
    linear: float
    mlp: float
    guess: float

    @property
    def share(self) -> float:
        """What the better probe reads of what a guess leaves open: 1 all, 0 nothing."""
        open_ = 1.0 - self.guess
        return max(0.0, (max(self.linear, self.mlp) - self.guess) / open_) if open_ > 0 else 1.0

    def __str__(self) -> str:
        read = max(self.linear, self.mlp)
        return f"{self.name} {self.share:.2f} (read in {read:.1%}, by a guess in {self.guess:.1%})"


def find_told(uri: str, schema: AttributeSchema, tune: TuneConfig) -> list[Told]:
    """Return what the latents tell of each attribute, as kept beside them; else read it and keep it."""
    path = storage.join(uri, TOLD)
    if storage.exists(path):
        kept = [Told(**each) for each in json.loads(storage.read_bytes(path))]
        if [each.name for each in kept] == list(schema.names):
            return kept
    told = read_told(uri, schema, tune)
    storage.write_bytes(path, json.dumps([asdict(each) for each in told], indent=1).encode())
    return told


def read_told(uri: str, schema: AttributeSchema, tune: TuneConfig) -> list[Told]:
    """Return what the latents tell of each attribute; LatentError if there are none, SplitError if too few."""
    split = read_validation_split(uri, schema, tune)
    fitted = split.fitted.draw(tune.probe_rows, tune.seed)
    train, test = standardise(
        LabelledCodes(fitted.z, fitted.judged_labels), LabelledCodes(split.judged.z, split.judged.judged_labels)
    )
    # A value that no fitted row shows is not told.
    linear, mlp = (
        np.nan_to_num(read_part(train, test, slice(None), probe)).mean(axis=0).tolist()
        for probe in (read_linear, read_mlp)
    )
    guesses = [_guess(train.labels[:, a], test.labels[:, a]) for a in range(len(schema.names))]
    return [Told(*each) for each in zip(schema.names, linear, mlp, guesses, strict=True)]


def check_told(told: Sequence[Told], least: float) -> None:
    """Log what is told, the least told first; UntoldError if it is less than `least` of an attribute."""
    ordered = sorted(told, key=lambda each: each.share)
    logger.info("z_sem tells: %s", ", ".join(map(str, ordered)))
    if untold := [each for each in ordered if each.share < least]:
        raise UntoldError(
            f"z_sem does not tell what stage 2 is to take apart: {', '.join(map(str, untold))}; expected at least"
            f" {least} of each (pretrain.min_told). What it leaves to x_T can't be edited. Train stage 1 on more images"
            " (pretrain.num_samples), look whether the pictures show the attribute at this size, or go on all the same"
            " with --set pretrain.min_told=0"
        )


def _guess(labels: Labels, truth: Labels) -> float:
    """Return how often the commonest of the labels is true."""
    values, counts = np.unique(labels, return_counts=True)
    return float((truth == values[counts.argmax()]).mean())
