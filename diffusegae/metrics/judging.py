"""What every editor is judged on and by: the plan, the true images, the judge trained on them, and LPIPS."""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Integer

from diffusegae.config.model import SamplingConfig
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.data.lookup import MISSING, ImageLookup
from diffusegae.editing.method import Images
from diffusegae.editing.network import device_at_hand
from diffusegae.images import to_tensor
from diffusegae.metrics.classifier import AttributeClassifier, ClassifierSettings, LabelledImages, train_classifier
from diffusegae.metrics.counterfactual import Perceptual, RecombinationScores, score_recombinations
from diffusegae.metrics.features import LpipsDistance, PerceptualWeightsMissing
from diffusegae.metrics.plan import EvaluationPlan, Rows, plan_evaluation
from diffusegae.schema import AttributeSchema

logger = logging.getLogger(__name__)
SEED_STRIDE = 0x9E3779B1  # odd, so that no two seeds of a config give a row the same x_T


@dataclass(frozen=True)
class Judging:
    """The same for all editors, so that their figures can stand side by side."""

    lookup: ImageLookup
    schema: AttributeSchema
    config: PipelineConfig
    plan: EvaluationPlan
    train: LabelledImages
    test: LabelledImages
    judge: AttributeClassifier
    perceptual: Perceptual | None
    notes: tuple[str, ...]  # what could not be measured, and why

    @property
    def edit_sampling(self) -> SamplingConfig:
        """Sampling of edits and of random x_T."""
        return self.config.sampling.model_copy(update={"steps": self.config.evaluate.edit_steps})

    def labels(self, rows: Rows) -> Integer[np.ndarray, "rows m"]:
        """Return the labels of rows."""
        return labels_of(self.lookup, rows, self.schema)

    def images(self, rows: Rows) -> Float[torch.Tensor, "rows 3 size size"]:
        """Return stored images, NaN where there is none."""
        images = to_tensor(self.lookup.take(rows.clip(min=0)))
        images[torch.from_numpy(rows == MISSING)] = torch.nan
        return images

    def seeds(self, rows: Rows) -> list[int]:
        """Return the seed of each row's random x_T, other ones for another seed of the config.

        They have 32 bits: torch's generator on a CPU ignores those above.
        """
        return [(int(row) + SEED_STRIDE * self.config.seed) % 2**32 for row in rows]

    def score(self, images: Images, truth: Images, labels: Integer[np.ndarray, "n m"]) -> RecombinationScores:
        """Score images whose every attribute should be that of the truth."""
        wanted = torch.from_numpy(labels).long()
        return score_recombinations(images, truth, wanted, self.judge, self.schema.names, self.perceptual)

    def score_truths(self) -> RecombinationScores | None:
        """Let the judge read the true images of the recombinations: what an editor could reach; None without any."""
        found = self.plan.recombined_truths != MISSING
        if not found.any():
            return None
        truth = self.images(self.plan.recombined_truths[found])
        return self.score(truth, truth, self.plan.recombined_labels[found])


def prepare_judging(lookup: ImageLookup, config: PipelineConfig, schema: AttributeSchema, cache: Path) -> Judging:
    """Plan what is judged, load the true images, and train the judge or take it from the cache folder.

    Judge and LPIPS are on the device at hand; what they are shown may be elsewhere.
    """
    plan = plan_evaluation(lookup, schema, config.evaluate, config.seed)
    train, test = (
        LabelledImages(lookup.take(rows), labels_of(lookup, rows, schema)) for rows in (plan.train, plan.test)
    )
    judge = _load_judge(train, test, schema, config, cache).to(device_at_hand())
    perceptual, notes = _load_perceptual()
    return Judging(lookup, schema, config, plan, train, test, judge, perceptual, notes)


def labels_of(lookup: ImageLookup, rows: Rows, schema: AttributeSchema) -> Integer[np.ndarray, "rows m"]:
    """Return the labels of rows in the order of the attributes."""
    return np.stack([lookup.labels.columns[column][rows] for column in schema.columns], axis=1)


def _load_judge(
    train: LabelledImages, test: LabelledImages, schema: AttributeSchema, config: PipelineConfig, cache: Path
) -> AttributeClassifier:
    settings = ClassifierSettings(epochs=config.evaluate.classifier_epochs)
    digest = hashlib.sha256(f"{settings} {config.seed} {schema.fingerprint()}".encode())
    digest.update(train.images.tobytes())
    digest.update(train.labels.tobytes())
    path = cache / f"judge-{digest.hexdigest()[:16]}.safetensors"
    if path.is_file():
        return AttributeClassifier.from_bytes(path.read_bytes())
    logger.info("evaluate: training the judge on %s true images", f"{len(train.images):,}")
    judge = train_classifier(train, test, schema.cardinalities, seed=config.seed, settings=settings)
    cache.mkdir(parents=True, exist_ok=True)
    path.write_bytes(judge.to_bytes())
    return judge


def _load_perceptual() -> tuple[Perceptual | None, tuple[str, ...]]:
    try:
        return LpipsDistance.from_package("alex").to(device_at_hand()), ()
    except PerceptualWeightsMissing as missing:
        logger.warning("evaluate: %s", missing)
        return None, (str(missing),)
