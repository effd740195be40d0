"""The comparison's road: train what is missing, measure it, write report.html and results.json.

Every training and every measure leaves its result in the storage, so a comparison that was cut off goes on from there,
and one that is finished only writes its report again.
"""

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from diffusegae import storage
from diffusegae.checkpoint import read_meta
from diffusegae.comparison.candidates import (
    STAGES_OF_OURS,
    Candidate,
    plan_candidates,
    plan_variants,
    references,
)
from diffusegae.comparison.measuring import Measured, measure_method
from diffusegae.comparison.report import REPORT, write_report
from diffusegae.comparison.results import RESULTS, Ablations, Finding, Study, gather, study_of, write_results
from diffusegae.comparison.schedule import Work, run_all
from diffusegae.comparison.subjects import TITLES, load_subject, prepare_subject
from diffusegae.config.compare import OURS
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.data.lookup import ImageLookup
from diffusegae.editing.latents import local_checkpoint
from diffusegae.metrics.judging import Judging, prepare_judging
from diffusegae.pipeline import STAGE_BEFORE, Layout, Pipeline
from diffusegae.tracking.runs import RunLogger, finish_run, open_stage_run

logger = logging.getLogger(__name__)


class ComparisonError(RuntimeError):
    """A comparison of which parts failed."""


FINDING, EXAMPLES, JUDGES = "finding.json", "examples.npz", "judges"


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
        """Every method with every seed, then what the ablations need."""
        methods = plan_candidates(self.config, self.num_seeds)
        return methods + (self.ablated if self.with_ablations else [])

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
        summary = self._report(failures)
        if failures:
            reasons = "\n".join(f"  {name}: {reason}" for name, reason in failures.items())
            raise ComparisonError(
                f"{summary}\n{len(failures)} part(s) failed; the same command tries again:\n{reasons}"
            )
        return summary

    def _report(self, failures: Mapping[str, str]) -> str:
        """Write report.html and results.json of all that is measured; return where they are, or why they are not."""
        methods = [found for c in plan_candidates(self.config, self.num_seeds) if (found := self.read(c)) is not None]
        if not methods:
            return "nothing is measured yet"
        results = gather((finding for finding, _ in methods), ablations=self._ablations())
        first = {finding.name: measured for finding, measured in reversed(methods) if finding.seed == self.config.seed}
        notes = [f"Missing: {name}: {reason}." for name, reason in failures.items()]
        by_stage = ", ".join(
            f"{stage} {s:,.0f} s"
            for stage, s in stage_seconds(Candidate("", OURS, self.config, STAGES_OF_OURS[-1])).items()
        )
        notes.append(f"Training of {TITLES[OURS]} by stage, of the first seed: {by_stage}.")
        pipeline = Pipeline(self.config)
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder)
            write_results(results, output)
            write_report(results, first, self.config, pipeline.schema, output, notes=notes)
            for path in output.iterdir():
                storage.write_bytes(storage.join(self.folder, path.name), path.read_bytes())
            run_id = open_stage_run(pipeline.tracking, self.config, pipeline.run_id, "compare")
            RunLogger(pipeline.tracking, run_id).log_directory(output, "comparison")
            finish_run(pipeline.tracking, run_id, "FINISHED")
        return f"report:   {storage.join(self.folder, REPORT)}\nresults:  {storage.join(self.folder, RESULTS)}"

    def _ablations(self) -> Ablations:
        """Return what was measured of each ablation, the config itself first."""
        wholes = references(self.config, self.num_seeds) if self.with_ablations else []
        whole = self._study("the config, stage 2", wholes)
        if whole is None:
            return {}
        studies = {
            question: [study for variant, each in pairs if (study := self._study(variant.name, each)) is not None]
            for question, pairs in plan_variants(self.config, self.num_seeds).items()
        }
        return {question: [whole, *varied] for question, varied in studies.items() if varied}

    def _study(self, name: str, candidates: list[Candidate]) -> Study | None:
        """Return what was measured of the seeds of one variant; None if it is nothing yet."""
        found = [finding for candidate in candidates if (finding := self.find(candidate)) is not None]
        return study_of(name, found) if found else None

    def find(self, candidate: Candidate) -> Finding | None:
        """Return the figures of a candidate, None if it was not measured or if it changed since."""
        path = self._path(candidate, FINDING)
        if not storage.exists(path):
            return None
        finding = Finding.model_validate_json(storage.read_bytes(path))
        done = candidate.finished()[candidate.judged]
        return finding if done is not None and finding.fingerprint == candidate.fingerprint(done.fingerprint) else None

    def read(self, candidate: Candidate) -> tuple[Finding, Measured] | None:
        """Return the figures of a candidate with its pictures and codes, None where `find` has none."""
        finding = self.find(candidate)
        if finding is None:
            return None
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder, EXAMPLES)
            local.write_bytes(storage.read_bytes(self._path(candidate, EXAMPLES)))
            return finding, Measured.load(local, finding.metrics)

    def _path(self, candidate: Candidate, name: str) -> str:
        return storage.join(self.folder, candidate.key, name)

    def _works(self, candidate: Candidate) -> list[Work]:
        """Return the training and measuring of a candidate that are still to be done."""
        if self.find(candidate) is not None:
            logger.info("compare: %s is measured already", candidate.key)
            return []
        resources = self.config.resources
        return [
            *_trainings(candidate),
            Work(
                f"measure {candidate.key}",
                measure_candidate,
                (candidate, self.folder),
                (_training_name(candidate, candidate.judged),),
                resources.cpus_per_worker,
                resources.gpus_per_worker,
            ),
        ]


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
    _log_here()
    Pipeline(config).encode()


def train_stage(config: PipelineConfig, stage: str) -> None:
    """Train a stage or baseline to its end."""
    _log_here()
    Pipeline(config).train(stage)  # type: ignore[arg-type]  # by construction one of the names


def measure_candidate(candidate: Candidate, folder: str) -> None:
    """Measure a trained candidate and store what was found."""
    _log_here()
    resources = candidate.config.resources
    torch.set_num_threads(max(1, int(resources.cpus_per_worker)))
    device = "cuda" if resources.gpus_per_worker and torch.cuda.is_available() else "cpu"
    pipeline, done = Pipeline(candidate.config), candidate.finished()[candidate.judged]
    assert done is not None
    judging = _judging(pipeline, storage.join(folder, JUDGES))
    with local_checkpoint(done.checkpoint) as checkpoint:
        subject = load_subject(candidate.method, checkpoint, pipeline.schema, device)
    prepare_subject(subject, judging)
    measured = measure_method(
        candidate.key, subject.method, subject.path, judging, measures_codes=subject.measures_codes
    )
    finding = Finding(
        name=candidate.method,
        seed=candidate.config.seed,
        metrics=measured.metrics,
        seconds=sum(stage_seconds(candidate).values()),
        images=candidate.num_images(),
        parameters=subject.parameters,
        fingerprint=candidate.fingerprint(done.fingerprint),
    )
    with tempfile.TemporaryDirectory() as local:
        measured.save(Path(local, EXAMPLES))
        storage.write_bytes(storage.join(folder, candidate.key, EXAMPLES), Path(local, EXAMPLES).read_bytes())
    storage.write_bytes(storage.join(folder, candidate.key, FINDING), finding.model_dump_json(indent=1).encode())


def _judging(pipeline: Pipeline, judges: str) -> Judging:
    """Prepare the judging, with a judge that was trained before if there is one."""
    lookup = ImageLookup(pipeline.layout.images, pipeline.manifest)
    with tempfile.TemporaryDirectory() as cache:
        held = storage.list_files(judges, ".safetensors")
        for path in held:
            Path(cache, path.rpartition("/")[2]).write_bytes(storage.read_bytes(path))
        judging = prepare_judging(lookup, pipeline.config, pipeline.schema, Path(cache))
        names = {path.rpartition("/")[2] for path in held}
        for made in Path(cache).glob("*.safetensors"):
            if made.name not in names:
                storage.write_bytes(storage.join(judges, made.name), made.read_bytes())
    return judging


def stage_seconds(candidate: Candidate) -> dict[str, float]:
    """Return what each finished stage of a candidate took to train, without what deaths took away."""
    seconds: dict[str, float] = {}
    for stage, done in candidate.finished().items():
        if done is not None:
            with local_checkpoint(done.checkpoint) as folder:
                seconds[stage] = read_meta(folder).seconds
    return seconds


def _log_here() -> None:
    """Let the lines of a process of Ray's reach the driver's log."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", datefmt="%H:%M:%S")
