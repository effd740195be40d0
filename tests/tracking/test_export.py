"""An exported model: a folder with a card, which edits as before where neither MLflow nor Ray can be imported."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import diffusegae
from diffusegae.checkpoint import CheckpointError
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.editing.loading import load_editor
from diffusegae.export import ExportError, export_model
from diffusegae.layout import SUMMARY
from diffusegae.models.autoencoder import DiffuseGAE
from diffusegae.tracking.client import TrackingError
from diffusegae.tracking.registry import register_model
from diffusegae.tracking.runs import RunLogger, open_pipeline_run, open_stage_run

CHAMPION = "models:/diffusegae@champion"
EDIT_ALONE = """
import sys
for absent in ("mlflow", "ray", "fastapi"):
    sys.modules[absent] = None  # importing it raises ImportError
from pathlib import Path
import numpy as np, torch
from diffusegae.editing.loading import load_editor
from diffusegae.models.autoencoder import DiffuseGAE
source, donor = torch.from_numpy(np.load(sys.argv[2]))
assert isinstance(DiffuseGAE.from_pretrained(sys.argv[1]), torch.nn.Module)
np.save(sys.argv[3], load_editor(Path(sys.argv[1])).edit(source, {"letter": donor}).numpy())
"""


@pytest.fixture
def registered(uri: str, config: PipelineConfig, write_checkpoint: Callable[[int], Path]) -> tuple[Path, str]:
    """Register a tiny model; return its checkpoint and the run of its pipeline."""
    checkpoint, run_id = write_checkpoint(0), open_pipeline_run(uri, config)
    register_model(uri, run_id, checkpoint, config, lambda: {"letter": torch.ones(3, 12)})
    return checkpoint, run_id


def test_an_export_edits_as_before_without_mlflow_and_ray(
    registered: tuple[Path, str],
    uri: str,
    tmp_path: Path,
) -> None:
    export_model(uri, CHAMPION, tmp_path / "out" / "letters", "CC-BY-4.0")
    pictures = torch.rand(2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    np.save(tmp_path / "pictures.npy", pictures.numpy())
    script = [sys.executable, "-c", EDIT_ALONE, "letters", str(tmp_path / "pictures.npy"), str(tmp_path / "edited.npy")]
    package = str(Path(diffusegae.__file__).parents[1])
    subprocess.run(script, cwd=tmp_path / "out", env={"PYTHONPATH": package}, check=True, timeout=120)
    source, donor = pictures
    expected = load_editor(registered[0]).edit(source, {"letter": donor})
    assert torch.equal(torch.from_numpy(np.load(tmp_path / "edited.npy")), expected)


def test_the_folder_holds_the_model_and_nothing_of_its_training(
    registered: tuple[Path, str],
    uri: str,
    tmp_path: Path,
) -> None:
    export_model(uri, CHAMPION, tmp_path / "letters", "CC-BY-4.0")
    names = sorted(path.name for path in (tmp_path / "letters").iterdir())
    assert names == ["README.md", "ema.safetensors", "meta.json", "values.safetensors"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("tmp")] == []
    own, exported = (DiffuseGAE.from_pretrained(folder) for folder in (registered[0], tmp_path / "letters"))
    assert not exported.training
    assert all(
        torch.equal(a, b) for a, b in zip(own.state_dict().values(), exported.state_dict().values(), strict=True)
    )


def test_the_card_says_what_it_edits_and_how_well(
    registered: tuple[Path, str],
    uri: str,
    config: PipelineConfig,
    tmp_path: Path,
) -> None:
    export_model(uri, CHAMPION, tmp_path / "before", "unknown")
    assert "Not measured" in (tmp_path / "before" / "README.md").read_text()
    report = tmp_path / "report"
    report.mkdir()
    (report / SUMMARY).write_text("replaced, LPIPS   0.0473")
    RunLogger(uri, open_stage_run(uri, config, registered[1], "evaluate")).log_directory(report, "evaluate")
    export_model(uri, CHAMPION, tmp_path / "letters", "CC-BY-4.0")
    card = (tmp_path / "letters" / "README.md").read_text()
    header = yaml.safe_load(card.split("---")[1])
    assert header["license"] == "CC-BY-4.0"
    assert header["pipeline_tag"] == "image-to-image"
    assert "| letter | a, b, c | 12 |" in card
    assert "replaced, LPIPS   0.0473" in card
    assert "Not measured" not in card


def test_the_example_of_the_card_runs(registered: tuple[Path, str], uri: str, tmp_path: Path) -> None:
    from PIL import Image

    export_model(uri, CHAMPION, tmp_path / "letters", "unknown")
    for name, colour in (("source", "red"), ("donor", "blue")):
        Image.new("RGB", (40, 30), colour).save(tmp_path / f"{name}.png")
    example = (tmp_path / "letters" / "README.md").read_text().split("```python\n")[1].split("```")[0]
    package = str(Path(diffusegae.__file__).parents[1])
    subprocess.run([sys.executable, "-c", example], cwd=tmp_path, env={"PYTHONPATH": package}, check=True, timeout=120)
    with Image.open(tmp_path / "edited.png") as edited:
        assert edited.size == (32, 32)


def test_what_is_there_is_not_overwritten(registered: tuple[Path, str], uri: str, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "mine.txt").write_text("mine")
    with pytest.raises(ExportError, match="is there already; name a folder that an export may make"):
        export_model(uri, CHAMPION, tmp_path / "letters", "unknown")
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["mine.txt"]


def test_a_model_that_is_not_there_leaves_nothing(
    registered: tuple[Path, str],
    uri: str,
    tmp_path: Path,
) -> None:
    with pytest.raises(TrackingError, match="there is no models:/diffusegae/7"):
        export_model(uri, "models:/diffusegae/7", tmp_path / "letters", "unknown")
    assert not (tmp_path / "letters").exists()


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no meta.json: not a checkpoint"):
        DiffuseGAE.from_pretrained(tmp_path)
