"""What a sweep is told: the config, the latents, and where it keeps its things."""

from diffusegae import storage
from diffusegae.config.base import Config
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.schema import AttributeSchema


class SweepError(RuntimeError):
    """A sweep that can't start, go on or be confirmed."""


class SweepJob(Config):
    """A sweep on the latents of one pipeline; plain data, so that every trial can be handed it.

    `run_id` is the sweep's own MLflow run, below the pipeline's; it is known once the sweep has its folder.
    """

    config: PipelineConfig
    attributes: AttributeSchema
    latents: str
    folder: str
    tracking_uri: str
    pipeline_run_id: str
    run_id: str = ""

    @property
    def plan(self) -> str:
        """The file by which a folder is known to hold this sweep."""
        return self.path("plan.json")

    @property
    def trials(self) -> str:
        """One record per trial."""
        return self.path("trials")

    @property
    def winner(self) -> str:
        """The winner's config."""
        return self.path("winner.yaml")

    @property
    def samples(self) -> int:
        """GROUPs that a trial trains on."""
        return max(1, round(self.config.tune.length * self.config.refine.num_samples))

    def checkpoints(self, number: int) -> str:
        """Return where a trial keeps its checkpoint."""
        return self.path("checkpoints", f"{number:04d}")

    def path(self, *parts: str) -> str:
        """Return an address below the sweep's folder."""
        return storage.join(self.folder, *parts)
