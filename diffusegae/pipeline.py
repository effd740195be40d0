"""The whole road as one object: ingest, three stages, encoding, judging, registering; what is done is not done again.

Every step finds its inputs and leaves its outputs at the addresses of `Layout`, so the jobs can also run one by one.
"""

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from torch import Tensor

from diffusegae import storage
from diffusegae.baselines.table import BASELINES
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.data.ingest import ingest
from diffusegae.data.latents import (
    STATISTICS,
    LatentManifest,
    LatentShard,
    has_latents,
    latent_shard_name,
    read_latent_manifest,
    write_latent_manifest,
    write_statistics,
)
from diffusegae.data.lookup import ImageLookup
from diffusegae.data.pipeline import run_actors
from diffusegae.data.shards import Manifest, read_manifest
from diffusegae.data.thumbnails import THUMBNAILS
from diffusegae.editing.cudnn import NO_TF32
from diffusegae.editing.editor import Editor
from diffusegae.editing.latents import ShardEncoder, local_checkpoint
from diffusegae.editing.loading import load_editor
from diffusegae.editing.network import device_at_hand
from diffusegae.editing.values import measure_values
from diffusegae.forecast import Forecast, Workload
from diffusegae.metrics.evaluation import evaluate
from diffusegae.metrics.report import Curves, summary_text, write_report
from diffusegae.schema import AttributeSchema, build_schema
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
from diffusegae.training.stages import StageName

logger = logging.getLogger(__name__)

STAGE_BEFORE: dict[StageName, StageName] = {"refine": "pretrain", "finetune": "refine", "pdae": "ddim"}
JUDGED: dict[StageName, str] = {"refine": "stage 2", "finetune": "stage 3"}
SUMMARY, JUDGED_FILE = "summary.txt", "judged.txt"
CURVES: dict[StageName, tuple[str, ...]] = {
    "pretrain": ("simple", "z_shuffle_ratio"),
    "refine": ("reconstruction", "swap", "rebuilt_ratio"),
    "finetune": ("simple", "rebuilt_ratio"),
}


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

    def stages(self, stage: StageName) -> str:
        """Return the folder in which a stage or a baseline has its own."""
        if stage in BASELINES:
            return storage.join(self.root, "baselines")
        return storage.join(self.base if stage == "pretrain" else self.root, "stages")

    def profile(self, stage: StageName) -> str:
        """Return where the trace of a stage's steps is put."""
        return storage.join(self.root, "profile", f"{stage}.json.gz")

    @property
    def evaluation(self) -> str:
        """Report, figures and pictures."""
        return storage.join(self.root, "evaluation")


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
        return build_schema(self.config.data.attributes, self.manifest.columns)

    @cached_property
    def tracking(self) -> str:
        """The MLflow tracking URI."""
        return tracking_uri(self.config)

    @cached_property
    def run_id(self) -> str:
        """The parent run, the same after a restart."""
        return open_pipeline_run(self.tracking, self.config)

    def ingest(self) -> Manifest:
        """Write the image shards."""
        manifest = ingest(
            self.config.data,
            self.config.model.image_size,
            self.layout.images,
            self.config.resources.rates.get("ingest", 0.0),
        )
        with tempfile.TemporaryDirectory() as folder:
            thumbnails = Path(folder) / THUMBNAILS
            thumbnails.write_bytes(storage.read_bytes(storage.join(self.layout.images, THUMBNAILS)))
            RunLogger(self.tracking, self.run_id).log_file(thumbnails, "data")
        return manifest

    def train(self, stage: StageName) -> StageDone:
        """Train one stage or baseline; LaunchError if the one before is not done."""
        before = self._require_before(stage)
        run_id = open_stage_run(self.tracking, self.config, self.run_id, stage)
        job = self.job(stage).model_copy(update={"tracking_uri": self.tracking, "run_id": run_id})
        done = launch_stage(job, self.layout.stages(stage), before.fingerprint if before else "")
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
            storage.delete(self.layout.latents)
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

        What was judged before, with the same weights and settings, is not judged again.
        """
        finished = {stage: self._require(stage) for stage in JUDGED}
        judged = self._judged_fingerprint(finished)
        if self._was_judged(judged):
            return storage.read_bytes(storage.join(self.layout.evaluation, SUMMARY)).decode()
        run_id = open_stage_run(self.tracking, self.config, self.run_id, "evaluate")
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder)
            editors: dict[str, Editor] = {}
            for stage, done in finished.items():
                with local_checkpoint(done.checkpoint) as checkpoint:
                    editors[JUDGED[stage]] = load_editor(checkpoint, device_at_hand(), self.schema)
            lookup = ImageLookup(self.layout.images, self.manifest)
            with NO_TF32.held():
                evaluation = evaluate(editors, lookup, self.config, self.schema, output)
            write_report(evaluation, self.config, output, self._curves())
            (output / SUMMARY).write_text(summary_text(evaluation))
            (output / JUDGED_FILE).write_text(judged)
            storage.upload_directory(output, self.layout.evaluation)
            run = RunLogger(self.tracking, run_id)
            run.log_metrics(evaluation.metrics, 0)
            run.log_directory(output, "evaluation")
        finish_run(self.tracking, run_id, "FINISHED")
        return summary_text(evaluation)

    def register(self) -> RegisteredModel:
        """Register the fine-tuned model with its value codes and give it the alias."""
        with local_checkpoint(self._require("finetune").checkpoint) as checkpoint:

            def measure() -> dict[str, Tensor]:
                lookup = ImageLookup(self.layout.images, self.manifest)
                editor = load_editor(checkpoint, device_at_hand(), self.schema)
                return measure_values(editor, lookup, self.config.seed)

            return register_model(self.tracking, self.run_id, checkpoint, self.config, measure)

    def run(self) -> str:
        """Do every step that is not done yet; return the matrix, the report's path and the registered version."""
        self.ingest()
        self.train("pretrain")
        self.encode()
        self.train("refine")
        self.train("finetune")
        summary = self.evaluate()
        tracking, version = self.config.tracking, self.register().version
        finish_run(self.tracking, self.run_id, "FINISHED")
        return "\n".join(
            [
                summary,
                f"report:    {storage.join(self.layout.evaluation, 'report.html')}",
                f"model:     models:/{tracking.model_name}@{tracking.alias} (version {version})",
                f"tracking:  {self.tracking}",
            ]
        )

    def _judged_fingerprint(self, finished: Mapping[StageName, StageDone]) -> str:
        weights = " ".join(done.fingerprint for done in finished.values())
        return f"{weights} {self.config.sampling.model_dump_json()} {self.config.evaluate.model_dump_json()}"

    def _was_judged(self, fingerprint: str) -> bool:
        path = storage.join(self.layout.evaluation, JUDGED_FILE)
        return storage.exists(path) and storage.read_bytes(path).decode() == fingerprint

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
        return done
