"""A baseline as a stage: its goals become objectives of the loop that trains ours."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from diffusegae.baselines.baseline import Baseline, Goal, Samples
from diffusegae.baselines.table import BASELINES
from diffusegae.config.baselines import BaselineName
from diffusegae.editing.method import Method, UnsupportedError
from diffusegae.images import label_grid, make_grid
from diffusegae.pixels import to_pixels
from diffusegae.training.stages import Objective, ObjectiveModule, Stage, StageInputs

MONITOR_SAMPLES, PICTURE_ROWS = 64, 6


class GoalObjective(ObjectiveModule):
    """A goal as a module that holds the weights it trains and no others, which is what DDP must see."""

    def __init__(self, goal: Goal) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(dict(goal.trains))
        self.goal = goal

    def draw(self, batch: Samples, generator: torch.Generator) -> Any:
        """Draw what the goal's loss leaves to chance."""
        return self.goal.draw(batch, generator)

    def forward(self, batch: Samples, draws: Any) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Return the goal's loss."""
        return self.goal.loss(batch, draws)


def build_baseline(name: BaselineName, inputs: StageInputs) -> Stage[Baseline]:
    """Return the stage that trains a baseline; what it begins with, if anything, it takes."""
    model = BASELINES[name](inputs.config, inputs.schema)
    if inputs.weights is not None:
        model.take_before(inputs.weights)
    return Stage(
        name=name,
        config=inputs.config.settings_of(name),
        model=model,
        objectives=[Objective(goal.name, GoalObjective(goal), goal.trains, goal.every) for goal in model.goals()],
        monitor=held_out_losses,
        paint=lambda ema, batch: paint_edits(ema.method(batch.images.device), batch),
        frozen=model.frozen,
    )


def held_out_losses(model: Baseline, batch: Samples, generator: torch.Generator) -> dict[str, float]:
    """Return what the goals report of held-out samples, as `held_out_<term>`."""
    few = Samples(batch.images[:MONITOR_SAMPLES], batch.labels[:MONITOR_SAMPLES])
    found: dict[str, float] = {}
    for goal in model.goals():
        with torch.enable_grad():  # a gradient penalty needs them; nothing is kept
            _, terms = goal.measure(few, generator)
        found |= {f"held_out_{name}": float(value) for name, value in terms.items()}
    return found


def paint_edits(method: Method, batch: Samples) -> UInt8[np.ndarray, "height width 3"]:
    """Draw held-out images, the donors beside them, how they come back, and each attribute taken from the donor."""
    sources = batch.images[:PICTURE_ROWS, 0]
    donors = batch.images[:, 0].roll(-1, 0)[: len(sources)]
    columns = [("source", sources), ("donor", donors)]
    columns.append(("seeded", method.reconstruct(sources, range(len(sources)))))
    for name in method.schema.names:
        try:
            columns.append((name, method.edit(sources, {name: donors})))
        except UnsupportedError:
            break
    pictures = torch.stack([images.to(sources.device) for _, images in columns], dim=1).flatten(0, 1)
    grid = make_grid(to_pixels(pictures), len(columns), scale=max(1, 96 // method.image_size))
    return label_grid(grid, [title for title, _ in columns])
