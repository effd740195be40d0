import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow import MlflowClient

from diffusegae.checkpoint import CheckpointError, read_meta
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.editing.loading import load_editor
from diffusegae.pixels import to_pixels, to_tensor
from diffusegae.tracking.client import TrackingError
from diffusegae.tracking.registry import (
    download_checkpoint,
    read_registered_meta,
    read_registered_values,
    register_model,
    resolve_model,
)
from diffusegae.tracking.runs import open_pipeline_run

CHAMPION = "models:/diffusegae@champion"
USE_PYFUNC = """
import sys
import mlflow, numpy as np
model = mlflow.pyfunc.load_model(sys.argv[1])
source, donor = np.load(sys.argv[2])
edited = model.predict({"source": source, "donor": donor}, params={"attributes": ["colour"], "steps": 2})
import diffusegae
assert sys.argv[1] in diffusegae.__file__, "loaded from the installed package, not from the model"
np.save(sys.argv[3], edited)
"""


def test_round_trip_edits_as_before(
    uri: str, config: PipelineConfig, write_checkpoint: Callable[[int], Path], tmp_path: Path
) -> None:
    checkpoint = write_checkpoint(0)
    registered = register_model(uri, open_pipeline_run(uri, config), checkpoint, config)
    assert registered == resolve_model(uri, CHAMPION) == resolve_model(uri, registered.uri)

    downloaded = download_checkpoint(uri, CHAMPION, tmp_path / "downloaded")
    assert sorted(path.name for path in downloaded.iterdir()) == ["ema.safetensors", "meta.json"]
    assert read_registered_meta(uri, CHAMPION) == read_meta(checkpoint)

    source, donor = torch.rand(2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    before = load_editor(checkpoint).edit(source, {"letter": donor})
    after = load_editor(downloaded).edit(source, {"letter": donor})
    assert torch.equal(before, after)
    assert not torch.allclose(before, load_editor(checkpoint).reconstruct(source), atol=1e-3)


def test_same_checkpoint_is_the_same_version_and_leaves_the_alias(
    uri: str, config: PipelineConfig, write_checkpoint: Callable[[int], Path]
) -> None:
    run_id = open_pipeline_run(uri, config)
    first = register_model(uri, run_id, write_checkpoint(0), config)
    second = register_model(uri, run_id, write_checkpoint(1), config)
    assert (first.version, second.version) == ("1", "2")
    assert first.source != second.source
    assert register_model(uri, run_id, write_checkpoint(0), config) == first
    assert resolve_model(uri, CHAMPION) == second


def test_value_codes_are_measured_once_and_come_with_the_version(
    uri: str, config: PipelineConfig, write_checkpoint: Callable[[int], Path], tmp_path: Path
) -> None:
    run_id, checkpoint = open_pipeline_run(uri, config), write_checkpoint(0)
    values = {"letter": torch.rand(3, 12), "colour": torch.rand(2, 12)}
    measured: list[int] = []

    def measure() -> dict[str, torch.Tensor]:
        measured.append(1)
        return values

    first = register_model(uri, run_id, checkpoint, config, measure)
    assert register_model(uri, run_id, checkpoint, config, measure) == first
    assert len(measured) == 1
    found = read_registered_values(uri, CHAMPION)
    assert found.keys() == values.keys()
    assert all(torch.equal(found[name], values[name]) for name in values)
    assert (download_checkpoint(uri, CHAMPION, tmp_path / "model") / "values.safetensors").is_file()

    register_model(uri, run_id, write_checkpoint(1), config)
    assert read_registered_values(uri, CHAMPION) == {}


def test_registration_that_was_cut_off_is_finished(
    uri: str, config: PipelineConfig, write_checkpoint: Callable[[int], Path]
) -> None:
    run_id = open_pipeline_run(uri, config)
    first = register_model(uri, run_id, write_checkpoint(0), config)
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.delete_registered_model_alias("diffusegae", "champion")
    client.delete_model_version_tag("diffusegae", "1", "diffusegae.alias")
    assert register_model(uri, run_id, write_checkpoint(0), config) == first == resolve_model(uri, CHAMPION)


def test_unknown_models_name_what_there_is(
    uri: str, config: PipelineConfig, write_checkpoint: Callable[[int], Path], tmp_path: Path
) -> None:
    with pytest.raises(TrackingError, match=r"its models are: none"):
        resolve_model(uri, CHAMPION)
    register_model(uri, open_pipeline_run(uri, config), write_checkpoint(0), config)
    with pytest.raises(TrackingError, match=r"its models are: diffusegae"):
        resolve_model(uri, "models:/other@champion")
    with pytest.raises(TrackingError, match=r"aliases: champion \(version 1\)"):
        resolve_model(uri, "models:/diffusegae@rival")
    with pytest.raises(TrackingError, match=r"latest version is 1"):
        download_checkpoint(uri, "models:/diffusegae/3", tmp_path)
    with pytest.raises(TrackingError, match=r"not a model address"):
        resolve_model(uri, "diffusegae")


def test_what_is_not_a_checkpoint_is_not_registered(uri: str, config: PipelineConfig, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"meta\.json"):
        register_model(uri, open_pipeline_run(uri, config), tmp_path, config)
    with pytest.raises(TrackingError, match=r"its models are: none"):
        resolve_model(uri, CHAMPION)


def test_pyfunc_loads_with_the_source_it_carries(
    uri: str, config: PipelineConfig, write_checkpoint: Callable[[int], Path], tmp_path: Path
) -> None:
    checkpoint = write_checkpoint(0)
    registered = register_model(uri, open_pipeline_run(uri, config), checkpoint, config)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32, 3), np.uint8)
    np.save(tmp_path / "in.npy", pixels)
    paths = [registered.source, str(tmp_path / "in.npy"), str(tmp_path / "out.npy")]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    subprocess.run([sys.executable, "-c", USE_PYFUNC, *paths], cwd=tmp_path, env=environment, check=True, timeout=120)

    editor = load_editor(checkpoint)
    editor = editor.with_sampling(editor.sampling.model_copy(update={"steps": 2}))
    expected = editor.edit(to_tensor(pixels[0]), {"colour": to_tensor(pixels[1])})
    assert (np.load(tmp_path / "out.npy") == to_pixels(expected)).all()
