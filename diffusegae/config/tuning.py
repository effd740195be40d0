"""How a sweep over the GAE's settings is run: its length, its resources, its score and its search space."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from diffusegae.config.base import Config
from diffusegae.config.model import GaeConfig
from diffusegae.config.training import RefineConfig

# Settings of stage 2 that do not change what it learns, or that a sweep sets itself.
_NOT_SEARCHED = {
    "num_samples", "accumulate", "precision", "channels_last", "compile", "report_every_samples",
    "checkpoint_every_samples", "checkpoint_every_minutes", "grid_every_samples", "best_by", "hand_on",
}  # fmt: skip
EVERY_WIDTH = "data.attributes.*.width"
_WIDTH_PARTS = ("data.attributes.", ".width")


class Dimension(Config):
    """What one setting may become in a sweep."""

    kind: Literal["loguniform", "uniform", "choice", "fixed"] = Field(
        description="How values are drawn: from a range, evenly in the logarithm or in the value; from a list; or not"
        " at all, so that the setting stays as the config has it (fixed)."
    )
    low: float | None = Field(None, description="Least value of a range.")
    high: float | None = Field(None, description="Largest value of a range.")
    values: tuple[JsonValue, ...] = Field((), description="The list of a choice.")
    relative: bool = Field(
        False, description="low, high and values are multiples of what the config has (of each number of a list)."
    )

    @model_validator(mode="after")
    def _check_bounds(self) -> "Dimension":
        has_range = self.low is not None or self.high is not None
        if self.kind == "fixed" and (has_range or self.values):
            raise ValueError("a fixed dimension takes neither low and high nor values; leave them out")
        if self.kind == "choice" and (has_range or not self.values):
            raise ValueError("a choice takes a list of values, and neither low nor high")
        if self.kind == "choice" and self.relative and not all(isinstance(v, int | float) for v in self.values):
            raise ValueError(f"the values of a relative choice are numbers, got {list(self.values)}")
        if self.kind in ("loguniform", "uniform"):
            if self.values or self.low is None or self.high is None or not self.low < self.high:
                raise ValueError(f"a {self.kind} range takes low < high and no values, got {self.low} and {self.high}")
            if self.kind == "loguniform" and self.low <= 0:
                raise ValueError(f"a loguniform range takes low > 0, got {self.low}")
        return self


def _factor(low: float, high: float) -> Dimension:
    return Dimension(kind="loguniform", low=low, high=high, relative=True)


DEFAULT_SPACE: dict[str, Dimension] = {
    "refine.lambda_ss": _factor(0.25, 4),
    "refine.lambda_ur": _factor(0.25, 4),
    "refine.learning_rate": _factor(0.25, 2),
    "refine.batch_size": Dimension(kind="choice", values=(0.5, 1, 2), relative=True),
    "model.gae.widths": Dimension(kind="choice", values=(0.5, 1, 2), relative=True),
    "model.gae.num_bottlenecks": Dimension(kind="choice", values=(0.5, 1, 1.5), relative=True),
    "model.gae.normalise_parts": Dimension(kind="choice", values=(False, True)),
    EVERY_WIDTH: _factor(0.5, 2),
}


def searchable_keys() -> list[str]:
    """Return every key that a search space may name; `*` stands for an attribute."""
    refine = [f"refine.{name}" for name in RefineConfig.model_fields if name not in _NOT_SEARCHED]
    gae = [f"model.gae.{name}" for name in GaeConfig.model_fields]
    return [*refine, *gae, "model.z_dis_width", EVERY_WIDTH]


def attribute_of(key: str) -> str | None:
    """Return the attribute (or `*`) whose width a key means, None if it means another setting."""
    before, after = _WIDTH_PARTS
    return key[len(before) : -len(after)] if key.startswith(before) and key.endswith(after) else None


class ScoreWeights(Config):
    """What a trial is scored by: own * accuracy - leak * leaks - error * unexplained variance (tuning/score.py)."""

    own: float = Field(1.0, ge=0, description="Weight of how well each part of z_dis tells its own attribute.")
    leak: float = Field(1.0, ge=0, description="Weight of what the parts tell of other attributes.")
    error: float = Field(0.5, ge=0, description="Weight of the share of z_sem's variance that the GAE loses.")


class TuneConfig(Config):
    """A sweep over stage 2 on stored latents. Trial 0 is the config itself, so that there is a figure to beat."""

    num_trials: int = Field(12, gt=0, description="Trials in all, the config itself among them.")
    length: float = Field(
        0.15, gt=0, le=1, description="Share of refine.num_samples that a trial trains on if it is not stopped early."
    )
    num_reports: int = Field(4, gt=0, description="How often a trial is scored, at even distances, the end included.")
    grace_reports: int = Field(1, gt=0, description="ASHA: reports before a trial can be stopped.")
    reduction_factor: float = Field(2, gt=1, description="ASHA: one in so many trials passes a rung.")
    concurrent: int = Field(2, gt=0, description="Trials side by side at most; fewer if resources are taken.")
    cpus_per_trial: float = Field(1, gt=0, description="CPUs of each trial; also its torch threads.")
    gpus_per_trial: float = Field(0, ge=0, description="GPUs of each trial, 0.25 puts four on one; 0 uses the CPU.")
    max_failures: int = Field(2, ge=0, description="Deaths of its process that a trial survives.")
    validation_percent: int = Field(15, gt=0, lt=100, description="Share of the training rows that only score trials.")
    max_rows: int = Field(200_000, gt=0, description="Rows that are held in memory, drawn from the training rows.")
    probe_rows: int = Field(10_000, gt=0, description="Fitted rows that the probes of the score learn from.")
    confirm_seeds: int = Field(3, gt=1, description="Seeds with which --confirm trains the config and the winner.")
    seed: int = Field(0, ge=0, description="Seed of the split and of the search.")
    weights: ScoreWeights = ScoreWeights()
    space: dict[str, Dimension] = Field(
        DEFAULT_SPACE,
        validate_default=True,
        description="Config key to what it may become; a key that is named replaces the default of that key alone.",
    )

    @property
    def per_trial(self) -> dict[str, float]:
        """The resources of each trial, as Ray names them."""
        return {"CPU": self.cpus_per_trial, "GPU": self.gpus_per_trial}

    @field_validator("space", mode="before")
    @classmethod
    def _add_defaults(cls, space: Any) -> Any:
        if not isinstance(space, Mapping):
            return space
        allowed = searchable_keys()
        for key in space:
            if key not in allowed and attribute_of(key) is None:
                raise ValueError(
                    f"unknown key {key!r}; allowed: {', '.join(allowed)}. A key is one string, so on the command line"
                    " write --set 'tune.space={refine.lambda_ss: {kind: fixed}}'"
                )
        return {**DEFAULT_SPACE, **space}

    @model_validator(mode="after")
    def _check_reports(self) -> "TuneConfig":
        if self.grace_reports > self.num_reports:
            raise ValueError(
                f"grace_reports is {self.grace_reports}, but a trial has num_reports={self.num_reports}; change one"
            )
        return self
