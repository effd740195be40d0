"""How many samples a stage is given so that it ends in time: planned anew while its learning rate is still constant.

Before the rate begins to fall it does not depend on how long the stage is, so until then the end may be moved and the
schedule is that of a stage which was planned so from the beginning.
"""

from dataclasses import dataclass, replace
from typing import Any

from diffusegae.config.training import StageConfig
from diffusegae.training.step import TrainingState

LEAST_STEPS = 20  # of a stage, and measured ones before the end is moved for the first time


@dataclass(frozen=True)
class Shares:
    """The shares of the time that stages and judging get; what one leaves goes to those after it."""

    pretrain: float = 0.58
    refine: float = 0.14
    finetune: float = 0.12
    evaluate: float = 0.16

    def seconds_for(self, stage: str, seconds_left: float) -> float:
        """Return a stage's seconds of those that are left for it and all after it."""
        names = list(vars(self))
        after = sum(getattr(self, name) for name in names[names.index(stage) :])
        return float(seconds_left * getattr(self, stage) / after)


def samples_in_time(config: StageConfig, samples_seen: int, rate: float, seconds: float, most: int) -> int:
    """Return the samples of a stage that ends in so many seconds at that rate, in whole steps, at most `most`.

    Never so few that the rate would already have begun to fall, nor fewer than LEAST_STEPS.
    """
    batch = config.batch_size
    least = max(LEAST_STEPS * batch, int(samples_seen / config.decay_from) + batch if config.decay_from else 0)
    wanted = samples_seen + rate * max(seconds, 0.0)
    steps = -(-max(least, min(int(wanted), most)) // batch)
    return int(steps * batch)


def may_move_end(config: StageConfig, samples_seen: int) -> bool:
    """Tell whether the learning rate is still what it would be in a stage of any greater length."""
    return samples_seen + config.batch_size <= config.decay_from * config.num_samples


def move_end(state: TrainingState, num_samples: int) -> None:
    """Give a stage in training another number of samples."""
    config: Any = state.stage.config.model_copy(update={"num_samples": num_samples})
    state.stage = replace(state.stage, config=config)
