"""What a training worker is told, as plain data, and what it loads by it."""

from safetensors.torch import load

from diffusegae import storage
from diffusegae.checkpoint import read_tensors
from diffusegae.config.base import Config
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.config.training import StageConfig
from diffusegae.editing.shard_encoder import local_checkpoint
from diffusegae.schema import AttributeSchema
from diffusegae.training.stages import StageInputs, StageName


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


def stage_inputs(job: TrainingJob) -> StageInputs:
    """Load what a stage is built from: the weights of the stage before and the statistics of the latents, if any."""
    weights, statistics = None, {}
    if job.weights:
        with local_checkpoint(job.weights) as folder:
            weights = read_tensors(folder, "ema")
    if job.statistics:
        statistics = load(storage.read_bytes(job.statistics))
    return StageInputs(
        config=job.config,
        schema=job.attributes,
        weights=weights,
        latent_mean=statistics.get("mean"),
        latent_covariance=statistics.get("covariance"),
    )
