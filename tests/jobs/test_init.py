"""jobs/init.py as a user calls it: one command from a folder to a config, and what it refuses."""

import subprocess
import sys
from pathlib import Path

import pytest

from diffusegae.config.load import load_config
from tests.image_files import picture, write_tree
from tests.jobs.road import ROOT
from tests.survey.letters import write_letters
from tests.tiny import PRESETS


def init(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "jobs" / "init.py"), *arguments],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_one_command_writes_a_config_that_loads(tmp_path: Path) -> None:
    write_letters(tmp_path)
    done = init(tmp_path, "photos", "labels.csv")
    assert done.returncode == 0, done.stderr
    assert "attribute  letter: 6 values" in done.stdout
    assert "python jobs/pipeline.py --config photos.yaml" in done.stdout
    config = load_config(str(tmp_path / "photos.yaml"), [], PRESETS)
    assert list(config.data.attributes) == ["letter", "ink", "paper"]
    again = init(tmp_path, "photos", "labels.csv")
    assert (again.returncode, again.stderr.strip()) == (
        1,
        "error: photos.yaml is there already; name another by --output, or write over it by --force",
    )
    assert init(tmp_path, "photos", "labels.csv", "--force").returncode == 0


def test_folders_of_folders_become_a_table(tmp_path: Path) -> None:
    files = {f"{shape}/{ink}/{n}.png": picture(n) for shape in ("ring", "bar") for ink in ("red", "blue")
             for n in range(6)}  # fmt: skip
    write_tree(tmp_path / "shapes", files)
    done = init(tmp_path, "shapes", "--output", "mine.yaml")
    assert done.returncode == 0, done.stderr
    config = load_config(str(tmp_path / "mine.yaml"), [], PRESETS)
    assert config.data.source.model_dump()["table"] == str(tmp_path / "mine.csv")
    assert list(config.data.attributes) == ["level_1", "level_2"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"photos/one/a.png": picture(0)}, "error: 0 column(s) can be attributes (none), expected at least 2"),
        ({"photos/a.png": picture(0)}, "1 pictures, and no folders whose names would be their labels"),
    ],
)
def test_what_can_not_be_learnt_from_is_one_clear_line(files: dict[str, bytes], message: str, tmp_path: Path) -> None:
    write_tree(tmp_path, files)
    done = init(tmp_path, "photos")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "photos.yaml").exists()
