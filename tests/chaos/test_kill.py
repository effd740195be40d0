"""A kill of a training worker and one of a driver inside the suite; tests/chaos/kill.py does as many as one likes."""

import pytest

from tests.chaos.kill import Chaos, kill_drivers, kill_workers

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def chaos(tmp_path_factory: pytest.TempPathFactory) -> Chaos:
    """Train the reference once."""
    return Chaos(tmp_path_factory.mktemp("chaos"), seed=1, num_samples=4800)


def test_a_run_whose_worker_is_killed_ends_by_itself_with_the_same_samples_and_weights(chaos: Chaos) -> None:
    before = chaos.trials.kills
    kill_workers(chaos, times=before + 1, latest=4.0)
    assert chaos.trials.kills == before + 1


def test_a_run_whose_driver_is_killed_continues_by_the_same_command_to_the_same_weights(chaos: Chaos) -> None:
    before = chaos.trials.kills
    text = kill_drivers(chaos, times=before + 1, after=" 640/4800", latest=2.0)
    assert chaos.trials.kills == before + 1
    assert "starts at sample 0" not in text


def test_a_run_that_saves_by_time_alone_loses_no_more_than_that_time(chaos: Chaos) -> None:
    before, settings = chaos.trials.kills, chaos.settings
    by_time = ("pretrain.checkpoint_every_samples=1000000000", "pretrain.checkpoint_every_minutes=0.01")
    chaos.settings = (*settings, *(word for setting in by_time for word in ("--set", setting)))
    try:
        text = kill_drivers(chaos, times=before + 1, after=" 1600/4800", latest=2.0)
    finally:
        chaos.settings = settings
    assert chaos.trials.kills == before + 1
    assert "starts at sample 0" not in text
