"""One config names a pipeline: data, networks, three stages, judging, tracking."""

from pydantic import Field, model_validator

from diffusegae.config.base import Config
from diffusegae.config.baselines import BaselinesConfig
from diffusegae.config.compare import CompareConfig
from diffusegae.config.data import DataConfig
from diffusegae.config.model import DiffusionConfig, ModelConfig, SamplingConfig
from diffusegae.config.training import FinetuneConfig, PretrainConfig, RefineConfig, ResourcesConfig, StageConfig
from diffusegae.config.tuning import TuneConfig, attribute_of

JUDGED_SIDE, JUDGED_STEP = 32, 16  # the judge takes images of this side and, from there, of multiples of the step
MAX_SIDE = 256


class EvaluateConfig(Config):
    """How a model is judged."""

    seed: int = Field(0, ge=0, description="Seed of what is judged and of x_T: the same for every training's seed.")
    num_reconstructions: int = Field(1000, gt=0, description="Held-out images of each stratum that are reconstructed.")
    num_edits: int = Field(1000, gt=0, description="Edits of each stratum that are compared with the truth.")
    num_pictures: int = Field(8, gt=0, description="Rows of each picture.")
    num_projected: int = Field(1000, gt=0, description="Codes in the t-SNE pictures.")
    batch_size: int = Field(64, gt=0, description="Images per network call.")
    piece_images: int = Field(
        256, gt=0, description="Images (or sources of edits) per piece of work; a finished piece is never done again."
    )
    edit_steps: int = Field(100, gt=0, description="Sampling steps of edits and random-x_T reconstructions.")
    classifier_epochs: int = Field(8, gt=0, description="Epochs of the judge, trained on true images.")


class TrackingConfig(Config):
    """Where runs and models are recorded."""

    uri: str = Field("", description="MLflow tracking URI; an SQLite file under `storage` when empty.")
    experiment: str = Field("diffusegae", description="MLflow experiment.")
    model_name: str = Field("diffusegae", description="Name in the model registry.")
    alias: str = Field("champion", description="Alias that the finished model gets.")


class PipelineConfig(Config):
    """Everything a run depends on; with the same name and config, what is done is not done again."""

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9._-]+$", description="Name of the run and of its folder.")
    storage: str = Field("runs", description="Root URI of all outputs: a folder or s3://bucket/prefix.")
    base: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]*$",
        description="Name of a pipeline in the same storage whose images, stage 1 and latents this one shares.",
    )
    images: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]*$",
        description="Name of a pipeline in the same storage whose images alone it shares.",
    )
    seed: int = Field(0, ge=0, description="Seed of orders, noise and initial weights.")
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    diffusion: DiffusionConfig = DiffusionConfig()
    sampling: SamplingConfig = SamplingConfig()
    pretrain: PretrainConfig = PretrainConfig()
    refine: RefineConfig = RefineConfig()
    finetune: FinetuneConfig = FinetuneConfig()
    baselines: BaselinesConfig = BaselinesConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    compare: CompareConfig = CompareConfig()
    tracking: TrackingConfig = TrackingConfig()
    resources: ResourcesConfig = ResourcesConfig()
    tune: TuneConfig = TuneConfig()

    @property
    def image_set(self) -> str:
        """The name of the pipeline whose images this one takes: its own, its base's, or that which `images` names."""
        return self.images or self.base or self.name

    @property
    def lanes(self) -> int:
        """The parts that a set is read in: `data.lanes`, by default one for each worker."""
        return self.data.lanes or self.resources.max_workers

    def settings_of(self, stage: str) -> StageConfig:
        """Return how a stage or a baseline trains, by its name."""
        settings: StageConfig = getattr(self.baselines if stage in BaselinesConfig.model_fields else self, stage)
        return settings

    def share_problem(self, stage: str) -> str:
        """Say that a stage's batch is too small for the lanes or workers, of which each needs a part; "" if not."""
        batch, lanes, workers = self.settings_of(stage).batch_size, self.lanes, self.resources.max_workers
        if batch >= max(lanes, workers):
            return ""
        return (
            f"batch_size is {batch}, less than data.lanes {lanes} or resources.num_workers {workers}, each of which"
            " needs a sample of every batch; change one of them"
        )

    @model_validator(mode="after")
    def _check_size(self) -> "PipelineConfig":
        size, model = self.model.image_size, self.model
        allowed = [side for side in range(JUDGED_SIDE, MAX_SIDE + 1, JUDGED_STEP) if model.takes(side)]
        if size not in allowed:
            near = sorted(sorted(allowed, key=lambda side: abs(side - size))[:3])
            raise ValueError(
                f"model.image_size is {size}; with these model.pixel_unshuffle, model.unet and model.encoder it can be"
                f" {', '.join(map(str, near)) or 'nothing'}"
            )
        return self

    @model_validator(mode="after")
    def _check_widths(self) -> "PipelineConfig":
        widths = {name: spec.width for name, spec in self.data.attributes.items()}
        if sum(widths.values()) != self.model.z_dis_width:
            raise ValueError(
                f"the widths of data.attributes {widths} add up to {sum(widths.values())}, but model.z_dis_width is"
                f" {self.model.z_dis_width}; set model.z_dis_width to {sum(widths.values())}, or other widths"
            )
        if len(widths) <= max(self.refine.shared, self.finetune.shared, self.baselines.gzsnet.shared):
            raise ValueError(f"shared must be less than the {len(widths)} attributes of data.attributes")
        return self

    @model_validator(mode="after")
    def _check_shares(self) -> "PipelineConfig":
        for name in ("pretrain", "refine", "finetune"):
            if problem := self.share_problem(name):
                raise ValueError(f"{name}.{problem}")
        return self

    @model_validator(mode="after")
    def _check_canvas(self) -> "PipelineConfig":
        for name, weight in (("pretrain", self.pretrain.lambda_canvas), ("finetune", self.finetune.lambda_canvas)):
            if weight > 0 and not self.model.unet.canvas:
                raise ValueError(
                    f"{name}.lambda_canvas is {weight}, but model.unet.canvas is false; change one of them"
                )
        return self

    @model_validator(mode="after")
    def _check_space(self) -> "PipelineConfig":
        for key in self.tune.space:
            name = attribute_of(key)
            if name not in (None, "*", *self.data.attributes):
                raise ValueError(
                    f"tune.space names the attribute {name!r} in {key!r}; allowed: {', '.join(self.data.attributes)},"
                    " or * for all"
                )
        return self
