"""The schedule on a real Ray: order, width, and that one failure stops only what hangs on it."""

import os
import signal
import time
from pathlib import Path

import pytest

from diffusegae.comparison.schedule import Work, run_all

pytestmark = pytest.mark.usefixtures("ray_cluster")


def note(folder: str, name: str, seconds: float = 0.0) -> None:
    begun = time.time_ns()
    time.sleep(seconds)
    Path(folder, name).write_text(f"{begun} {time.time_ns()}")


def fail(reason: str) -> None:
    raise ValueError(reason)


def times(folder: Path, name: str) -> tuple[int, int]:
    begun, ended = Path(folder, name).read_text().split()
    return int(begun), int(ended)


def test_a_work_waits_for_what_it_needs(tmp_path: Path) -> None:
    works = [
        Work("second", note, (str(tmp_path), "second"), needs=("first", "done long ago")),
        Work("first", note, (str(tmp_path), "first", 0.3)),
    ]
    assert run_all(works, concurrent=2) == {}
    assert times(tmp_path, "second")[0] >= times(tmp_path, "first")[1]


@pytest.mark.parametrize(("concurrent", "overlap"), [(1, False), (2, True)])
def test_so_many_run_side_by_side(tmp_path: Path, concurrent: int, overlap: bool) -> None:
    run_all([Work(name, note, (str(tmp_path), name)) for name in "xy"], concurrent=2)  # processes that are up
    assert run_all([Work(name, note, (str(tmp_path), name, 1.5)) for name in "ab"], concurrent) == {}
    (begun_a, ended_a), (begun_b, ended_b) = times(tmp_path, "a"), times(tmp_path, "b")
    assert (max(begun_a, begun_b) < min(ended_a, ended_b)) == overlap


def test_a_failure_takes_along_only_what_needs_it(tmp_path: Path) -> None:
    works = [
        Work("broken", fail, ("the disk is full",)),
        Work("after", note, (str(tmp_path), "after"), needs=("broken",)),
        Work("long after", note, (str(tmp_path), "long after"), needs=("after",)),
        Work("other", note, (str(tmp_path), "other")),
    ]
    failures = run_all(works, concurrent=1)
    assert failures["broken"] == "ValueError: the disk is full"
    assert failures["after"] == "it needs broken, which failed"
    assert failures["long after"] == "it needs after, which failed"
    assert "other" not in failures
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def die_once(folder: str) -> None:
    path = Path(folder, "died")
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    Path(folder, "done").touch()


def test_a_work_whose_process_dies_is_begun_again(tmp_path: Path) -> None:
    assert run_all([Work("mortal", die_once, (str(tmp_path),))], concurrent=1) == {}
    assert (tmp_path / "done").exists()
