"""A few kills of a training worker inside the suite; tests/chaos/kill.py does as many as one likes."""

from pathlib import Path

import pytest

from tests.chaos.kill import Chaos, kill_workers

pytestmark = pytest.mark.e2e


def test_a_run_whose_worker_is_killed_ends_by_itself_with_the_same_samples_and_weights(tmp_path: Path) -> None:
    chaos = Chaos(tmp_path, seed=1, num_samples=4800)
    kill_workers(chaos, times=1, latest=4.0)
    assert chaos.trials.kills == 1
