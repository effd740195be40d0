"""`jobs/evaluate.py` killed at random five times finds the same figures, and no finished piece is measured twice."""

import random
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from tests.jobs import road
from tests.jobs.conftest import FinishedRoad
from tests.nodes import kill_tree

pytestmark = pytest.mark.e2e
KILLS = 5


def pieces(storage: Path) -> dict[str, Path]:
    """Return the pieces that are kept, by their places."""
    folders = (storage / "smoke" / "evaluation" / "pieces", storage / "smoke" / "images" / "judging")
    return {str(path.relative_to(storage)): path for folder in folders for path in folder.rglob("*.npz")}


def times(storage: Path) -> dict[str, int]:
    return {name: path.stat().st_mtime_ns for name, path in pieces(storage).items()}


def test_killed_five_times_the_figures_are_the_same_and_nothing_is_measured_twice(
    finished_road: FinishedRoad, tmp_path: Path
) -> None:
    storage, chance = tmp_path / "runs", random.Random(0)
    shutil.copytree(finished_road.storage, storage)
    shutil.rmtree(storage / "smoke" / "evaluation")
    shutil.rmtree(storage / "smoke" / "images" / "judging")
    seen: dict[str, int] = {}
    for kill in range(KILLS):
        process = road.start("evaluate", storage, log=tmp_path / f"{kill}.log")
        wanted = len(seen) + chance.randint(1, 3)
        while process.poll() is None and len(times(storage)) < wanted:
            time.sleep(0.02)
        time.sleep(chance.uniform(0.0, 1.0))  # somewhere inside of the next piece
        assert process.poll() is None, (tmp_path / f"{kill}.log").read_text()[-3000:]
        kill_tree(process)
        assert seen.items() <= times(storage).items()  # what was kept before was left alone
        seen = times(storage)
    assert "probe matrix of stage 3" in road.run("evaluate", storage)
    assert seen.items() <= times(storage).items()
    whole, again = pieces(finished_road.storage), pieces(storage)
    assert whole.keys() == again.keys()
    for name, path in whole.items():
        with np.load(path) as expected, np.load(again[name]) as found:
            assert expected.files == found.files
            for key in expected.files:
                same = np.array_equal(expected[key], found[key], equal_nan=expected[key].dtype.kind == "f")
                assert same, f"{name}: {key}"
    summary = "smoke/evaluation/summary.txt"
    assert (storage / summary).read_text() == (finished_road.storage / summary).read_text()
