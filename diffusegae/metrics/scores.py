"""Everything that is measured of one editor: probes, reconstruction, replacement and recombination.

Reconstructions from inferred x_T take the config's own sampling; random x_T and edits take `edit_steps`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8

from diffusegae.config.pipeline import PipelineConfig
from diffusegae.editing.method import Codes, Images
from diffusegae.editing.operations import recombine, replace_parts
from diffusegae.images import to_pixels
from diffusegae.metrics.batched import BatchedEditor
from diffusegae.metrics.counterfactual import (
    Closeness,
    RecombinationScores,
    ReplacementScores,
    score_replacements,
)
from diffusegae.metrics.judging import Judging
from diffusegae.metrics.plan import EvaluationPlan, Rows

CHUNK = 1024  # reconstructions in memory at a time

Pixels = UInt8[np.ndarray, "n size size 3"]


@dataclass(frozen=True)
class ImageScores:
    """What is measured of an editor's images; `brought_back` are the sources of the replacements, unedited."""

    inferred: RecombinationScores
    random: RecombinationScores
    brought_back: RecombinationScores
    replacement: ReplacementScores
    recombination: RecombinationScores

    def as_metrics(self) -> dict[str, float]:
        """Return `reconstruct/<how>/<quantity>` and `counterfactual/<kind>/<quantity>`."""
        metrics = self.replacement.as_metrics() | self.recombination.as_metrics()
        references = {"inferred": self.inferred, "random": self.random, "edit_steps": self.brought_back}
        for how, scores in references.items():
            for name, value in scores.as_metrics().items():
                metrics[name.replace("counterfactual/recombine", f"reconstruct/{how}")] = value
        return metrics


@dataclass(frozen=True)
class Examples:
    """An editor's first results as pixels, for the pictures; row i belongs to row i of the plan."""

    inferred: Pixels
    random: Pixels
    replaced: UInt8[np.ndarray, "n m size size 3"]
    recombined: Pixels


def planned_steps(plan: EvaluationPlan, config: PipelineConfig, num_attributes: int) -> int:
    """Count the denoising steps, images times steps, that judging one editor takes."""
    edit_steps, count = config.evaluate.edit_steps, len(plan.reconstructed)
    reconstructions = count * (2 * config.sampling.steps + edit_steps)
    return reconstructions + edit_steps * (len(plan.sources) * (2 + num_attributes) + len(plan.givers))


def score_images(editor: BatchedEditor, judging: Judging) -> tuple[ImageScores, Examples]:
    """Reconstruct, replace and recombine with one editor, and score the results."""
    quick = editor.with_sampling(judging.edit_sampling)
    inferred, random, first = _score_reconstructions(editor, quick, judging)
    brought_back, replacement, replaced = _score_replacements(quick, judging)
    recombined = _recombine(quick, judging)
    plan = judging.plan
    scores = ImageScores(
        inferred=inferred,
        random=random,
        brought_back=brought_back,
        replacement=replacement,
        recombination=judging.score(recombined, judging.images(plan.recombined_truths), plan.recombined_labels),
    )
    shown = judging.config.evaluate.num_pictures
    return scores, Examples(*first, replaced=replaced, recombined=to_pixels(recombined[:shown]))


def _score_reconstructions(
    editor: BatchedEditor, quick: BatchedEditor, judging: Judging
) -> tuple[RecombinationScores, RecombinationScores, tuple[Pixels, Pixels]]:
    inferred, random = [], []
    first: list[Pixels] = []
    for rows in _chunks(judging.plan.reconstructed):
        images, labels = judging.images(rows), judging.labels(rows)
        codes = editor.encode(images)
        back = editor.generate(codes, editor.infer_noise(images, codes))
        guessed = quick.generate(codes, quick.noise(judging.seeds(rows)))
        inferred.append(judging.score(back, images, labels))
        random.append(judging.score(guessed, images, labels))
        first = first or [to_pixels(results[: judging.config.evaluate.num_pictures]) for results in (back, guessed)]
    return pool_scores(inferred), pool_scores(random), (first[0], first[1])


def _score_replacements(
    quick: BatchedEditor, judging: Judging
) -> tuple[RecombinationScores, ReplacementScores, UInt8[np.ndarray, "n m size size 3"]]:
    plan, schema = judging.plan, judging.schema
    sources = judging.images(plan.sources)
    codes, donor_codes = quick.encode(sources), quick.encode(judging.images(plan.donors))
    x_T = quick.infer_noise(sources, codes)
    untouched = quick.generate(codes, x_T)
    edited = [quick.generate(replace_parts(codes, donor_codes, [part]), x_T) for part in schema.slices]
    order = torch.arange(len(schema.names)).repeat_interleave(len(sources))
    replacement = score_replacements(
        torch.cat(edited),
        judging.images(plan.replaced_truths.T.reshape(-1)),
        torch.from_numpy(plan.replaced_labels.swapaxes(0, 1).reshape(-1, len(schema.names))).long(),
        order,
        judging.judge,
        schema.names,
        judging.perceptual,
    )
    shown = judging.config.evaluate.num_pictures
    pictures = np.stack([to_pixels(images[:shown]) for images in edited], axis=1)
    return judging.score(untouched, sources, judging.labels(plan.sources)), replacement, pictures


def _recombine(quick: BatchedEditor, judging: Judging) -> Images:
    givers = judging.plan.givers
    codes: list[Codes] = [quick.encode(judging.images(givers[:, j])) for j in range(givers.shape[1])]
    return quick.generate(recombine(codes, judging.schema.slices), quick.noise(judging.seeds(givers[:, 0])))


def pool_scores(pieces: Sequence[RecombinationScores]) -> RecombinationScores:
    """Join the scores of parts of a set into those of the whole."""
    count = sum(piece.count for piece in pieces)

    def mean(values: Iterable[float]) -> float:
        return sum(value * piece.count for value, piece in zip(values, pieces, strict=True)) / count

    has_lpips = pieces[0].closeness.lpips is not None
    return RecombinationScores(
        count=count,
        closeness=Closeness(
            mse=mean(piece.closeness.mse for piece in pieces),
            ssim=mean(piece.closeness.ssim for piece in pieces),
            lpips=mean(piece.closeness.lpips or 0.0 for piece in pieces) if has_lpips else None,
        ),
        right={name: mean(piece.right[name] for piece in pieces) for name in pieces[0].right},
        all_right=mean(piece.all_right for piece in pieces),
    )


def _chunks(rows: Rows) -> Iterator[Rows]:
    for start in range(0, len(rows), CHUNK):
        yield rows[start : start + CHUNK]
