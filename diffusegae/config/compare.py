"""What the comparison trains and measures (jobs/compare.py)."""

from typing import Final, Literal

from pydantic import Field, field_validator

from diffusegae.config.base import Config
from diffusegae.config.baselines import BaselineName

MethodName = Literal["diffusegae"] | BaselineName
OURS: Final = "diffusegae"
METHODS: tuple[MethodName, ...] = (OURS, "diffae", "pdae", "gzsnet", "ae_ds", "ddim", "stargan", "elegant")


class CompareConfig(Config):
    """Which methods are compared, on how much, and how many side by side."""

    methods: tuple[MethodName, ...] = Field(METHODS, min_length=1, description="Methods, in the report's order.")
    budget: Literal["time", "images"] = Field(
        "time",
        description="time: each baseline trains as long as the config says, meant to be as long as ours takes; images:"
        " on as many images as ours has seen in all.",
    )
    num_generated: int = Field(1000, gt=1, description="Images per Fréchet distance.")
    num_pairs: int = Field(
        1000, gt=1, description="Pairs of images per PPL at the most steps; fewer steps take as many more (`pairs_at`)."
    )
    path_steps: tuple[int, ...] = Field((20, 50, 100, 500), description="Sampling steps at which PPL is measured.")
    concurrent: int = Field(1, gt=0, description="Methods that are trained and measured side by side.")

    def pairs_at(self, steps: int) -> int:
        """Return how many pairs PPL takes at so many steps: what costs as much as `num_pairs` at the most of them.

        Lengths have heavy tails, so that a mean of few pairs says little.
        """
        return self.num_pairs * max(self.path_steps) // steps

    @field_validator("methods")
    @classmethod
    def _check_methods(cls, methods: tuple[MethodName, ...]) -> tuple[MethodName, ...]:
        if len(set(methods)) != len(methods):
            raise ValueError(f"a method is named twice in {list(methods)}")
        return methods
