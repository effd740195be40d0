"""What the comparison trains and measures (jobs/compare.py)."""

from typing import Final, Literal

from pydantic import Field, field_validator

from diffusegae.config.base import Config
from diffusegae.config.baselines import BaselineName

MethodName = Literal["diffusegae"] | BaselineName
RowName = MethodName | Literal["paper", "gzsnet_ours", "ae_ds_ours"]
OURS: Final = "diffusegae"
METHODS: tuple[RowName, ...] = (
    OURS, "paper", "diffae", "pdae", "gzsnet", "gzsnet_ours", "ae_ds", "ae_ds_ours", "ddim", "stargan", "elegant"
)  # fmt: skip


class CompareConfig(Config):
    """Which rows are compared, on how much, and how many side by side."""

    methods: tuple[RowName, ...] = Field(
        METHODS,
        min_length=1,
        description="Rows of the comparison in the report's order: a method, paper (ours as the paper has it), or a"
        " method with our agreement and rounding (gzsnet_ours, ae_ds_ours).",
    )
    notes: dict[RowName, str] = Field(
        default_factory=dict, description="What a reader of the tables must know of a row, in one sentence."
    )
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
    def _check_methods(cls, methods: tuple[RowName, ...]) -> tuple[RowName, ...]:
        if len(set(methods)) != len(methods):
            raise ValueError(f"a method is named twice in {list(methods)}")
        return methods
