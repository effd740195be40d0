"""Where a pipeline keeps its things: an address for each, below its storage."""

from dataclasses import dataclass

from diffusegae import storage
from diffusegae.config.baselines import BaselinesConfig
from diffusegae.config.pipeline import PipelineConfig

SUMMARY = "summary.txt"  # the closing table of an evaluation, beside its report and in its run


@dataclass(frozen=True)
class Layout:
    """Where a pipeline keeps its things: URIs below `<storage>/<name>`; what it shares, below `<storage>/<base>`."""

    root: str
    base: str
    images: str  # image shards and their manifest

    @classmethod
    def of(cls, config: PipelineConfig) -> "Layout":
        """Return the layout of a config's storage and names."""
        root = storage.resolve(config.storage)
        base = config.base or config.name
        images = storage.join(root, config.image_set, "images")
        return cls(storage.join(root, config.name), storage.join(root, base), images)

    @property
    def latents(self) -> str:
        """Latent shards, their statistics and manifest."""
        return storage.join(self.base, "latents")

    @property
    def tuning(self) -> str:
        """Trials, tables and winner of a sweep."""
        return storage.join(self.root, "tune")

    def stages(self, stage: str) -> str:
        """Return the folder in which a stage or a baseline has its own."""
        if stage in BaselinesConfig.model_fields:
            return storage.join(self.root, "baselines")
        return storage.join(self.base if stage == "pretrain" else self.root, "stages")

    def profile(self, stage: str) -> str:
        """Return where the trace of a stage's steps is put."""
        return storage.join(self.root, "profile", f"{stage}.json.gz")

    @property
    def evaluation(self) -> str:
        """Report, figures and pictures."""
        return storage.join(self.root, "evaluation")
