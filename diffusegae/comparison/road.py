"""The comparison's road: train what is missing, measure it, write report.html and results.json.

Every training and every piece of measuring leaves its result in the storage, so a comparison that was cut off goes on
from there, and one that is finished only writes its report again.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

from diffusegae import storage
from diffusegae.comparison.candidates import (
    ROWS,
    Candidate,
    plan_candidates,
    plan_variants,
    references,
)
from diffusegae.comparison.schedule import Work, run_all
from diffusegae.config.compare import OURS
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.data.shards import naming_notes
from diffusegae.editing.shard_encoder import local_checkpoint
from diffusegae.evaluation.finish import with_distances
from diffusegae.evaluation.measured import Measured
from diffusegae.evaluation.pieces import assign
from diffusegae.evaluation.results import (
    RESULTS,
    Finding,
    Judged,
    gather,
)
from diffusegae.evaluation.subjects import load_subject
from diffusegae.evaluation.tasks import log_here, measure_all
from diffusegae.evaluation.ways import read_note
from diffusegae.layout import Layout
from diffusegae.pipeline import STAGE_BEFORE, STAGES, Pipeline, training_seconds
from diffusegae.report.comparison_page import write_comparison

logger = logging.getLogger(__name__)
FINDING, MEASURED = "finding.json", "measured.npz"


class ComparisonError(RuntimeError):
    """A comparison of which parts failed."""


@dataclass(frozen=True)
class Comparison:
    """What is compared, and where it is kept: below `<storage>/<name>/compare`."""

    config: PipelineConfig
    num_seeds: int = 1
    with_ablations: bool = False

    def __post_init__(self) -> None:
        """Make the storage's address absolute: processes of Ray's may stand in another folder."""
        absolute = self.config.model_copy(update={"storage": storage.resolve(self.config.storage)})
        object.__setattr__(self, "config", absolute)

    @property
    def folder(self) -> str:
        """Where findings and the report are."""
        return storage.join(Layout.of(self.config).root, "compare")

    @cached_property
    def candidates(self) -> list[Candidate]:
        """Every row with every seed, then what the ablations need."""
        rows = plan_candidates(self.config, self.num_seeds)
        return rows + (self.ablated if self.with_ablations else [])

    @cached_property
    def ablated(self) -> list[Candidate]:
        """What the ablations are held against, and their variants."""
        studies = plan_variants(self.config, self.num_seeds).values()
        variants = [candidate for pairs in studies for _, candidates in pairs for candidate in candidates]
        return [*references(self.config, self.num_seeds), *variants]

    def run(self) -> str:
        """Do all that is missing on the running Ray, and write the report of what there is; return a summary.

        Raises:
            ComparisonError: a part failed; the others' results are in the report nevertheless.
        """
        Pipeline(self.config).ingest()
        for config in {c.config.name: c.config for c in self.candidates}.values():
            _ = Pipeline(config).run_id  # made here, so that no two processes make it
        works = [work for candidate in self.candidates for work in self._works(candidate)]
        unique = list({work.name: work for work in works}.values())
        failures = run_all(unique, self.config.compare.concurrent)
        summary = self.report(failures)
        if failures:
            reasons = "\n".join(f"  {name}: {reason}" for name, reason in failures.items())
            raise ComparisonError(
                f"{summary}\n{len(failures)} part(s) failed; the same command tries again:\n{reasons}"
            )
        return summary

    def report(self, failures: Mapping[str, str] = MappingProxyType({})) -> str:
        """Write report.html and results.json of all that is measured so far; return where they are, and what lacks.

        Trains and measures nothing but the references, the true pictures among themselves.
        """
        asked = {candidate.key: candidate for candidate in self.candidates}
        known = {key: judged for key, candidate in asked.items() if (judged := self.read(candidate)) is not None}
        lacking = [key for key in asked if key not in known]
        subjects: dict[str, list[Judged]] = {}
        for candidate in plan_candidates(self.config, self.num_seeds):
            if candidate.key in known:
                subjects.setdefault(candidate.row, []).append(known[candidate.key])
        if not subjects:
            return "nothing is measured yet"
        pipeline = Pipeline(self.config)
        (true,) = measure_all([assign(self.config, pipeline.layout.images, "", compared=True)], "compare: references")
        studied = self._studied(known)
        notes = [f"Missing: {name}: {reason}." for name, reason in failures.items()]
        if lacking and not failures:
            notes.append(f"Not measured yet: {', '.join(lacking)}.")
        notes += [*pipeline.manifest.notes, *naming_notes(pipeline.manifest, pipeline.schema)]
        by_stage = ", ".join(
            f"{stage} {s:,.0f} s" for stage, s in stage_seconds(Candidate("", OURS, self.config, STAGES[-1])).items()
        )
        notes.append(f"Training of {ROWS[OURS].title} by stage, of the first seed: {by_stage}.")
        found = {row: [_with_distances(judged, true) for judged in each] for row, each in subjects.items()}

        def write(output: Path) -> None:
            rows = [*found.values(), *(each for variants in studied.values() for each in variants.values())]
            results = gather({(j.finding.name, j.finding.seed): j.finding for each in rows for j in each}.values())
            (output / RESULTS).write_text(results.model_dump_json(indent=1), encoding="utf-8")
            ours = OURS if OURS in found else next(iter(found))
            write_comparison(
                results, found, true, self.config, pipeline.schema, output, ours=ours, studied=studied, notes=notes
            )

        pipeline.publish("compare", self.folder, write)
        state = f"{len(lacking)} of {len(asked)} are not measured\n" if lacking else ""
        where = f"{storage.join(self.folder, 'report.html')}\nresults:  {storage.join(self.folder, RESULTS)}"
        return f"{state}report:   {where}"

    def _studied(self, known: Mapping[str, Judged]) -> dict[str, dict[str, list[Judged]]]:
        """Return what is known of the ablations: question → variant → per seed; the config itself under ""."""
        if not self.with_ablations:
            return {}
        whole = _judged(references(self.config, self.num_seeds), known)
        if not whole:
            return {}
        variants = {
            question: {variant.name: judged for variant, each in pairs if (judged := _judged(each, known))}
            for question, pairs in plan_variants(self.config, self.num_seeds).items()
        }
        return {"": {"the config": whole}, **{question: each for question, each in variants.items() if each}}

    def find(self, candidate: Candidate) -> Finding | None:
        """Return the figures of a candidate, None if it was not measured or if it changed since."""
        path, done = self._path(candidate, FINDING), candidate.finished()[candidate.judged]
        if done is None or not storage.exists(path):
            return None
        finding = Finding.model_validate_json(storage.read_bytes(path))
        return finding if finding.fingerprint == candidate.assignment(self.folder, done).fingerprint else None

    def read(self, candidate: Candidate) -> Judged | None:
        """Return the figures of a candidate with all that was measured, None where `find` has none."""
        finding = self.find(candidate)
        if finding is None:
            return None
        return Judged(finding, Measured.from_bytes(storage.read_bytes(self._path(candidate, MEASURED))))

    def _path(self, candidate: Candidate, name: str) -> str:
        return storage.join(self.folder, candidate.key, name)

    def _works(self, candidate: Candidate) -> list[Work]:
        """Return the training and measuring of a candidate that are still to be done."""
        if self.find(candidate) is not None:
            logger.info("compare: %s is measured already", candidate.key)
            return []
        needs = (_training_name(candidate, candidate.judged),)
        measuring = Work(f"measure {candidate.key}", measure_candidate, (candidate, self.folder), needs)
        return [*_trainings(candidate), measuring]


def _judged(candidates: Sequence[Candidate], known: Mapping[str, Judged]) -> list[Judged]:
    return [known[candidate.key] for candidate in candidates if candidate.key in known]


def _training_name(candidate: Candidate, stage: str) -> str:
    """Name a stage by the pipeline that keeps it, so that candidates that share it name the same work."""
    config = candidate.config
    return f"train {config.base if stage == 'pretrain' and config.base else config.name}/{stage}"


def _trainings(candidate: Candidate) -> list[Work]:
    """Return the stages of a candidate as works, the encoding of all images between stages 1 and 2."""
    works = []
    for stage in candidate.stages:
        before = STAGE_BEFORE.get(stage)
        needs = (_training_name(candidate, before),) if before else ()
        if stage == "refine":
            encoding = f"encode {candidate.config.base or candidate.config.name}"
            works.append(Work(encoding, encode_images, (candidate.config,), needs))
            needs = (encoding,)
        works.append(Work(_training_name(candidate, stage), train_stage, (candidate.config, stage), needs))
    return works


def encode_images(config: PipelineConfig) -> None:
    """Write the latents of all images."""
    log_here()
    Pipeline(config).encode()


def train_stage(config: PipelineConfig, stage: str) -> None:
    """Train a stage or baseline to its end."""
    log_here()
    Pipeline(config).train(stage)  # type: ignore[arg-type]  # by construction one of the names


def measure_candidate(candidate: Candidate, folder: str) -> None:
    """Measure a trained candidate, piece by piece on the running Ray, and store what was found."""
    log_here()
    done = candidate.finished()[candidate.judged]
    assert done is not None
    assignment = candidate.assignment(folder, done)
    rate = candidate.config.resources.rates.get("evaluate", 0.0)
    (measured,) = measure_all([assignment], f"compare: {candidate.key}", rate)
    with local_checkpoint(done.checkpoint) as checkpoint:
        subject = load_subject(candidate.method, checkpoint, Pipeline(candidate.config).schema, "cpu")
    notes = [candidate.config.compare.notes.get(candidate.row, "")]  # type: ignore[call-overload]  # variants have none
    notes += [read_note(assignment.folder)] if assignment.edits_codes else []
    finding = Finding(
        name=candidate.row or candidate.key,
        title=candidate.title or candidate.key,
        seed=candidate.config.seed,
        notes=tuple(note for note in notes if note),
        metrics=measured.metrics,
        seconds=sum(stage_seconds(candidate).values()),
        images=candidate.num_images(),
        parameters=subject.parameters,
        fingerprint=assignment.fingerprint,
    )
    storage.write_bytes(storage.join(folder, candidate.key, MEASURED), measured.to_bytes())
    storage.write_bytes(storage.join(folder, candidate.key, FINDING), finding.model_dump_json(indent=1).encode())


def stage_seconds(candidate: Candidate) -> dict[str, float]:
    """Return what each finished stage of a candidate took to train."""
    return {stage: training_seconds(done) for stage, done in candidate.finished().items() if done is not None}


def _with_distances(judged: Judged, true: Measured) -> Judged:
    measured = with_distances(judged.measured, true)
    return Judged(judged.finding.model_copy(update={"metrics": measured.metrics}), measured)
