"""The whole road as one object: ingest, three stages, encoding, registering, judging; what is done is not done again.

Every step finds its inputs and leaves its outputs at the addresses of `Layout`, so the jobs can also run one by one.
"""

import json
import logging
import math
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from diffusegae import storage
from diffusegae.capacity import Ask, require_room
from diffusegae.checkpoint import local_checkpoint, read_meta
from diffusegae.config.compare import OURS
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.data.ingest import ingest
from diffusegae.data.latents import (
    STATISTICS,
    LatentManifest,
    LatentShard,
    begin_latents,
    has_latents,
    latent_shard_name,
    read_latent_manifest,
    write_latent_manifest,
    write_statistics,
)
from diffusegae.data.lookup import ImageLookup
from diffusegae.data.pipeline import run_actors
from diffusegae.data.shards import Manifest, naming_notes, read_manifest, schema_of
from diffusegae.data.thumbnails import THUMBNAILS
from diffusegae.editing.loading import load_editor
from diffusegae.editing.network import device_at_hand
from diffusegae.editing.shard_encoder import ShardEncoder
from diffusegae.editing.values import measure_values
from diffusegae.evaluation.context import keep_plan
from diffusegae.evaluation.measured import Measured
from diffusegae.evaluation.pieces import Assignment, assign
from diffusegae.evaluation.results import Finding, Judged, Subjects
from diffusegae.evaluation.subjects import load_subject
from diffusegae.evaluation.tasks import measure_all, run_remotely
from diffusegae.evaluation.told import check_told, find_told
from diffusegae.forecast import Forecast, Workload
from diffusegae.layout import SUMMARY, Layout
from diffusegae.report.data_page import write_data_page
from diffusegae.report.evaluation_page import Curves, summary_text, write_evaluation
from diffusegae.schema import AttributeSchema
from diffusegae.tracking.registry import RegisteredModel, register_model
from diffusegae.tracking.runs import (
    RunLogger,
    finish_run,
    open_pipeline_run,
    open_stage_run,
    read_history,
    tracking_uri,
)
from diffusegae.training.job import TrainingJob
from diffusegae.training.launch import LaunchError, StageDone, launch_stage, read_done
from diffusegae.training.stages import StageName, images_of

logger = logging.getLogger(__name__)

STAGES: tuple[StageName, ...] = ("pretrain", "refine", "finetune")
STAGE_BEFORE: dict[StageName, StageName] = {"refine": "pretrain", "finetune": "refine", "pdae": "ddim"}
JUDGED: dict[StageName, str] = {"refine": "stage 2", "finetune": "stage 3"}
METRICS = "metrics.json"
CURVES: dict[StageName, tuple[str, ...]] = {
    "pretrain": ("simple", "z_shuffle_ratio"),
    "refine": ("reconstruction", "swap", "rebuilt_ratio"),
    "finetune": ("simple", "rebuilt_ratio"),
}


class Pipeline:
    """A config's road; each method does one step, on the running Ray, or returns what is already there."""

    def __init__(self, config: PipelineConfig) -> None:
        self.config = config
        self.layout = Layout.of(config)

    @cached_property
    def manifest(self) -> Manifest:
        """The data set; ManifestError if it is not ingested."""
        return read_manifest(self.layout.images)

    @cached_property
    def schema(self) -> AttributeSchema:
        """The attributes as the data has them."""
        return schema_of(self.manifest, self.config.data)

    @cached_property
    def tracking(self) -> str:
        """The MLflow tracking URI."""
        return tracking_uri(self.config)

    @cached_property
    def run_id(self) -> str:
        """The parent run, the same after a restart."""
        return open_pipeline_run(self.tracking, self.config)

    def ingest(self, refresh: bool = False) -> Manifest:
        """Write the image shards; with `refresh` anew, from what the source holds now."""
        manifest = ingest(
            self.config.data,
            self.config.model.image_size,
            self.layout.images,
            self.config.resources.rates.get("ingest", 0.0),
            refresh=refresh,
        )
        shown = [storage.join(self.layout.images, THUMBNAILS), write_data_page(self.layout.images)]
        with tempfile.TemporaryDirectory() as folder:
            for address in filter(None, shown):
                local = Path(folder) / address.rpartition("/")[2]
                local.write_bytes(storage.read_bytes(address))
                RunLogger(self.tracking, self.run_id).log_file(local, "data")
        return manifest

    def train(self, stage: StageName) -> StageDone:
        """Train one stage or baseline; LaunchError if the one before is not done."""
        before = self._require_before(stage)
        run_id = open_stage_run(self.tracking, self.config, self.run_id, stage)
        job = self.job(stage).model_copy(update={"tracking_uri": self.tracking, "run_id": run_id})
        root = self.layout.stages(stage)
        done = launch_stage(job, root, before.fingerprint if before else "", self.manifest.content)
        finish_run(self.tracking, run_id, "FINISHED")
        return done

    def job(self, stage: StageName) -> TrainingJob:
        """Return what a stage's workers are told, without a run; LaunchError if the stage before is not done."""
        before, is_refine = self._require_before(stage), stage == "refine"
        return TrainingJob(
            stage=stage,
            config=self.config,
            attributes=self.schema,
            rows=self.layout.latents if is_refine else self.layout.images,
            weights=before.checkpoint if before else "",
            statistics=storage.join(self.layout.latents, STATISTICS) if is_refine else "",
        )

    def encode(self) -> LatentManifest:
        """Encode all images with the pre-trained encoder, shard by shard; shards that exist are not encoded again."""
        before = self._require_before("refine")
        assert before is not None
        if has_latents(self.layout.latents):
            manifest = read_latent_manifest(self.layout.latents)
            if manifest.encoder == before.fingerprint:
                return manifest
        begin_latents(self.layout.latents, before.fingerprint)
        resources, shards = self.config.resources, self.manifest.shards
        encoder = ShardEncoder(
            self.layout.images, self.layout.latents, before.checkpoint, resources.encode_batch, num_threads=1
        )
        missing = [
            number
            for number in range(len(shards))
            if not storage.exists(storage.join(self.layout.latents, latent_shard_name(number)))
        ]
        encoded = self.manifest.num_rows - sum(shards[number].num_rows for number in missing)
        forecast = self._forecast_encoding(missing, encoded)
        gpus = {"GPU": resources.gpus_per_worker}
        require_room(Ask("encode", 1, gpus, resources.settings_per_worker), resources.wait_minutes)
        for rows in run_actors(missing, encoder.build, resources.encode_actors, resources.gpus_per_worker):
            encoded += rows
            logger.info("encode: %s of %s images", f"{encoded:,}", f"{self.manifest.num_rows:,}")
            if sharper := forecast.advance(encoded):
                logger.info(sharper)
        logger.info(forecast.verdict())
        manifest = LatentManifest(
            width=self.config.model.z_sem_width,
            encoder=before.fingerprint,
            shards=tuple(
                LatentShard(path=latent_shard_name(number), num_rows=shard.num_rows)
                for number, shard in enumerate(shards)
            ),
        )
        with tempfile.TemporaryDirectory() as folder:
            write_statistics(self.layout.latents, manifest, Path(folder))
        write_latent_manifest(self.layout.latents, manifest)
        return manifest

    def check_told(self) -> None:
        """Say what z_sem tells of each attribute; UntoldError if it is too little for stages 2 and 3 to edit by."""
        check_told(find_told(self.layout.latents, self.schema, self.config.tune), self.config.pretrain.min_told)

    def _forecast_encoding(self, missing: Sequence[int], encoded: int) -> Forecast:
        """Say what encoding some shards will take; return the forecast."""
        shards = [self.manifest.shards[number] for number in missing]
        rows = sum(shard.num_rows for shard in shards)
        work = Workload(
            "encode",
            self.manifest.num_rows,
            "images",
            bytes_read=sum(shard.num_bytes for shard in shards),
            bytes_written=rows * self.config.model.z_sem_width * np.dtype(np.float32).itemsize,
        )
        forecast = Forecast(work, self.config.resources.rates.get("encode", 0.0), encoded)
        logger.info(forecast.announce())
        return forecast

    def evaluate(self) -> str:
        """Judge stages 2 and 3 side by side, write report.html, send all of it to MLflow; return the summary.

        It runs in pieces on the cluster's GPUs or CPUs; a piece that was done before, with the same weights and
        settings, is not done again.
        """
        finished = {stage: self._require(stage) for stage in JUDGED}
        images, folder = self.layout.images, storage.join(self.layout.evaluation, "pieces")
        references = assign(self.config, images, folder)
        assignments = {
            stage: assign(self.config, images, folder, OURS, done.checkpoint, done.fingerprint)
            for stage, done in finished.items()
        }
        rate = self.config.resources.rates.get("evaluate", 0.0)
        *measured, true = measure_all([*assignments.values(), references], "evaluate", rate)
        subjects = {
            JUDGED[stage]: [Judged(self._finding(stage, assignments[stage], found), found)]
            for stage, found in zip(finished, measured, strict=True)
        }
        summary = summary_text(subjects, true, self.schema)

        metrics = _flatten(subjects, true)

        def write(output: Path) -> None:
            (output / SUMMARY).write_text(summary)
            (output / METRICS).write_text(json.dumps(metrics, indent=1, sort_keys=True))
            curves, notes = self._curves(), [*self.manifest.notes, *naming_notes(self.manifest, self.schema)]
            write_evaluation(subjects, true, self.config, self.schema, output, curves=curves, notes=notes)

        self.publish("evaluate", self.layout.evaluation, write, metrics)
        return summary

    def publish(
        self, name: str, folder: str, write: Callable[[Path], None], metrics: Mapping[str, float] | None = None
    ) -> None:
        """Put what `write` leaves in a local folder into the storage and, with metrics, into the run of this name."""
        run_id = open_stage_run(self.tracking, self.config, self.run_id, name)
        with tempfile.TemporaryDirectory() as local:
            write(Path(local))
            storage.upload_directory(local, folder)
            run = RunLogger(self.tracking, run_id)
            run.log_metrics(metrics or {}, 0)
            run.log_directory(Path(local), name)
        finish_run(self.tracking, run_id, "FINISHED")

    def register(self) -> RegisteredModel:
        """Register the fine-tuned model with its value codes and give it the alias."""
        done = self._require("finetune")

        def measure() -> dict[str, Tensor]:
            logger.info("register: measuring the code of every value")
            codes = run_remotely(value_codes, (done.checkpoint, self.layout.images, self.config), self.config.resources)
            return {name: torch.tensor(each) for name, each in codes.items()}

        with local_checkpoint(done.checkpoint) as checkpoint:
            return register_model(self.tracking, self.run_id, checkpoint, self.config, measure)

    def run(self, refresh: bool = False) -> str:
        """Do every step that is not done yet; return the matrix, the report's path and the registered version."""
        self.ingest(refresh)
        keep_plan(self.config, self.layout.images)  # that it can't be judged is said before it is trained
        self.train("pretrain")
        self.encode()
        self.check_told()
        self.train("refine")
        self.train("finetune")
        tracking, version = self.config.tracking, self.register().version
        summary = self.evaluate()
        finish_run(self.tracking, self.run_id, "FINISHED")
        return "\n".join(
            [
                summary,
                f"report:    {storage.join(self.layout.evaluation, 'report.html')}",
                f"model:     models:/{tracking.model_name}@{tracking.alias} (version {version})",
                f"tracking:  {self.tracking}",
            ]
        )

    def _finding(self, stage: StageName, assignment: Assignment, measured: Measured) -> Finding:
        stages = STAGES[: STAGES.index(stage) + 1]
        with local_checkpoint(assignment.checkpoint) as checkpoint:
            parameters = load_subject(OURS, checkpoint, self.schema, "cpu").parameters
        return Finding(
            name=JUDGED[stage],
            title=JUDGED[stage],
            seed=self.config.seed,
            metrics=measured.metrics,
            seconds=sum(training_seconds(self._require(each)) for each in stages),
            images=images_of(self.config, stages),
            parameters=parameters,
            fingerprint=assignment.fingerprint,
        )

    def _curves(self) -> Curves:
        """Return what training reported: (samples seen, value) of every report."""
        curves: dict[str, dict[str, list[tuple[float, float]]]] = {}
        for stage, names in CURVES.items():
            run_id = open_stage_run(self.tracking, self.config, self.run_id, stage)
            curves[stage] = {name: read_history(self.tracking, run_id, f"{stage}/{name}") for name in names}
            finish_run(self.tracking, run_id, "FINISHED")
        return curves

    def _require_before(self, stage: StageName) -> StageDone | None:
        before = STAGE_BEFORE.get(stage)
        return self._require(before) if before else None

    def _require(self, stage: StageName) -> StageDone:
        done = read_done(self.layout.stages(stage), stage)
        if done is None:
            raise LaunchError(f"stage {stage!r} of {self.config.name!r} is not done; run jobs/train.py --stage {stage}")
        self._require_images(stage, done)
        return done

    def _require_images(self, stage: StageName, done: StageDone) -> None:
        """Check that a finished stage was trained on the images as they are, where both are known."""
        if done.images == self.manifest.content:
            return
        folder = storage.join(self.layout.stages(stage), stage)
        if done.images and self.manifest.content:
            raise LaunchError(
                f"{folder} was trained on images that have been made anew since; delete it and what follows from it, or"
                " choose another name"
            )
        logger.warning("%s: whether it was trained on these images isn't known; it is of an older version", folder)


def training_seconds(done: StageDone) -> float:
    """Return what a finished stage took to train, without what deaths took away."""
    with local_checkpoint(done.checkpoint) as folder:
        return read_meta(folder).seconds


def value_codes(checkpoint: str, images: str, config: PipelineConfig) -> dict[str, Float[np.ndarray, "values width"]]:
    """Return the value codes of a model (`measure_values`), computed on the device at hand."""
    manifest = read_manifest(images)
    schema = schema_of(manifest, config.data)
    with local_checkpoint(checkpoint) as folder:
        editor = load_editor(folder, device_at_hand(), schema)
    codes = measure_values(editor, ImageLookup(images, manifest, schema=schema), config.seed)
    return {name: each.numpy() for name, each in codes.items()}


def _flatten(subjects: Subjects, references: Measured) -> dict[str, float]:
    """Return every finite figure under a name that MLflow takes."""
    rows = {name: judged[0].measured for name, judged in subjects.items()} | {"references": references}
    flat = {f"eval/{row}/{name}": value for row, each in rows.items() for name, value in each.metrics.items()}
    return {re.sub(r"[^A-Za-z0-9_\-. /]", "_", name): value for name, value in flat.items() if math.isfinite(value)}
