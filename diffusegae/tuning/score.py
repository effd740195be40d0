"""What a GAE is scored by, from the probe matrix and the reconstruction of latents it was not fitted to.

    score = w_own * own - w_leak * leak - w_error * error          (weights: tune.weights; 1 is ideal by default)

own    mean over attributes of how well a linear probe reads the attribute from its own part of z_dis
leak   mean over the other pairs of how well it reads an attribute from a part that is not its own
error  share of the variance of z_sem, z-scored per dimension, that is lost on the way through z_dis, at most 1

Accuracies count from a zero of their own, (accuracy - zero) / (1 - zero), whatever the number of values: an own part's
from chance, a leak from what the same probe reads from codes that hold the own value and nothing else (metrics/probe).
A pair below its zero counts as no leak instead of making up for another's. In a short run `error` and `leak` are
both far from 0 and tell settings apart; in a long one `own` is 1, and what remains of the two still does.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from diffusegae.config.tuning import ScoreWeights
from diffusegae.tuning.matrix import ProbeMatrix

SCORE, OWN, LEAK, ERROR = "score", "own", "leak", "error"
LEAST_SPREAD = 1e-3  # of the largest; a dead dimension must not count as much as a live one


@dataclass(frozen=True)
class Score:
    """The three parts of a score."""

    own: float
    leak: float
    error: float

    def total(self, weights: ScoreWeights) -> float:
        """Return the score; higher is better."""
        return weights.own * self.own - weights.leak * self.leak - weights.error * self.error

    def as_metrics(self, weights: ScoreWeights) -> dict[str, float]:
        """Return the score and its parts by name."""
        return {SCORE: self.total(weights), OWN: self.own, LEAK: self.leak, ERROR: self.error}


WORST = Score(own=0.0, leak=1.0, error=1.0)  # what a trial gets whose training diverged


def score_of(
    probe: ProbeMatrix,
    z_sem: Float[np.ndarray, "rows z_sem"],
    rebuilt: Float[np.ndarray, "rows z_sem"],
    mean: Float[np.ndarray, " z_sem"],
    spread: Float[np.ndarray, " z_sem"],
) -> Score:
    """Return the score's parts; `mean` and `spread` (standard deviation) are those of the fitted latents."""
    is_own = np.eye(len(probe.names), dtype=bool)
    zero = np.where(np.isnan(probe.reference), probe.chance, probe.reference)  # too few rows to shuffle: guessing
    leak = ((probe.accuracy - zero) / (1 - zero))[~is_own]
    return Score(
        own=float(((probe.diagonal - probe.chance) / (1 - probe.chance)).mean()),
        leak=float(np.maximum(leak, 0).mean()),
        error=unexplained(z_sem, rebuilt, mean, spread),
    )


def unexplained(
    z_sem: Float[np.ndarray, "rows z_sem"],
    rebuilt: Float[np.ndarray, "rows z_sem"],
    mean: Float[np.ndarray, " z_sem"],
    spread: Float[np.ndarray, " z_sem"],
) -> float:
    """Return the share of z-scored variance that is lost: 0 is perfect, 1 is what the mean alone would lose."""
    scale = np.maximum(spread, LEAST_SPREAD * spread.max())
    lost, there = np.square((z_sem - rebuilt) / scale).sum(), np.square((z_sem - mean) / scale).sum()
    return min(float(lost / there), 1.0)
