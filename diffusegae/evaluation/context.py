"""What every method is judged by: the plan, the true images, a judge that has seen none of the truths, and LPIPS.

It is made once and kept in a folder; whoever measures a piece loads it from there.
"""

import hashlib
import logging
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer, UInt8

from diffusegae import storage
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.data.lookup import ImageLookup
from diffusegae.data.renderer import open_renderer
from diffusegae.data.shards import read_manifest, schema_of
from diffusegae.editing.method import Images
from diffusegae.editing.network import device_at_hand
from diffusegae.evaluation.plan import EvaluationPlan, Rows, labels_of, plan_evaluation, recombine_labels
from diffusegae.evaluation.truths import Truths
from diffusegae.metrics.classifier import AttributeClassifier, ClassifierSettings, LabelledImages, train_classifier
from diffusegae.metrics.edits import Perceptual, thumbnails
from diffusegae.metrics.features import LpipsDistance, PerceptualWeightsMissing, VggFeatures
from diffusegae.pixels import to_tensor
from diffusegae.schema import AttributeSchema

logger = logging.getLogger(__name__)
PLAN, JUDGE = "plan.npz", "judge.safetensors"
MEASURES_VERSION = 3  # raised when what is measured changes, so that it is measured again
JUDGE_DRAWS = 6  # of camera and light, that the judge learns from beside those of the stored pictures
SEED_STRIDE = 0x9E3779B1  # odd, so that no two seeds of a config give a row the same x_T


@dataclass(frozen=True)
class Context:
    """The same for all methods and seeds, so that their figures can stand side by side, picture by picture."""

    config: PipelineConfig
    schema: AttributeSchema
    lookup: ImageLookup  # of the plan's rows alone
    plan: EvaluationPlan
    truths: Truths
    known: tuple[Bool[np.ndarray, "_"], ...]  # by attribute: which values that go by name a training image shows
    judge: AttributeClassifier
    perceptual: Perceptual | None

    def labels(self, rows: Rows) -> Integer[np.ndarray, "rows 2 m"]:
        """Return the label and the GROUP label of every attribute of rows."""
        return labels_of(self.lookup, self.schema, rows)

    def wanted(self, labels: Integer[np.ndarray, "n 2 m"]) -> Integer[np.ndarray, "n m"]:
        """Return what the judge should read where the labels are shown: places among the values that go by name."""
        return self.schema.places(labels[:, 0])

    def images(self, rows: Rows) -> Float[torch.Tensor, "rows 3 size size"]:
        """Return stored images in [-1, 1]."""
        return to_tensor(self.lookup.take(rows))

    def seeds(self, rows: Rows) -> list[int]:
        """Return the seed of each row's random x_T; of 32 bits: torch's generator on a CPU ignores those above."""
        return [(int(row) + SEED_STRIDE * self.config.evaluate.seed) % 2**32 for row in rows]

    @property
    def device(self) -> torch.device:
        """Where the judge and other networks of metrics are."""
        return self.judge.head.weight.device

    def truth_pixels(self, edits: slice | Rows, again: int = 0) -> UInt8[np.ndarray, "edits size size 3"]:
        """Return the true pictures of edits, grey where there is none; `again` counts other draws of rendered ones."""
        plan, every = self.plan, np.arange(len(self.plan.edit_truths))
        draws = 1 + every + again * len(every)  # draw 0 is that of the stored pictures
        return self.truths.pixels(plan.edit_labels[edits], plan.edit_truths[edits], draws[edits])

    def truth(self, edits: slice | Rows, again: int = 0) -> Float[torch.Tensor, "edits 3 size size"]:
        """Return the same in [-1, 1], NaN where there is none."""
        kinds = self.truths.kinds(self.plan.edit_truths[edits])
        return self.truths.images(self.truth_pixels(edits, again), kinds)

    @property
    def generated_rows(self) -> Rows:
        """The held-out images of seen pairs that Fréchet distances are measured on."""
        return self.plan.seen[: self.config.compare.num_generated]

    @property
    def generated_givers(self) -> Integer[np.ndarray, "generated m"]:
        """As many recombinations of seen pairs for the same, other than those whose every picture is judged."""
        seen = self.generated_rows
        generator = np.random.default_rng([self.config.evaluate.seed, len(seen)])
        return np.asarray(seen[generator.integers(len(seen), size=(len(seen), len(self.schema.names)))])

    def features(self, images: Images) -> Float[np.ndarray, "n dim"]:
        """Return VGG16's features of images, for a Fréchet distance; PerceptualWeightsMissing without its weights."""
        batches = images.split(self.config.evaluate.batch_size)
        return torch.cat([self._features(batch.to(self.device)).cpu() for batch in batches]).numpy()

    @cached_property
    def _features(self) -> VggFeatures:
        return VggFeatures.from_package().to(self.device)

    @cached_property
    def path_distance(self) -> LpipsDistance:
        """LPIPS of VGG16, by which paths are measured; PerceptualWeightsMissing without its weights."""
        return LpipsDistance.from_package("vgg16").to(self.device)

    @cached_property
    def training_pictures(self) -> Float[torch.Tensor, "train 3 side side"]:
        """Thumbnails of the plan's training images in [-1, 1], to hold results against."""
        chunks = np.array_split(self.plan.train, 1 + len(self.plan.train) // 1024)
        return torch.cat([thumbnails(self.images(rows)) for rows in chunks])


def context_digest(config: PipelineConfig, images: str) -> str:
    """Return a hash of all that decides a context: the data set and how it is judged."""
    manifest = read_manifest(images)
    columns = [(name, spec.column, spec.group_column) for name, spec in config.data.attributes.items()]
    parts: tuple[object, ...]
    parts = (MEASURES_VERSION, manifest.model_dump_json(), config.evaluate.model_dump_json(), columns)
    named = [attribute.named for attribute in schema_of(manifest, config.data).attributes]
    parts += (named,) if any(named) else ()
    return hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()[:16]


def context_folder(config: PipelineConfig, images: str) -> str:
    """Return where the context of a data set is kept: beside the images, for all that is judged on them."""
    return storage.join(images, "judging", context_digest(config, images))


def keep_plan(config: PipelineConfig, images: str) -> None:
    """Plan what is judged of a data set, and keep the plan; what is there already stays.

    Raises:
        EvaluationError: the data set has too few held-out images that differ in every attribute.
    """
    path = storage.join(context_folder(config, images), PLAN)
    if storage.exists(path):
        return
    manifest = read_manifest(images)
    schema = schema_of(manifest, config.data)
    plan = plan_evaluation(ImageLookup(images, manifest, schema=schema), schema, config.evaluate)
    storage.write_bytes(path, plan.to_bytes())


def build_context(
    lookup: ImageLookup, config: PipelineConfig, schema: AttributeSchema, plan: EvaluationPlan | None = None
) -> Context:
    """Plan what is judged, if it is not planned, and train the judge.

    Raises:
        EvaluationError, ClassifierError: as `plan_evaluation` and `train_classifier`.
    """
    plan, seed = plan or plan_evaluation(lookup, schema, config.evaluate), config.evaluate.seed
    truths = Truths(lookup.restricted(plan.labels), schema, open_renderer(config.data, lookup.manifest.image_size))
    train = _judges_images(truths, plan, seed)
    logger.info("evaluate: training the judge on %s true images", f"{len(train.images):,}")
    settings, device = ClassifierSettings(epochs=config.evaluate.classifier_epochs), device_at_hand()
    judge = train_classifier(train, schema.cardinalities, seed=seed, settings=settings, device=device)
    return _assemble(truths, plan, judge, config)


def _judges_images(truths: Truths, plan: EvaluationPlan, seed: int) -> LabelledImages:
    """Return what the judge learns from: the training images and, where they can be rendered, as many others.

    These show values of training images in any combination, in JUDGE_DRAWS of their own: an instrument has to read
    pairs which models have not seen. It has seen no value held out, nor any picture that edits are held against.
    """
    images, labels = truths.lookup.take(plan.train), labels_of(truths.lookup, truths.schema, plan.train)
    if truths.renderer is None:
        return LabelledImages(images, truths.schema.places(labels[:, 0]))
    generator = np.random.default_rng(seed)
    mixed = recombine_labels(labels[generator.integers(len(labels), size=(len(labels), labels.shape[-1]))])
    draws = 1 + 2 * len(plan.edit_truths) + np.arange(len(mixed)) % JUDGE_DRAWS  # edits have those before
    rendered = truths.pixels(mixed, plan.train, draws)
    shown = truths.schema.places(np.concatenate([labels, mixed])[:, 0])
    return LabelledImages(np.concatenate([images, rendered]), shown)


def prepare_context(config: PipelineConfig, images: str) -> None:
    """Build a context and keep it; a plan that is there already stays. Raises as `build_context`."""
    folder = context_folder(config, images)
    keep_plan(config, images)
    manifest = read_manifest(images)
    schema = schema_of(manifest, config.data)
    context = build_context(ImageLookup(images, manifest, schema=schema), config, schema, read_plan(folder))
    storage.write_bytes(storage.join(folder, JUDGE), context.judge.to_bytes())  # last: with it the context is whole


def load_context(config: PipelineConfig, images: str, folder: str) -> Context:
    """Load what `prepare_context` kept."""
    manifest = read_manifest(images)
    judge = AttributeClassifier.from_bytes(storage.read_bytes(storage.join(folder, JUDGE)))
    plan, schema = read_plan(folder), schema_of(manifest, config.data)
    lookup, renderer = ImageLookup(images, manifest, plan.labels), open_renderer(config.data, manifest.image_size)
    return _assemble(Truths(lookup, schema, renderer), plan, judge, config)


def read_plan(folder: str) -> EvaluationPlan:
    """Read the plan of a context."""
    return EvaluationPlan.from_bytes(storage.read_bytes(storage.join(folder, PLAN)))


def _assemble(truths: Truths, plan: EvaluationPlan, judge: AttributeClassifier, config: PipelineConfig) -> Context:
    """Put a context together, judge and LPIPS on the device at hand."""
    return Context(
        config=config,
        schema=truths.schema,
        lookup=truths.lookup,
        plan=plan,
        truths=truths,
        known=tuple(
            truths.lookup.manifest.known(attribute.column)[list(attribute.named) or slice(None)]
            for attribute in truths.schema.attributes
        ),
        judge=judge.to(device_at_hand()),
        perceptual=_load_perceptual(),
    )


def _load_perceptual() -> Perceptual | None:
    try:
        return LpipsDistance.from_package("alex").to(device_at_hand())
    except PerceptualWeightsMissing as missing:
        logger.warning("evaluate: %s", missing)
        return None
