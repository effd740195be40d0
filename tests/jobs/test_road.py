"""The whole road as a user walks it: images in, three stages, judged, registered; own images."""

import csv
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from diffusegae.editing.loading import load_editor
from diffusegae.pixels import to_tensor
from diffusegae.tracking.registry import download_checkpoint, resolve_model
from diffusegae.training.launch import read_done
from tests.jobs import road
from tests.jobs.conftest import FinishedRoad

pytestmark = pytest.mark.e2e


def test_the_whole_road_then_nothing_is_done_again(finished_road: FinishedRoad, tmp_path: Path) -> None:
    storage, text = finished_road
    assert "codes: leak " in text
    assert "codes: leak, by an MLP" in text
    assert all(stratum in text for stratum in ("seen pairs", "unseen pair", "unseen instance"))
    assert text.index("register: ") < text.index("evaluate: ")  # a model needn't wait for its figures
    assert "models:/diffusegae@champion (version 1)" in text
    report = (storage / "smoke" / "evaluation" / "report.html").read_text()
    assert report.count("data:image/png;base64,") >= 5
    uri = f"sqlite:///{storage}/mlflow.db"
    model = resolve_model(uri, "models:/diffusegae@champion")
    editor = load_editor(download_checkpoint(uri, model.uri, tmp_path / "model"))
    assert editor.schema.names == ("identity", "background", "pose")

    stages = storage / "smoke" / "stages"
    before = {path: path.stat().st_mtime_ns for path in stages.rglob("*")}
    again = road.run("pipeline", storage)
    assert "models:/diffusegae@champion (version 1)" in again
    assert {path: path.stat().st_mtime_ns for path in stages.rglob("*")} == before


def write_own_images(folder: Path) -> Path:
    """Draw squares and circles of 5 colours at 3 places on 5 backgrounds, with a table that names them."""
    colours = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (50, 70, 230), "pink": (250, 120, 200),
               "teal": (0, 140, 140)}  # fmt: skip
    grounds = {"black": 0, "dark": 50, "grey": 120, "light": 200, "white": 255}
    places = {"left": 8, "middle": 16, "right": 24}
    rows = []
    (folder / "pictures").mkdir(parents=True)
    for shape, colour, place, ground in product(("square", "circle"), colours, places, grounds):
        y, x = np.mgrid[0:32, 0:32]
        inside = (
            (abs(x - places[place]) < 6) & (abs(y - 16) < 6)
            if shape == "square"
            else (x - places[place]) ** 2 + (y - 16) ** 2 < 42
        )
        pixels = np.where(inside[..., None], np.array(colours[colour]), grounds[ground]).astype(np.uint8)
        name = f"{shape}-{colour}-{place}-{ground}.png"
        Image.fromarray(pixels).save(folder / "pictures" / name)
        rows.append({"path": name, "shape": shape, "colour": colour, "place": place, "ground": ground})
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


OWN_CONFIG = """
name: shapes
data:
  source: {{kind: folder, images: {folder}/pictures, table: {folder}/labels.csv}}
  attributes:
    shape: {{width: 6}}
    colour: {{width: 6}}
    place: {{width: 6}}
    ground: {{width: 6}}
"""


def test_a_users_folder_with_four_attributes_trains_and_edits_by_config_alone(tmp_path: Path) -> None:
    smoke = (road.ROOT / "jobs" / "configs" / "smoke.yaml").read_text()
    rest = smoke[smoke.index("model:") :]
    path = tmp_path / "shapes.yaml"
    path.write_text(OWN_CONFIG.format(folder=write_own_images(tmp_path / "own")) + rest)
    storage = tmp_path / "runs"
    longer = ("--set", "pretrain.num_samples=3200", "--set", "pretrain.learning_rate=0.004")
    text = road.run("pipeline", storage, *longer, config=str(path))
    assert "models:/diffusegae@champion (version 1)" in text
    done = read_done(str(storage / "shapes" / "stages"), "finetune")
    assert done is not None
    editor = load_editor(Path(done.checkpoint))
    assert editor.schema.names == ("shape", "colour", "place", "ground")
    names = ("square-red-left-dark", "circle-blue-right-light")
    pixels = np.stack([np.asarray(Image.open(tmp_path / "own" / "pictures" / f"{name}.png")) for name in names])
    images = to_tensor(pixels)
    unedited = editor.edit(images[:1], {}, seeds=[0])
    assert torch.equal(editor.edit(images[:1], {"colour": images[:1]}, seeds=[0]), unedited)
    edited = editor.edit(images[:1], {"colour": images[1:]}, seeds=[0])
    assert float((edited - unedited).abs().max()) > 1e-3  # trained for seconds: it edits, not yet well


def test_a_wrong_config_ends_with_one_clear_line(tmp_path: Path) -> None:
    text = road.run("ingest", tmp_path / "runs", "--set", "data.sauce=x", code=2)
    assert text.splitlines()[-1].lstrip().startswith("unknown key 'data.sauce' (did you mean 'source'?)")
    assert "Traceback" not in text
