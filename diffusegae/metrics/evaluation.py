"""Judging: editors side by side on the same held-out images, by a judge trained on true images.

`evaluate` is the only entry. It writes `metrics.json`, `pictures/*.png` and the judge's weights below its output
folder, and returns all that the report shows.
"""

import json
import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from diffusegae.config.pipeline import PipelineConfig
from diffusegae.data.lookup import ImageLookup
from diffusegae.editing.editor import Editor
from diffusegae.metrics.batched import BatchedEditor, EncodedImages, Progress
from diffusegae.metrics.counterfactual import RecombinationScores
from diffusegae.metrics.gallery import draw_pictures
from diffusegae.metrics.judging import Judging, prepare_judging
from diffusegae.metrics.pictures import Picture, draw_codes
from diffusegae.metrics.probe import LabelledCodes, ProbeMatrix, measure_full_code, measure_probe_matrix
from diffusegae.metrics.projection import project
from diffusegae.metrics.scores import Examples, ImageScores, planned_steps, score_images
from diffusegae.schema import AttributeSchema

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EditorScores:
    """All that was measured of one editor."""

    probe: ProbeMatrix
    z_sem: Float[np.ndarray, " m"]  # held-out accuracy of each attribute from the whole of z_sem
    images: ImageScores

    def as_metrics(self) -> dict[str, float]:
        """Return flat metrics."""
        z_sem = zip(self.probe.names, self.z_sem.tolist(), strict=True)
        return self.probe.as_metrics() | self.images.as_metrics() | {f"probe/z_sem/{name}": a for name, a in z_sem}


@dataclass(frozen=True)
class Evaluation:
    """What judging found, for the report; `metrics` has all figures flat, by names that MLflow takes."""

    names: tuple[str, ...]
    scores: Mapping[str, EditorScores]
    judge_accuracy: Mapping[str, float]  # on held-out true images
    judge_on_truths: RecombinationScores | None  # on the true images of the recombinations
    silhouettes: Mapping[str, Mapping[str, float]]
    parameters: Mapping[str, int]
    pictures: tuple[Picture, ...]
    notes: tuple[str, ...]
    metrics: Mapping[str, float]


def evaluate(
    editors: Mapping[str, Editor], lookup: ImageLookup, config: PipelineConfig, schema: AttributeSchema, output: Path
) -> Evaluation:
    """Judge editors in order; the last one's pictures are drawn, beside the others' where they can be compared.

    Raises:
        EvaluationError: the data set has too few held-out images that differ in every attribute.
        ClassifierError: its images have a size that the judge cannot take.
    """
    judging = prepare_judging(lookup, config, schema, output)
    planned = len(editors) * planned_steps(judging.plan, config, len(schema.names))
    progress = Progress(planned, config.resources.rates.get("evaluate", 0.0))
    scores: dict[str, EditorScores] = {}
    examples: dict[str, Examples] = {}
    for name, editor in editors.items():
        batched = BatchedEditor(name, editor.with_sampling(config.sampling), config.evaluate.batch_size, progress)
        probe, z_sem, held_out = _probe(batched, judging)
        images, examples[name] = score_images(batched, judging)
        scores[name] = EditorScores(probe, z_sem, images)
    progress.finish()
    logger.info("evaluate: drawing pictures")
    codes_picture, silhouettes = _project(held_out, judging)
    evaluation = Evaluation(
        names=schema.names,
        scores=scores,
        judge_accuracy=dict(zip(schema.names, judging.judge.held_out_accuracy, strict=True)),
        judge_on_truths=judging.score_truths(),
        silhouettes=silhouettes,
        parameters=editor.model.parameter_counts(),
        pictures=(*draw_pictures(editor, judging, examples), codes_picture),
        notes=(*_describe(judging), *judging.notes),
        metrics=_flatten(scores, judging, silhouettes),
    )
    write_evaluation(evaluation, output)
    return evaluation


def write_evaluation(evaluation: Evaluation, output: Path) -> None:
    """Write the figures and the pictures."""
    pictures = output / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    (output / "metrics.json").write_text(json.dumps(evaluation.metrics, indent=1, sort_keys=True))
    for picture in evaluation.pictures:
        (pictures / f"{picture.name}.png").write_bytes(picture.png)


def _probe(editor: BatchedEditor, judging: Judging) -> tuple[ProbeMatrix, Float[np.ndarray, " m"], EncodedImages]:
    """Measure the probe matrix of z_dis and the accuracies from z_sem; return the held-out codes too."""
    schema = judging.schema
    logger.info("evaluate: %s: encoding and probing", editor.name)
    train, test = (editor.encode_pixels(images.images) for images in (judging.train, judging.test))
    labels = judging.train.labels, judging.test.labels
    probe = measure_probe_matrix(
        LabelledCodes(train.z_dis, labels[0]),
        LabelledCodes(test.z_dis, labels[1]),
        schema.slices,
        schema.names,
        schema.cardinalities,
    )
    z_sem = measure_full_code(
        LabelledCodes(train.z_sem, labels[0]), LabelledCodes(test.z_sem, labels[1]), schema.cardinalities
    )
    logger.info("evaluate: %s\n%s", editor.name, probe.as_markdown())
    return probe, z_sem, test


def _project(held_out: EncodedImages, judging: Judging) -> tuple[Picture, dict[str, dict[str, float]]]:
    limit, seed = judging.config.evaluate.num_projected, judging.config.seed
    projections = {
        title: project(codes, judging.test.labels, seed=seed, limit=limit)
        for title, codes in (("z_sem", held_out.z_sem), ("z_dis", held_out.z_dis))
    }
    names = judging.schema.names
    silhouettes = {title: dict(zip(names, found.silhouettes, strict=True)) for title, found in projections.items()}
    return draw_codes(projections, names), silhouettes


def _flatten(
    scores: Mapping[str, EditorScores], judging: Judging, silhouettes: Mapping[str, Mapping[str, float]]
) -> dict[str, float]:
    """Return every figure under a name that MLflow takes; what could not be measured (NaN) is left out."""
    flat = {
        f"eval/{editor}/{name}": value for editor, found in scores.items() for name, value in found.as_metrics().items()
    }
    last = list(scores)[-1]
    probe = scores[last].probe
    for a, name in enumerate(probe.names):
        flat |= {f"eval/{last}/silhouette/{title}/{name}": values[name] for title, values in silhouettes.items()}
        flat[f"eval/judge/{name}/accuracy"] = judging.judge.held_out_accuracy[a]
        flat[f"eval/chance/{name}"], flat[f"eval/majority/{name}"] = float(probe.chance[a]), float(probe.majority[a])
    return {_legal(name): float(value) for name, value in flat.items() if math.isfinite(value)}


def _legal(name: str) -> str:
    return re.sub(r"/{2,}", "/", re.sub(r"[^A-Za-z0-9_\-. /]", "_", name))


def _describe(judging: Judging) -> tuple[str, ...]:
    """Say how the figures were measured."""
    plan, config = judging.plan, judging.config
    m = len(judging.schema.names)
    in_training = ~judging.lookup.labels.held_out[plan.replaced_truths[plan.replaced_truths >= 0]]
    sampling = config.sampling
    notes = [
        f"Probes: multinomial logistic regression on {len(judging.train.labels):,} training images, scored on"
        f" {len(judging.test.labels):,} held-out ones.",
        f"Reconstruction: {len(plan.reconstructed):,} held-out images; inferred x_T with {sampling.sampler} at"
        f" T = {sampling.steps}, random x_T with {config.evaluate.edit_steps} steps. MSE and SSIM are on [0, 1].",
        f"Replacement: {len(plan.sources):,} held-out sources × {m} attributes ="
        f" {len(plan.sources) * m:,} edits, {config.evaluate.edit_steps} steps, x_T inferred from the source; the donor"
        " is held out and differs in every attribute.",
        f"Recombination: {len(plan.givers):,} times {m} held-out images, {config.evaluate.edit_steps} steps, random"
        " x_T from a seed per image, the same for every editor.",
        "True images of edits come from the whole data set"
        + (f"; {in_training.mean():.0%} of those of replacements were training images." if in_training.size else "."),
        "The judge is a small convolutional classifier trained on true training images only. Where the true images of"
        " edits are among those, its reading of them flatters it; its held-out accuracy does not.",
    ]
    if plan.num_missing:
        notes.append(f"{plan.num_missing:,} edits have no true image in the data; MSE, SSIM and LPIPS leave them out.")
    if plan.num_without_donor:
        notes.append(f"{plan.num_without_donor:,} sources had no donor that differs in every attribute; left out.")
    return tuple(notes)
