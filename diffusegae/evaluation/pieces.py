"""Pieces: an evaluation cut into work that any process can do, each kept when it is done and never done again."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from diffusegae import storage
from diffusegae.config.base import Config
from diffusegae.config.compare import MethodName
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.evaluation.context import MEASURES_VERSION, context_folder
from diffusegae.evaluation.measures import FRAMES
from diffusegae.evaluation.plan import EvaluationPlan
from diffusegae.evaluation.subjects import SAMPLED, WITHOUT_CODES


class Assignment(Config):
    """A subject and how it is measured: all that a process on any node has to know."""

    config: PipelineConfig = Field(description="Says how is judged: evaluate, sampling, compare, data.")
    images: str = Field(description="URI of the data set.")
    context: str = Field(description="Folder of the context.")
    folder: str = Field(description="Folder in which pieces are kept.")
    method: MethodName | Literal[""] = Field("", description="Name of the method; empty for the references.")
    checkpoint: str = Field("", description="Its weights.")
    edits_codes: bool = Field(False, description="Whether its code is undivided and edited in a way that is chosen.")
    compared: bool = Field(False, description="Whether paths, Fréchet distances, DCI and the like are measured, too.")

    @property
    def fingerprint(self) -> str:
        """The digest under which its pieces lie."""
        return self.folder.rpartition("/")[2]


def assign(
    config: PipelineConfig,
    images: str,
    folder: str,
    method: MethodName | Literal[""] = "",
    checkpoint: str = "",
    weights: str = "",
    *,
    edits_codes: bool = False,
    compared: bool = False,
) -> Assignment:
    """Return how a subject is measured: weights of a fingerprint, with pieces of their own below the folder.

    Without a method it is the references, which lie with the context beside the images, so that all share them.
    """
    context = context_folder(config, images)
    compare = config.compare.model_dump(include={"num_generated", "num_pairs", "path_steps"})
    parts = (MEASURES_VERSION, weights, method, context.rpartition("/")[2], config.sampling, compare)
    fingerprint = hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()[:16]
    own = storage.join(folder if method else storage.join(context, "references"), fingerprint)
    return Assignment(
        config=config, images=images, context=context, folder=own, method=method, checkpoint=checkpoint,
        edits_codes=edits_codes, compared=compared,
    )  # fmt: skip


@dataclass(frozen=True)
class Piece:
    """A measure of some rows; `work` counts denoising steps, images times steps, and `steps` are those of a path."""

    measure: str
    start: int
    stop: int
    work: int
    steps: int = 0

    @property
    def file(self) -> str:
        """The name under which it is kept."""
        return f"{self.measure}{self.steps or ''}-{self.start:06d}.npz"

    def is_kept(self, folder: str) -> bool:
        """Tell whether it is done."""
        return storage.exists(storage.join(folder, self.file))


def plan_pieces(
    method: MethodName | Literal[""], config: PipelineConfig, plan: EvaluationPlan, *, compared: bool = False
) -> list[Piece]:
    """Return all pieces of a method (or of the references), in the order in which their results stand."""
    works = _method_work(method, config, plan, compared) if method else _reference_work(config, plan, compared)
    evaluate, pieces = config.evaluate, []
    for measure, rows, per_row, steps, is_whole in works:
        chunk = rows if is_whole else max(1, evaluate.piece_images // max(1, per_row // evaluate.edit_steps))
        for start in range(0, rows, max(1, chunk)):
            stop = min(rows, start + chunk)
            pieces.append(Piece(measure, start, stop, per_row * (stop - start), steps))
    return pieces


Work = tuple[str, int, int, int, bool]  # measure, rows, work per row, steps of a path, whether it is one piece


def _method_work(method: MethodName, config: PipelineConfig, plan: EvaluationPlan, compared: bool) -> Iterator[Work]:
    m, is_sampled = plan.num_attributes, method in SAMPLED
    full, quick = (steps if is_sampled else 1 for steps in (config.sampling.steps, config.evaluate.edit_steps))
    few = min(len(plan.sources), max(2, config.evaluate.num_pictures // 4))
    encoded = len(plan.train) + len(plan.test)
    if method not in WITHOUT_CODES:
        yield "probes", encoded, 1, 0, True
    yield "inferred", len(plan.reconstructed), 2 * full, 0, False
    yield "random", len(plan.reconstructed), quick, 0, False
    yield "replace", len(plan.sources), (2 + m) * quick, 0, False
    yield "recombine", len(plan.givers), quick, 0, False
    yield "interpolate", few, (2 + FRAMES) * quick, 0, True
    yield "interpolate_single", few, m * (2 + FRAMES) * quick, 0, True
    if not compared:
        return
    if method not in WITHOUT_CODES:
        yield "attributes", encoded, 1, 0, True
    generated = min(config.compare.num_generated, len(plan.seen))
    yield "generate_random", generated, quick, 0, False
    yield "generate_recombined", generated, quick, 0, False
    if method in SAMPLED - WITHOUT_CODES:
        for T in config.compare.path_steps:
            yield "path", config.compare.pairs_at(T), 2 * T, T, False


def _reference_work(config: PipelineConfig, plan: EvaluationPlan, compared: bool) -> Iterator[Work]:
    yield "given", 1, 1, 0, True
    yield "judge", len(plan.test), 1, 0, True
    yield "truths", len(plan.edit_truths), 2, 0, False
    if compared:
        yield "true_features", min(config.compare.num_generated, len(plan.seen)), 1, 0, False
