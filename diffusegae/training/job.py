"""What a training worker is told, as plain data."""

from diffusegae.config.base import Config
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.config.training import StageConfig
from diffusegae.schema import AttributeSchema
from diffusegae.training.stages import StageName


class TrainingJob(Config):
    """All that a worker is told, as JSON: what to train, on which rows, from which weights, kept and tracked where.

    `folder` is the stage's, in which its checkpoints are.
    """

    stage: StageName
    config: PipelineConfig
    attributes: AttributeSchema
    rows: str
    folder: str = ""
    weights: str = ""
    statistics: str = ""
    tracking_uri: str = ""
    run_id: str = ""

    @property
    def settings(self) -> StageConfig:
        """How the stage trains."""
        return self.config.settings_of(self.stage)
