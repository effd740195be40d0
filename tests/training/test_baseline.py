"""Every baseline in the loop that trains ours: what moves, exact resume, and batches with labels from a stored set."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from diffusegae.baselines.baseline import Samples
from diffusegae.baselines.loading import load_baseline
from diffusegae.baselines.table import BASELINES
from diffusegae.checkpoint import CheckpointError, CheckpointMeta, Position, save_checkpoint
from diffusegae.config.baselines import BaselineName
from diffusegae.data.shards import schema_of
from diffusegae.schema import SchemaError, build_schema
from diffusegae.training.job import TrainingJob
from diffusegae.training.launch import LaunchError, launch_stage, stage_fingerprint
from diffusegae.training.source import WorkerFeed
from diffusegae.training.stages import StageInputs, shared_of
from diffusegae.training.step import TrainingState
from diffusegae.training.table import STAGES
from diffusegae.training.workload import checkpoint_bytes
from tests.stored_images import paint, write_images
from tests.tiny import random_images, smoke_config, tiny_schema

ROOT = Path(__file__).parents[2]
SCHEMA = tiny_schema(8, 8, 8)
NAMES: list[BaselineName] = list(BASELINES)
CONFIG = smoke_config(*(f"baselines.{name}.num_samples=1000" for name in NAMES))


def state_of(name: BaselineName) -> TrainingState:
    torch.manual_seed(0)
    weights = BASELINES["ddim"](CONFIG, SCHEMA).state_dict() if name == "pdae" else None
    stage = STAGES[name](StageInputs(CONFIG, SCHEMA, weights=weights))
    return TrainingState(stage, torch.device("cpu"), lambda module: module, seed=0)


def batch_of(state: TrainingState, seed: int) -> Samples:
    members = 1 if shared_of(state.stage.config) is None else 4
    count = state.stage.config.batch_size
    images = random_images(count * members, seed=seed).unflatten(0, (count, members))
    return Samples(images, torch.randint(0, 4, (count, members, 3), generator=torch.Generator().manual_seed(seed)))


def save(state: TrainingState, name: str, folder: Path) -> None:
    meta = CheckpointMeta(
        stage=name, samples_seen=state.samples_seen, positions=(Position(),), config=CONFIG, attributes=SCHEMA,
        versions={},
    )  # fmt: skip
    save_checkpoint(folder, meta, state.tensors())


@pytest.mark.parametrize("name", NAMES)
def test_every_goal_moves_its_own_weights_and_no_other(name: BaselineName) -> None:
    state = state_of(name)
    before = copy.deepcopy(state.stage.model.state_dict())
    for seed in range(6):
        state.step(batch_of(state, seed))
    state.check_all_move()
    claimed = {key for objective in state.stage.objectives for key, _ in objective.named_parameters()}
    moved = {key for key, value in state.stage.model.named_parameters() if not torch.equal(value, before[key])}
    assert moved == claimed
    assert claimed


@pytest.mark.parametrize("name", NAMES)
def test_a_restored_baseline_goes_on_bit_for_bit(name: BaselineName) -> None:
    whole = state_of(name)
    for seed in range(3):
        whole.step(batch_of(whole, seed))
    saved = copy.deepcopy(whole.tensors())
    whole.step(batch_of(whole, 3))
    resumed = state_of(name)
    resumed.restore(saved.__getitem__, 3 * resumed.stage.config.batch_size)
    resumed.step(batch_of(resumed, 3))
    for file, tensors in whole.tensors().items():
        for key, value in tensors.items():
            assert torch.equal(value, resumed.tensors()[file][key]), (file, key)


@pytest.mark.parametrize("name", NAMES)
def test_reports_tell_held_out_losses_and_a_picture(name: BaselineName) -> None:
    state = state_of(name)
    terms = state.step(batch_of(state, 0))
    held_out = batch_of(state, 1)
    found = state.monitor(held_out)
    reported = {term for term in terms if not term.startswith("gradient_norm")}
    assert set(found) == {f"held_out_{term}" for term in reported}
    assert all(np.isfinite(value) for value in found.values())
    assert found == state.monitor(held_out)  # the same noise every time
    paint_of = state.stage.paint
    assert paint_of is not None
    with torch.no_grad():
        picture = paint_of(state.ema.module, held_out)
    assert picture.dtype == np.uint8
    assert picture.std() > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_is_as_large_as_forecast_and_becomes_a_method_again(name: BaselineName, tmp_path: Path) -> None:
    state = state_of(name)
    for seed in range(5):  # an optimizer has no state before its first step
        state.step(batch_of(state, seed))
    save(state, name, tmp_path)
    written = sum(path.stat().st_size for path in tmp_path.glob("*.safetensors"))
    job = TrainingJob(stage=name, config=CONFIG, attributes=SCHEMA, rows="nowhere")
    assert checkpoint_bytes(job) == pytest.approx(written, rel=0.35)  # headers of tiny tensors weigh here
    loaded = load_baseline(tmp_path, SCHEMA).state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in state.ema.module.state_dict().items())
    with pytest.raises(SchemaError, match="another schema"):
        load_baseline(tmp_path, tiny_schema(8, 8, 8, cardinality=5))


def test_a_checkpoint_of_ours_is_not_a_baseline(tmp_path: Path) -> None:
    save(state_of("ae_ds"), "refine", tmp_path)
    with pytest.raises(CheckpointError, match="holds stage 'refine', not a baseline; expected one of: diffae"):
        load_baseline(tmp_path)


def test_pdae_takes_the_weights_of_the_stage_before_as_its_dpm() -> None:
    torch.manual_seed(3)
    weights = BASELINES["ddim"](CONFIG, SCHEMA).state_dict()
    model = STAGES["pdae"](StageInputs(CONFIG, SCHEMA, weights=weights)).model
    held = {key.removeprefix("dpm."): value for key, value in model.state_dict().items() if key.startswith("dpm.")}
    assert all(torch.equal(held[key], value) for key, value in weights.items())


@pytest.mark.parametrize(("name", "members"), [("ae_ds", 1), ("gzsnet", 4)])
@pytest.mark.usefixtures("ray_cluster")
def test_batches_bring_each_picture_with_its_own_labels(name: BaselineName, members: int, tmp_path: Path) -> None:
    manifest = write_images(str(tmp_path), {"kind": 4, "ground": 4, "pose": 4})
    specs = {column: {"width": 8} for column in ("kind", "ground", "pose")}
    config = smoke_config(f"data.attributes={specs}", "data.holdout={images: 20}", "resources.journal=true")
    schema = build_schema(config.data.attributes, manifest.columns)
    job = TrainingJob(stage=name, config=config, attributes=schema, rows=str(tmp_path))
    feed = WorkerFeed(job, torch.device("cpu"), 0, 1)
    samples, _ = next(feed.start([Position()]))
    assert samples.images.shape[1] == samples.labels.shape[1] == members
    pixels = ((samples.images.flatten(0, 1).permute(0, 2, 3, 1) + 1) * 127.5).round().numpy()
    for picture, labels in zip(pixels, samples.labels.flatten(0, 1).tolist(), strict=True):
        np.testing.assert_allclose(picture, paint(labels), atol=1)
    if members == 4:
        shared = samples.labels[:, 1:] == samples.labels[:, :1]
        assert torch.equal(shared, torch.eye(3, dtype=torch.bool).expand_as(shared))


@pytest.mark.usefixtures("ray_cluster")
def test_what_learns_from_labels_trains_on_values_that_go_by_name(tmp_path: Path) -> None:
    manifest = write_images(str(tmp_path), {"kind": 4, "ground": 4, "pose": 4}, [(0, 0, 0), (2, 0, 0)])
    specs = {column: {"width": 8} for column in ("kind", "ground", "pose")}
    config = smoke_config(f"data.attributes={specs}", "data.holdout={images: 20}", "data.named_values=2")
    schema = schema_of(manifest, config.data)
    assert schema.attributes[0].named == (1, 3)
    job = TrainingJob(stage="ae_ds", config=config, attributes=schema, rows=str(tmp_path))
    samples, _ = next(WorkerFeed(job, torch.device("cpu"), 0, 1).start([Position()]))
    pixels = ((samples.images.flatten(0, 1).permute(0, 2, 3, 1) + 1) * 127.5).round().numpy()
    places = samples.labels.flatten(0, 1).tolist()
    for picture, own in zip(pixels, places, strict=True):
        labels = [attribute.named[place] for attribute, place in zip(schema.attributes, own, strict=True)]
        np.testing.assert_allclose(picture, paint(labels), atol=1)


def test_a_baseline_with_a_batch_smaller_than_the_workers_is_named_when_it_is_launched(tmp_path: Path) -> None:
    config = smoke_config("resources.num_workers=8", "baselines.elegant.batch_size=4")  # ours have enough
    job = TrainingJob(stage="elegant", config=config, attributes=SCHEMA, rows="nowhere")
    with pytest.raises(LaunchError, match="elegant: batch_size is 4, less than .* resources.num_workers 8"):
        launch_stage(job, str(tmp_path))


def test_a_baselines_fingerprint_follows_its_own_settings_alone() -> None:
    base = stage_fingerprint(smoke_config(), "gzsnet", "")
    assert stage_fingerprint(smoke_config("baselines.ae_ds.learning_rate=1"), "gzsnet", "") == base
    assert stage_fingerprint(smoke_config("refine.learning_rate=1"), "gzsnet", "") == base
    assert stage_fingerprint(smoke_config("model.gae.quantise_step=1"), "gzsnet", "") == base
    assert stage_fingerprint(smoke_config("baselines.gzsnet.learning_rate=1"), "gzsnet", "") != base
