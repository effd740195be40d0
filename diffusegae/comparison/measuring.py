"""Measuring one method, in the same way as every other: codes, reconstruction, edits, recombination, paths, pictures.

Inferred x_T takes the config's own sampling; random x_T, edits and interpolations take `evaluate.edit_steps`. What a
method cannot do (UnsupportedError), or what lacks its weights, is absent from the figures.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Integer, Shaped, UInt8
from torch import Tensor

from diffusegae.comparison.batches import BatchedMethod, SampledMethod, steps_of
from diffusegae.comparison.codes import measure_codes
from diffusegae.comparison.measured import Measured as Measured
from diffusegae.comparison.paths import CodePath, measure_paths, path_work
from diffusegae.comparison.truth import TrueImages, read_true_images
from diffusegae.editing.method import Images, Method, UnsupportedError
from diffusegae.images import to_pixels
from diffusegae.metrics.batched import Progress
from diffusegae.metrics.counterfactual import RecombinationScores, score_replacements
from diffusegae.metrics.gallery import take_pixels
from diffusegae.metrics.judging import Judging
from diffusegae.metrics.pictures import FRAMES
from diffusegae.metrics.plan import Rows, draw_givers
from diffusegae.metrics.projection import Projection
from diffusegae.metrics.scores import CHUNK, pool_scores
from diffusegae.metrics.smoothness import PathGenerator

logger = logging.getLogger(__name__)

Givers = Integer[np.ndarray, "recombinations m"]


@dataclass(frozen=True)
class Found:
    """What one of the measurements found."""

    metrics: dict[str, float] = field(default_factory=dict)
    examples: dict[str, Shaped[np.ndarray, "..."]] = field(default_factory=dict)
    codes: Projection | None = None


@dataclass(frozen=True)
class Bench:
    """A method set up for measuring: under the config's sampling, and under the quicker one of edits."""

    full: BatchedMethod
    quick: BatchedMethod
    judging: Judging
    truth: TrueImages | None

    @property
    def shown(self) -> int:
        """Rows of each picture."""
        return self.judging.config.evaluate.num_pictures


@dataclass(frozen=True)
class Measurement:
    """One thing to measure, and how many denoising steps, images times steps, it takes."""

    what: str
    work: int
    run: Callable[[Bench], Found]


@torch.no_grad()
def measure_method(
    name: str, method: Method, path: PathGenerator | None, judging: Judging, *, measures_codes: bool = True
) -> Measured:
    """Measure a method on the plan's images.

    `path` runs through the method's codes, for PPL, and must encode images, too. `measures_codes` is false for codes
    that say nothing of attributes (DDIM's x_T, which also costs a whole inversion per image) or that are the labels
    themselves (StarGAN's).
    """
    if not isinstance(path, CodePath | None):
        raise TypeError(f"{type(path).__name__} has no encode(images); a path is measured between codes of images")
    config = judging.config
    measurements = _plan(method, path, judging, measures_codes)
    progress = Progress(sum(each.work for each in measurements), job=f"compare: {name}")
    full, quick = (
        BatchedMethod(method, sampling, config.evaluate.batch_size, progress)
        for sampling in (config.sampling, judging.edit_sampling)
    )
    bench = Bench(full, quick, judging, read_true_images(judging, _generated_rows(judging)))
    found = [_references(judging)]
    for each in measurements:
        try:
            found.append(each.run(bench))
        except UnsupportedError as unsupported:
            logger.info("compare: %s: %s not measured: %s", name, each.what, unsupported)
            progress.planned = max(1, progress.planned - each.work)
    progress.finish()
    metrics = {metric: value for piece in found for metric, value in piece.metrics.items() if math.isfinite(value)}
    examples = {key: array for piece in found for key, array in piece.examples.items()}
    codes = next((piece.codes for piece in found if piece.codes is not None), None)
    return Measured(metrics, examples, codes)


def _plan(method: Method, path: CodePath | None, judging: Judging, measures_codes: bool) -> list[Measurement]:
    config, plan = judging.config, judging.plan
    full, quick = (steps_of(method, sampling) for sampling in (config.sampling, judging.edit_sampling))
    m, few = len(judging.schema.names), _few(judging)
    generated = max(len(plan.reconstructed), len(_generated_rows(judging)))
    edits, recombined = m * len(plan.sources), max(len(plan.givers), config.compare.num_generated)
    frames = quick * (2 + FRAMES)
    measurements = [
        Measurement("reconstruction", 2 * full * len(plan.reconstructed), _reconstruct_inferred),
        Measurement("reconstruction from random x_T", quick * generated, _reconstruct_random),
        Measurement("replacement", 2 * quick * edits, _replace),
        Measurement("recombination", quick * recombined, _recombine),
        Measurement("interpolation", few * frames, _interpolate),
        Measurement("interpolation of one attribute", m * few * frames, _interpolate_single),
    ]
    if measures_codes:
        work = len(plan.train) + len(plan.test)
        measurements.insert(0, Measurement("codes", work, _measure_codes))
    if path is not None:
        is_sampled = isinstance(method, SampledMethod)
        measurements.append(
            Measurement("paths", path_work(judging, is_sampled), lambda bench: _measure_paths(bench, path, is_sampled))
        )
    return measurements


def _references(judging: Judging) -> Found:
    """Return what figures are held against, and the given images of the pictures: the same for every method."""
    schema, plan, truths = judging.schema, judging.plan, judging.score_truths()
    metrics = {}
    for a, name in enumerate(schema.names):
        labels = judging.train.labels[:, a]
        most_frequent = np.bincount(labels, minlength=schema.cardinalities[a]).argmax()
        metrics[f"chance/{name}"] = 1.0 / schema.cardinalities[a]
        metrics[f"majority/{name}"] = float(np.mean(judging.test.labels[:, a] == most_frequent))
        metrics[f"judge/accuracy/{name}"] = judging.judge.held_out_accuracy[a]
    if truths is not None:
        metrics |= _named(truths, "judge/truths")
    shown = judging.config.evaluate.num_pictures
    given = {
        "originals": plan.reconstructed,
        "sources": plan.sources,
        "donors": plan.donors,
        "replaced_truths": plan.replaced_truths,
        "givers": plan.givers,
        "recombined_truths": plan.recombined_truths,
    }
    return Found(metrics, {key: take_pixels(judging, rows[:shown]) for key, rows in given.items()})


def _measure_codes(bench: Bench) -> Found:
    metrics, projection = measure_codes(bench.full, bench.judging)
    return Found(metrics, codes=projection)


def _measure_paths(bench: Bench, path: CodePath, is_sampled: bool) -> Found:
    metrics, lengths = measure_paths(path, bench.judging, bench.quick.progress, is_sampled)
    return Found(metrics, dict(lengths))


def _reconstruct_inferred(bench: Bench) -> Found:
    scores, shown, _ = _reconstruct(bench, lambda images, rows: bench.full.reconstruct(images), 0)
    return Found(_named(scores, "reconstruct/inferred"), {"inferred": shown})


def _reconstruct_random(bench: Bench) -> Found:
    judging = bench.judging
    scores, shown, features = _reconstruct(
        bench,
        lambda images, rows: bench.quick.reconstruct(images, judging.seeds(rows)),
        len(_generated_rows(judging)),
    )
    metrics = _named(scores, "reconstruct/random") | _distance(bench, features, "reconstruct/random")
    return Found(metrics, {"random": shown})


def _reconstruct(
    bench: Bench, reconstruct: Callable[[Images, Rows], Images], num_generated: int
) -> tuple[RecombinationScores, UInt8[np.ndarray, "shown size size 3"], list[Tensor]]:
    """Bring images back; score those that the plan names, and take the features of the first `num_generated`."""
    judging, num_scored = bench.judging, len(bench.judging.plan.reconstructed)
    scores, shown, features = [], [], []
    for place, rows in _chunks(_held_out(judging)[: max(num_scored, num_generated)]):
        images = judging.images(rows)
        back = reconstruct(images, rows)
        scored = max(0, num_scored - place)
        if scored:
            scores.append(judging.score(back[:scored], images[:scored], judging.labels(rows[:scored])))
            shown.append(to_pixels(back[: min(scored, max(0, bench.shown - place))]))
        if bench.truth is not None and num_generated > place:
            features.append(bench.truth.features(back[: num_generated - place]))
    return pool_scores(scores), np.concatenate(shown), features


def _replace(bench: Bench) -> Found:
    judging, plan, names = bench.judging, bench.judging.plan, bench.judging.schema.names
    sources, donors = judging.images(plan.sources), judging.images(plan.donors)
    edited = [bench.quick.edit(sources, {name: donors}) for name in names]
    scores = score_replacements(
        torch.cat(edited),
        judging.images(plan.replaced_truths.T.reshape(-1)),
        torch.from_numpy(plan.replaced_labels.swapaxes(0, 1).reshape(-1, len(names))).long(),
        torch.arange(len(names)).repeat_interleave(len(sources)),
        judging.judge,
        names,
        judging.perceptual,
    )
    pictures = np.stack([to_pixels(images[: bench.shown]) for images in edited], axis=1)
    return Found(scores.as_metrics(), {"replaced": pictures})


def _recombine(bench: Bench) -> Found:
    """Recombine; score what the plan names, and take the features of as many as a Fréchet distance wants."""
    judging, plan = bench.judging, bench.judging.plan
    num_generated, num_scored = judging.config.compare.num_generated, len(plan.givers)
    givers, kept, features = _draw_enough_givers(judging, num_generated), [], []
    for place, rows in _chunks(givers):
        donors = {name: judging.images(rows[:, j]) for j, name in enumerate(judging.schema.names)}
        images = bench.quick.recombine(donors, judging.seeds(rows[:, 0]))
        kept.append(images[: max(0, num_scored - place)])
        if bench.truth is not None and num_generated > place:
            features.append(bench.truth.features(images[: num_generated - place]))
    recombined = torch.cat(kept)
    scores = judging.score(recombined, judging.images(plan.recombined_truths), plan.recombined_labels)
    metrics = scores.as_metrics() | _distance(bench, features, "recombine")
    return Found(metrics, {"recombined": to_pixels(recombined[: bench.shown])})


def _interpolate(bench: Bench) -> Found:
    return Found(examples={"interpolated": _paths(bench, bench.judging.schema.names)})


def _interpolate_single(bench: Bench) -> Found:
    paths = [_paths(bench, [name]) for name in bench.judging.schema.names]
    return Found(examples={"interpolated_single": np.stack(paths)})


def _paths(bench: Bench, names: Sequence[str]) -> UInt8[np.ndarray, "rows frames size size 3"]:
    judging, few = bench.judging, _few(bench.judging)
    source, target = (judging.images(rows[:few]) for rows in (judging.plan.sources, judging.plan.donors))
    return to_pixels(bench.quick.interpolate(source, target, names, FRAMES))


def _distance(bench: Bench, features: Sequence[Tensor], prefix: str) -> dict[str, float]:
    if bench.truth is None:
        return {}
    every = torch.cat(list(features))
    return {f"{prefix}/fd_vgg16": bench.truth.distance(every), f"{prefix}/fd_count": float(len(every))}


def _draw_enough_givers(judging: Judging, count: int) -> Givers:
    """Return the plan's givers and, where a Fréchet distance wants more, others drawn alike."""
    plan, schema = judging.plan, judging.schema
    missing = count - len(plan.givers)
    if missing <= 0:
        return plan.givers
    columns = judging.lookup.labels.columns
    shown = np.stack([columns[name][plan.test] for name in (*schema.columns, *schema.group_columns)], axis=1)
    generator = np.random.default_rng([judging.config.seed, len(plan.givers)])
    return np.concatenate([plan.givers, plan.test[draw_givers(shown, len(schema.names), missing, generator)]])


def _held_out(judging: Judging) -> Rows:
    """Return the held-out rows: those reconstructed and those that test are the beginnings of one order."""
    return max(judging.plan.reconstructed, judging.plan.test, key=len)


def _generated_rows(judging: Judging) -> Rows:
    return _held_out(judging)[: judging.config.compare.num_generated]


def _few(judging: Judging) -> int:
    """Return how many interpolations are shown."""
    return min(len(judging.plan.sources), max(2, judging.config.evaluate.num_pictures // 4))


def _named(scores: RecombinationScores, prefix: str) -> dict[str, float]:
    return {name.replace("counterfactual/recombine", prefix): value for name, value in scores.as_metrics().items()}


def _chunks(rows: Integer[np.ndarray, "n ..."]) -> Iterator[tuple[int, Integer[np.ndarray, "chunk ..."]]]:
    for start in range(0, len(rows), CHUNK):
        yield start, rows[start : start + CHUNK]
